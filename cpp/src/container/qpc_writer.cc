#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_set>
#include <utility>

#include "base/cat.h"
#include "container/atomic_file.h"
#include "container/crc32c.h"
#include "container/manifest.h"
#include "container/network_desc.h"
#include "container/qpc_format.h"
#include "container/text.h"
#include "qaickit/qpc.h"

namespace qaickit {
namespace {

constexpr std::array<std::byte, kWeightAlignment> kPadding{};
constexpr std::array kOwnSegments = {kManifestSegment, kModelSegment, kFp16ModelSegment,
                                     kWeightsSegment};

constexpr uint64_t align_up(uint64_t offset, size_t alignment = kQpcAlignment) {
  return (offset + alignment - 1) / alignment * alignment;
}

// Zeros from `at` up to the next multiple of `alignment`.
Bytes padding(uint64_t at, size_t alignment) {
  return Bytes(kPadding).first(align_up(at, alignment) - at);
}

// A segment to be; its payload is borrowed, in pieces.
struct Segment {
  std::string_view name;
  std::vector<Bytes> pieces;
  uint64_t size = 0;
  uint64_t offset = 0;  // as in SegmentView
  size_t alignment = kQpcAlignment;

  Segment(const SegmentView& view) : name(view.name), offset(view.offset) { add(view.data); }
  explicit Segment(std::string_view its_name) : name(its_name) {}

  void add(Bytes piece) {
    pieces.push_back(piece);
    size += piece.size();
  }
  Sha256Digest digest() const {
    Sha256 hash;
    for (const Bytes piece : pieces) hash.add(piece);
    return hash.finish();
  }
  // Of the weights only, which may have gigabytes.
  std::vector<uint32_t> crc32c() const {
    Crc32cBlocks blocks;
    if (name == kWeightsSegment) std::ranges::for_each(pieces, [&](Bytes b) { blocks.add(b); });
    return blocks.finish();
  }
};

// A file to be: header, table and names in `head`, then the payloads of `segments`.
struct Plan {
  std::vector<std::byte> head;
  std::vector<Segment> segments;
  std::vector<std::byte> network_desc;  // what the segments made here refer to
  std::vector<std::byte> manifest;
};

Status invalid(const std::string& message) { return Status(Code::kInvalidArgument, message); }

bool has(std::span<const SegmentView> segments, std::string_view name) {
  return std::ranges::find(segments, name, &SegmentView::name) != segments.end();
}

Status check_extra(std::span<const SegmentView> extra) {
  if (extra.size() > kMaxSegments / 2) {
    return invalid(cat(extra.size(), " segments are too many for a QPC"));
  }
  std::unordered_set<std::string_view> seen;
  for (const SegmentView& segment : extra) {
    const std::string name = printable(segment.name);
    if (segment.name.empty() || segment.name.size() > kMaxNameBytes || !is_utf8(segment.name) ||
        segment.name.find('\0') != std::string_view::npos) {
      return invalid(cat("segment name ", name, " must be UTF-8 without zero bytes, of 1 to ",
                         kMaxNameBytes, " bytes"));
    }
    if (std::ranges::find(kOwnSegments, segment.name) != kOwnSegments.end()) {
      return invalid(cat("segment ", name, " is made by qaickit and cannot be given"));
    }
    if (!seen.insert(segment.name).second) return invalid(cat("segment ", name, " is given twice"));
    if (segment.offset > segment.data.size() ||
        (segment.offset > 0 && segment.name != kConstantsSegment)) {
      return invalid(cat("segment ", name, " of ", segment.data.size(),
                         " bytes cannot have offset ", segment.offset, "; only ", kConstantsSegment,
                         " has one, within its size"));
    }
  }
  if (has(extra, kConstantsSegment) && !has(extra, kConstantsDescSegment)) {
    return invalid(cat("segment '", kConstantsSegment, "' needs '", kConstantsDescSegment,
                       "', which gives the sizes of its parts"));
  }
  return {};
}

// Host dtypes for the bindings of the network descriptor, in its order.
Status match_bindings(std::span<const TensorSpec> bindings, std::span<const TensorSpec> wanted,
                      std::string_view side, std::vector<HostTensor>* out) {
  if (bindings.size() != wanted.size()) {
    return invalid(cat("the given ", kNetworkDescSegment, " has ", bindings.size(), " ", side,
                       "s, the program has ", wanted.size()));
  }
  for (const TensorSpec& binding : bindings) {
    const auto spec = std::ranges::find(wanted, binding.name, &TensorSpec::name);
    if (spec == wanted.end()) {
      return invalid(cat("the given ", kNetworkDescSegment, " has ", side, " ",
                         printable(binding.name), ", the program does not"));
    }
    if (spec->dims != binding.dims || vendor_dtype(spec->dtype) != binding.dtype) {
      return invalid(cat(side, " ", printable(binding.name), " is ", dtype_name(binding.dtype), " ",
                         dims_to_string(binding.dims), " in the given ", kNetworkDescSegment, ", ",
                         dtype_name(spec->dtype), " ", dims_to_string(spec->dims),
                         " in the program"));
    }
    out->push_back({binding.name, spec->dtype});
  }
  return {};
}

Status describe_tensors(const QpcContent& content, Bytes network_desc, ManifestRecord* record) {
  const ZeroDims zero_dims = content.host_half ? ZeroDims::kAllow : ZeroDims::kRefuse;
  const Result<ProgramSpec> bindings = decode_network_desc(network_desc, zero_dims);
  if (!bindings.ok()) return invalid(std::string(bindings.status().message()));
  const ProgramSpec& program = content.program;
  QAICKIT_RETURN_IF_ERROR(
      match_bindings(bindings.value().inputs, program.inputs, "input", &record->inputs));
  return match_bindings(bindings.value().outputs, program.outputs, "output", &record->outputs);
}

Segment weights_segment(std::span<const Bytes> weights) {
  Segment segment(kWeightsSegment);
  segment.alignment = kWeightAlignment;
  for (const Bytes weight : weights) {
    segment.add(padding(segment.size, kWeightAlignment));
    segment.add(weight);
  }
  return segment;
}

std::vector<std::byte> make_head(std::span<const Segment> segments) {
  QpcHeader header;
  header.num_images = segments.size();
  header.images = sizeof(QpcHeader);
  std::vector<QpcSegmentEntry> table(segments.size());
  uint64_t at = sizeof(QpcHeader) + table.size() * sizeof(QpcSegmentEntry);
  for (size_t i = 0; i < segments.size(); ++i) {
    table[i].name = at;
    at = align_up(at + segments[i].name.size() + 1);
  }
  std::vector<std::byte> head(at);
  for (size_t i = 0; i < segments.size(); ++i) {
    at = align_up(at, segments[i].alignment);
    table[i].size = segments[i].size;
    table[i].offset = segments[i].offset;
    table[i].start = at;
    at = align_up(at + table[i].size);
    std::memcpy(head.data() + table[i].name, segments[i].name.data(), segments[i].name.size());
  }
  header.size = at;
  std::memcpy(head.data(), &header, sizeof header);
  std::memcpy(head.data() + sizeof header, table.data(), table.size() * sizeof(QpcSegmentEntry));
  return head;
}

Result<Plan> plan_qpc(const QpcContent& content) {
  QAICKIT_RETURN_IF_ERROR(check_extra(content.extra));
  if (content.host_half && content.onnx_model.empty()) return invalid("the model is empty");
  Plan plan;
  std::vector<SegmentView> card = content.extra;
  if (!has(card, kNetworkDescSegment)) {
    QAICKIT_ASSIGN_OR_RETURN(plan.network_desc, encode_network_desc(content.program));
    card.push_back({kNetworkDescSegment, plan.network_desc});
  }
  if (!has(card, kNetworkElfSegment)) card.push_back({kNetworkElfSegment, kPlaceholderElf});
  if (!has(card, kConstantsDescSegment)) card.push_back({kConstantsDescSegment, kNoConstantsDesc});
  std::ranges::sort(card, {}, &SegmentView::name);

  // The host half comes first: were it last, one flipped bit in the number of segments could cut
  // it off and leave a file that looks whole.
  if (content.host_half) {
    plan.segments.emplace_back(kManifestSegment);
    plan.segments.push_back(SegmentView{kModelSegment, content.onnx_model});
    if (!content.fp16_model.empty()) {
      plan.segments.push_back(SegmentView{kFp16ModelSegment, content.fp16_model});
    }
    if (!content.weights.empty()) plan.segments.push_back(weights_segment(content.weights));
  }
  plan.segments.insert(plan.segments.end(), card.begin(), card.end());

  ManifestRecord record;
  const Bytes network_desc = std::ranges::find(card, kNetworkDescSegment, &SegmentView::name)->data;
  QAICKIT_RETURN_IF_ERROR(describe_tensors(content, network_desc, &record));
  if (content.host_half) {
    record.manifest = content.manifest;
    for (const Segment& segment : plan.segments) {
      record.segments.push_back({std::string(segment.name), segment.size, segment.offset,
                                 segment.digest(), segment.crc32c()});
    }
    QAICKIT_ASSIGN_OR_RETURN(plan.manifest, encode_manifest(record));
    plan.segments.front().add(plan.manifest);
  }
  plan.head = make_head(plan.segments);
  return plan;
}

// The file in the order of its bytes, without copying the payloads.
std::vector<Bytes> pieces_of(const Plan& plan) {
  std::vector<Bytes> pieces = {plan.head};
  uint64_t at = plan.head.size();
  for (const Segment& segment : plan.segments) {
    pieces.push_back(padding(at, segment.alignment));
    pieces.insert(pieces.end(), segment.pieces.begin(), segment.pieces.end());
    at = align_up(at, segment.alignment) + segment.size;
    pieces.push_back(padding(at, kQpcAlignment));
    at = align_up(at);
  }
  return pieces;
}

}  // namespace

Status write_qpc(const std::string& path, const QpcContent& content) {
  Result<Plan> plan = plan_qpc(content);
  if (!plan.ok()) return plan.status().with_context(path);
  return write_file_atomically(path, pieces_of(*plan)).with_context(path);
}

Result<std::vector<std::byte>> build_qpc(const QpcContent& content) {
  QAICKIT_ASSIGN_OR_RETURN(const Plan plan, plan_qpc(content));
  const std::vector<Bytes> pieces = pieces_of(plan);
  size_t size = 0;
  for (const Bytes piece : pieces) size += piece.size();
  std::vector<std::byte> bytes;
  bytes.reserve(size);
  for (const Bytes piece : pieces) bytes.insert(bytes.end(), piece.begin(), piece.end());
  return bytes;
}

}  // namespace qaickit
