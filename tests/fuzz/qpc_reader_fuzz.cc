// Feeds bytes to everything in the container layer that reads untrusted bytes. Beside what the
// sanitizers see, it checks that what was accepted can be used: every byte of every segment is
// readable, every tensor has a size, and a program survives being written and read again.

#include <cstdio>
#include <cstdlib>
#include <string>

#include "container/manifest.h"
#include "container/network_desc.h"
#include "container/sha256.h"
#include "fuzz_target.h"
#include "qaickit/qpc.h"

namespace {

using namespace qaickit;

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "qpc_reader_fuzz: violated: %s\n", what);
  std::abort();
}

void require_read_error(const Status& status) {
  require(status.code() == Code::kDataLoss || status.code() == Code::kUnsupported,
          "reading fails with DATA_LOSS or UNSUPPORTED only");
  require(!status.message().empty() && status.message().size() < 20000, "errors have a message");
}

bool same_tensors(const std::vector<TensorSpec>& a, const std::vector<TensorSpec>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.name == y.name && x.dtype == y.dtype && x.dims == y.dims && x.scale == y.scale &&
           x.offset == y.offset;
  });
}

void use_program(const ProgramSpec& program) {
  for (const auto* specs : {&program.inputs, &program.outputs}) {
    for (const TensorSpec& spec : *specs) {
      require(!spec.name.empty(), "tensors have names");
      require(checked_bytes(spec.dims, dtype_bytes(spec.dtype)).ok(), "tensors have a size");
    }
  }
  for (size_t set = 0; set < program.num_shape_sets(); ++set) {
    for (size_t t = 0; t < program.num_tensors(); ++t) {
      require(program.bytes(set, t) <= program.tensor(t).bytes(), "every shape fits its buffer");
    }
  }
  require(program.default_shape_set() < program.num_shape_sets(), "the default shapes exist");
  const auto written = encode_network_desc(program);
  require(written.ok(), "a program that was read can be written");
  const auto read = decode_network_desc(written.value(), ZeroDims::kAllow);
  require(read.ok(), "a program that was written can be read");
  require(read.value().name == program.name && read.value().batch_size == program.batch_size &&
              read.value().num_cores == program.num_cores &&
              read.value().allowed_shapes == program.allowed_shapes,
          "programs round trip");
}

void read_container(Bytes input) {
  const auto qpc = Qpc::from_bytes({input.begin(), input.end()}, "fuzz");
  if (!qpc.ok()) return require_read_error(qpc.status());
  size_t digits = 0;
  for (const SegmentView& segment : qpc.value()->segments()) {
    digits += static_cast<size_t>(sha256(segment.data)[0]) + segment.name.size();
    require(qpc.value()->find(segment.name).has_value(), "listed segments are found");
  }
  require(digits > 0 && qpc.value()->file_bytes() == input.size(), "the file is whole");
  require(qpc.value()->has_host_half() == qpc.value()->manifest().has_value(),
          "a host half has a manifest");
  use_program(qpc.value()->program());
}

void read_network_desc(Bytes input) {
  for (const ZeroDims zero_dims : {ZeroDims::kRefuse, ZeroDims::kAllow}) {
    const auto program = decode_network_desc(input, zero_dims);
    if (!program.ok()) {
      require_read_error(program.status());
      continue;
    }
    use_program(program.value());
    const auto written = encode_network_desc(program.value());
    const auto again = decode_network_desc(written.value(), zero_dims);
    require(same_tensors(again.value().inputs, program.value().inputs) &&
                same_tensors(again.value().outputs, program.value().outputs),
            "tensors round trip");
  }
}

// The input as a manifest whose own digest is right, which no mutation would find.
void read_manifest(Bytes input) {
  const Sha256Digest digest = sha256(input);
  std::vector<std::byte> sealed(digest.begin(), digest.end());
  sealed.insert(sealed.end(), input.begin(), input.end());
  const auto record = decode_manifest(sealed);
  if (!record.ok()) return require_read_error(record.status());
  require(encode_manifest(record.value()).ok(), "a manifest that was read can be written");
}

std::vector<uint8_t> seed_of(Bytes bytes) {
  const auto* first = reinterpret_cast<const uint8_t*>(bytes.data());
  return {first, first + bytes.size()};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes input = std::as_bytes(std::span(data, size));
  read_container(input);
  read_network_desc(input);
  read_manifest(input);
  return 0;
}

std::vector<std::vector<uint8_t>> fuzz_seeds() {
  const std::string model = "not an ONNX graph";
  QpcContent content;
  content.program.name = "seed";
  content.program.inputs = {{"ids", DType::kInt64, {2, 3}},
                            {"mask", DType::kBool, {2}},
                            {"pixels", DType::kUInt8, {2, 2}, 0.5f, 128}};
  content.program.outputs = {{"logits", DType::kFloat32, {2, 1000}}};
  content.program.inputs[0].partial = true;
  content.program.allowed_shapes = {{{2, 3}, {2}, {2, 2}, {2, 1000}},
                                    {{1, 3}, {1}, {1, 2}, {1, 1000}}};
  content.manifest.producer = "qaickit";
  content.manifest.options = {{"convert-to-fp16", "true"}};
  content.onnx_model = as_byte_span(model);
  const auto both = build_qpc(content);
  require(both.ok(), "the seed can be built");
  content.host_half = false;
  const auto card_only = build_qpc(content);
  require(card_only.ok(), "the seed can be built");

  const auto qpc = Qpc::from_bytes(both.value(), "seed");
  require(qpc.ok(), "the seed can be opened");
  return {seed_of(both.value()), seed_of(card_only.value()),
          seed_of(*qpc.value()->find(kNetworkDescSegment)),
          seed_of(qpc.value()->find(kManifestSegment)->subspan(std::tuple_size_v<Sha256Digest>))};
}
