#include "container/manifest.h"

#include <algorithm>
#include <cstring>
#include <tuple>

#include "base/cat.h"
#include "container/crc32c.h"
#include "container/host_manifest.pb.h"
#include "container/message_io.h"
#include "container/network_desc.h"
#include "container/text.h"

namespace qaickit {
namespace {

constexpr size_t kDigestBytes = std::tuple_size_v<Sha256Digest>;

using PbOptions = google::protobuf::RepeatedPtrField<host::Option>;
using PbTensors = google::protobuf::RepeatedPtrField<host::Tensor>;

Status damaged(const std::string& message) {
  return Status(Code::kDataLoss, cat(message, "; the file is damaged, copy or compile it again"));
}

Status check_text(std::string_view text, std::string_view what) {
  if (is_utf8(text)) return {};
  return Status(Code::kInvalidArgument, cat("the manifest's ", what, " must be UTF-8"));
}

Status add_texts(const std::map<std::string, std::string>& texts, std::string_view what,
                 PbOptions* out) {
  for (const auto& [key, value] : texts) {
    QAICKIT_RETURN_IF_ERROR(check_text(key, cat(what, " names")));
    QAICKIT_RETURN_IF_ERROR(check_text(value, cat("value of ", what, " ", printable(key))));
    host::Option* option = out->Add();
    option->set_key(key);
    option->set_value(value);
  }
  return {};
}

// False when a text is not UTF-8.
bool read_texts(const PbOptions& texts, std::map<std::string, std::string>* out) {
  bool ok = true;
  for (const host::Option& text : texts) {
    ok = ok && is_utf8(text.key()) && is_utf8(text.value());
    (*out)[text.key()] = text.value();
  }
  return ok;
}

void add_tensors(std::span<const HostTensor> tensors, PbTensors* out) {
  for (const HostTensor& tensor : tensors) {
    host::Tensor* added = out->Add();
    added->set_name(tensor.name);
    added->set_dtype(std::string(dtype_name(tensor.dtype)));
  }
}

Status read_tensors(const PbTensors& tensors, std::vector<HostTensor>* out) {
  for (const host::Tensor& tensor : tensors) {
    const std::optional<DType> dtype = dtype_from_name(tensor.dtype());
    if (!dtype) {
      return damaged(cat(kManifestSegment, ": ", printable(tensor.name()),
                         " has the unknown dtype ", printable(tensor.dtype())));
    }
    out->push_back({tensor.name(), *dtype});
  }
  return {};
}

Status apply_dtypes(std::span<const HostTensor> tensors, std::vector<TensorSpec>* specs) {
  const bool same =
      std::equal(tensors.begin(), tensors.end(), specs->begin(), specs->end(),
                 [](const HostTensor& tensor, const TensorSpec& spec) {
                   return tensor.name == spec.name && vendor_dtype(tensor.dtype) == spec.dtype;
                 });
  if (!same) {
    return damaged(cat(kManifestSegment, " and ", kNetworkDescSegment,
                       " do not name the same inputs and outputs"));
  }
  for (size_t i = 0; i < tensors.size(); ++i) (*specs)[i].dtype = tensors[i].dtype;
  return {};
}

// Cheap checks of the table, before anything is hashed.
Status check_table(std::span<const SegmentRecord> records, size_t file_bytes,
                   std::span<const SegmentView> segments) {
  if (segments.size() != records.size()) {
    return damaged(
        cat("the file has ", segments.size(), " segments, its manifest lists ", records.size()));
  }
  size_t unclaimed = file_bytes;
  for (size_t i = 0; i < segments.size(); ++i) {
    const SegmentView& segment = segments[i];
    const SegmentRecord& record = records[i];
    if (segment.name != record.name) {
      return damaged(cat("segment ", i, " is named ", printable(segment.name),
                         ", the manifest says ", printable(record.name)));
    }
    // Without this, entries that share bytes could make the hashing below cost far more than one
    // pass over the file.
    if (segment.data.size() > unclaimed) {
      return damaged(cat("segments up to ", printable(segment.name), " overlap"));
    }
    unclaimed -= segment.data.size();
    // The manifest's own size is not listed; its digest stands for it.
    const bool same_size = segment.data.size() == record.size || segment.name == kManifestSegment;
    if (!same_size || segment.offset != record.offset) {
      return damaged(cat("segment ", printable(segment.name), " has ", segment.data.size(),
                         " bytes (static part ", segment.offset, "), the manifest says ",
                         record.size, " (", record.offset, ")"));
    }
  }
  return {};
}

Status check_digest(const SegmentRecord& record, Bytes file, Bytes data) {
  const Sha256Digest digest = sha256(data);
  if (digest == record.digest) return {};
  return damaged(cat("segment ", printable(record.name), " (", data.size(), " bytes at offset ",
                     data.data() - file.data(), ") has SHA-256 ", to_hex(digest),
                     ", the manifest says ", to_hex(record.digest)));
}

Status check_crc(const SegmentRecord& record, Bytes file, Bytes data) {
  const std::vector<uint32_t> blocks = crc32c_blocks(data);
  const auto [differs, expected] = std::ranges::mismatch(blocks, record.crc32c);
  if (differs == blocks.end() && expected == record.crc32c.end()) return {};
  return damaged(cat("segment ", printable(record.name), " (", data.size(), " bytes at offset ",
                     data.data() - file.data(), ") is not what the manifest says in its MiB ",
                     differs - blocks.begin()));
}

}  // namespace

Result<std::vector<std::byte>> encode_manifest(const ManifestRecord& record) {
  const HostManifest& manifest = record.manifest;
  if (manifest.format_version != kManifestVersion) {
    return Status(Code::kInvalidArgument, cat("manifest format ", manifest.format_version,
                                              " cannot be written, only ", kManifestVersion));
  }
  QAICKIT_RETURN_IF_ERROR(check_text(manifest.producer, "producer"));
  QAICKIT_RETURN_IF_ERROR(check_text(manifest.precision, "precision"));

  host::Manifest message;
  message.set_format_version(manifest.format_version);
  message.set_producer(manifest.producer);
  message.set_precision(manifest.precision);
  message.set_random_weights(manifest.random_weights);
  QAICKIT_RETURN_IF_ERROR(add_texts(manifest.options, "option", message.mutable_options()));
  QAICKIT_RETURN_IF_ERROR(
      add_texts(manifest.node_precision, "node", message.mutable_node_precision()));
  QAICKIT_RETURN_IF_ERROR(
      add_texts(manifest.calibration, "calibration", message.mutable_calibration()));
  add_tensors(record.inputs, message.mutable_inputs());
  add_tensors(record.outputs, message.mutable_outputs());
  for (const SegmentRecord& segment : record.segments) {
    host::Segment* added = message.add_segments();
    added->set_name(segment.name);
    if (segment.name == kManifestSegment) continue;
    added->set_size(segment.size);
    added->set_offset(segment.offset);
    added->set_sha256(segment.digest.data(), segment.digest.size());
    added->mutable_crc32c()->Assign(segment.crc32c.begin(), segment.crc32c.end());
  }

  QAICKIT_ASSIGN_OR_RETURN(std::vector<std::byte> bytes,
                           serialize_message(message, kManifestSegment));
  const Sha256Digest digest = sha256(bytes);
  bytes.insert(bytes.begin(), digest.begin(), digest.end());
  return bytes;
}

Result<ManifestRecord> decode_manifest(Bytes segment) {
  const auto digest = load<Sha256Digest>(segment, 0);
  if (!digest || sha256(segment.subspan(kDigestBytes)) != *digest) {
    return damaged(cat("segment ", printable(kManifestSegment), " does not match its own digest"));
  }
  host::Manifest message;
  QAICKIT_RETURN_IF_ERROR(parse_message(segment.subspan(kDigestBytes), kManifestSegment, &message));
  if (message.format_version() > kManifestVersion) {
    return Status(Code::kUnsupported,
                  cat("was written by a newer qaickit (", printable(message.producer()),
                      ", manifest format ", message.format_version(), "; this one knows ",
                      kManifestVersion, "): update qaickit or compile the model again"));
  }
  if (message.format_version() == 0) {
    return damaged(cat(kManifestSegment, ": has no format version"));
  }

  ManifestRecord record;
  record.manifest.format_version = message.format_version();
  record.manifest.producer = message.producer();
  record.manifest.precision = message.precision();
  record.manifest.random_weights = message.random_weights();
  const bool texts_ok = is_utf8(message.producer()) && is_utf8(message.precision()) &&
                        read_texts(message.options(), &record.manifest.options) &&
                        read_texts(message.node_precision(), &record.manifest.node_precision) &&
                        read_texts(message.calibration(), &record.manifest.calibration);
  if (!texts_ok) return damaged(cat(kManifestSegment, ": holds text that is not UTF-8"));
  QAICKIT_RETURN_IF_ERROR(read_tensors(message.inputs(), &record.inputs));
  QAICKIT_RETURN_IF_ERROR(read_tensors(message.outputs(), &record.outputs));
  for (const host::Segment& listed : message.segments()) {
    SegmentRecord& added = record.segments.emplace_back(
        SegmentRecord{listed.name(),
                      listed.size(),
                      listed.offset(),
                      {},
                      {listed.crc32c().begin(), listed.crc32c().end()}});
    if (listed.sha256().size() == kDigestBytes) {
      std::memcpy(added.digest.data(), listed.sha256().data(), kDigestBytes);
    }
  }
  return record;
}

Status verify_segments(std::span<const SegmentRecord> records, Bytes file,
                       std::span<const SegmentView> segments, Check check) {
  QAICKIT_RETURN_IF_ERROR(check_table(records, file.size(), segments));
  for (size_t i = 0; i < segments.size(); ++i) {
    if (segments[i].name == kManifestSegment) continue;
    if (check == Check::kQuick && !records[i].crc32c.empty()) continue;
    QAICKIT_RETURN_IF_ERROR(check_digest(records[i], file, segments[i].data));
  }
  return {};
}

Status verify_crcs(std::span<const SegmentRecord> records, Bytes file,
                   std::span<const SegmentView> segments) {
  for (size_t i = 0; i < segments.size(); ++i) {
    if (records[i].crc32c.empty()) continue;
    QAICKIT_RETURN_IF_ERROR(check_crc(records[i], file, segments[i].data));
  }
  return {};
}

Status apply_host_dtypes(const ManifestRecord& record, ProgramSpec* program) {
  QAICKIT_RETURN_IF_ERROR(apply_dtypes(record.inputs, &program->inputs));
  return apply_dtypes(record.outputs, &program->outputs);
}

}  // namespace qaickit
