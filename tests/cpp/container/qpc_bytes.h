#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "container/byte_range.h"
#include "container/qpc_format.h"
#include "qaickit/qpc.h"

// Files for the container tests, made independently of the writer under test.
namespace qaickit::test {

using ByteVector = std::vector<std::byte>;

inline ByteVector bytes_of(std::string_view text) {
  const Bytes bytes = as_byte_span(text);
  return {bytes.begin(), bytes.end()};
}

inline ByteVector from_hex(std::string_view hex) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  ByteVector bytes;
  for (size_t i = 0; i < hex.size(); ++i) {
    if (hex[i] == ' ') continue;
    bytes.push_back(static_cast<std::byte>(digit(hex[i]) * 16 + digit(hex[i + 1])));
    ++i;
  }
  return bytes;
}

template <class T>
void poke(ByteVector& bytes, size_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

// The network descriptor of the format description's example: one float32 input `image`
// [1, 3, 224, 224], one output `output` [1, 1000].
inline ByteVector example_network_desc() {
  return from_hex(
      "08 09 1a 04 64 65 6d 6f"
      "22 30 0a 05 69 6d 61 67 65"
      "12 08 22 06 01 03 e0 01 e0 01"
      "1a 08 22 06 01 03 e0 01 e0 01"
      "22 11 08 06 1d 00 00 80 3f 2a 06 01 03 e0 01 e0 01 4a 00"
      "30 04"
      "2a 2a 0a 06 6f 75 74 70 75 74"
      "12 05 22 03 01 e8 07 1a 05 22 03 01 e8 07"
      "22 12 08 06 1d 00 00 80 3f 2a 03 01 e8 07 4a 04 08 01 18 01"
      "32 04 08 80 e0 24"
      "32 05 08 a0 1f 10 01"
      "38 01 70 01");
}

// The whole example file, 400 bytes.
inline ByteVector example_file() {
  ByteVector file = from_hex(
      "7c cd a1 00 00 01 01 00 90 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
      "03 00 00 00 00 00 00 00 28 00 00 00 00 00 00 00"
      "18 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
      "88 00 00 00 00 00 00 00 c0 00 00 00 00 00 00 00"
      "40 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
      "a0 00 00 00 00 00 00 00 d8 00 00 00 00 00 00 00"
      "77 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
      "b0 00 00 00 00 00 00 00 18 01 00 00 00 00 00 00");
  const auto append = [&file](ByteVector part, size_t size) {
    part.resize(size);
    file.insert(file.end(), part.begin(), part.end());
  };
  append(bytes_of("constantsdesc.bin"), 24);
  append(bytes_of("network.elf"), 16);
  append(bytes_of("networkdesc.bin"), 16);
  append({}, 24);
  append(from_hex("7f 45 4c 46 02 01 01"), 64);
  append(example_network_desc(), 120);
  return file;
}

inline ProgramSpec example_program() {
  ProgramSpec program;
  program.name = "demo";
  program.inputs = {{"image", DType::kFloat32, {1, 3, 224, 224}}};
  program.outputs = {{"output", DType::kFloat32, {1, 1000}}};
  return program;
}

// A small file with a host half, every kind of segment and several dtypes.
// `content` borrows the rest.
struct SmallContent {
  ByteVector model = bytes_of("not really an ONNX graph");
  ByteVector constants = bytes_of("static|dynamic");
  ByteVector constants_desc = ByteVector(24, std::byte{7});
  QpcContent content;

  SmallContent(const SmallContent&) = delete;
  SmallContent() {
    content.program.name = "small";
    content.program.inputs = {{"ids", DType::kInt64, {2, 3}},
                              {"mask", DType::kBool, {2}},
                              {"pixels", DType::kUInt8, {2, 2}, 0.5f, 128}};
    content.program.outputs = {{"scalar", DType::kFloat32, {}}, {"empty", DType::kFloat16, {0, 4}}};
    content.program.num_cores = 4;
    content.program.batch_size = 2;
    content.manifest.producer = "qaickit test";
    content.manifest.precision = "fp16";
    content.manifest.options = {{"aic-num-cores", "4"}, {"convert-to-fp16", ""}};
    content.manifest.random_weights = true;
    content.manifest.node_precision = {{"conv_out", "fp32"}, {"softmax_out", "fp16"}};
    content.manifest.calibration = {{"method", "Percentile"}, {"samples", "32"}};
    content.onnx_model = model;
    content.extra = {{kConstantsSegment, constants, 7}, {kConstantsDescSegment, constants_desc}};
  }
};

// A container of any flavour.
struct RawQpc {
  struct Segment {
    std::string name;
    ByteVector data;
    uint64_t offset = 0;
  };

  std::vector<Segment> segments = {{"constantsdesc.bin", ByteVector(24)},
                                   {"network.elf", {}},
                                   {"networkdesc.bin", example_network_desc()}};
  uint64_t base = 0;
  bool padded = true;
  bool table_at_end = false;

  ByteVector build() const {
    const size_t table_bytes = segments.size() * sizeof(QpcSegmentEntry);
    ByteVector file(sizeof(QpcHeader) + (table_at_end ? 0 : table_bytes));
    const auto append = [&](Bytes part) {
      const uint64_t at = file.size();
      file.insert(file.end(), part.begin(), part.end());
      if (padded) file.resize((file.size() + 7) / 8 * 8);
      return base + at;
    };
    std::vector<QpcSegmentEntry> table;
    for (const Segment& segment : segments) {
      const std::string name = segment.name + '\0';
      table.push_back({segment.data.size(), segment.offset, append(as_byte_span(name)), 0});
    }
    for (size_t i = 0; i < table.size(); ++i) table[i].start = append(segments[i].data);
    const size_t table_at = table_at_end ? file.size() : sizeof(QpcHeader);
    if (table_at_end) file.resize(file.size() + table_bytes);
    std::memcpy(file.data() + table_at, table.data(), table_bytes);
    QpcHeader header;
    header.size = file.size();
    header.base = base;
    header.num_images = table.size();
    header.images = base + table_at;
    poke(file, 0, header);
    return file;
  }
};

inline Result<std::shared_ptr<const Qpc>> open_bytes(ByteVector bytes) {
  return Qpc::from_bytes(std::move(bytes), "test.bin");
}

inline void describe_specs(const std::vector<TensorSpec>& specs, std::ostream& out) {
  for (const TensorSpec& spec : specs) {
    out << "  " << spec.name << ' ' << dtype_name(spec.dtype) << ' ' << dims_to_string(spec.dims)
        << ' ' << spec.scale << ' ' << spec.offset << '\n';
  }
}

// All that an opened file says, as one text, so that two files can be compared.
inline std::string describe(const Qpc& qpc) {
  std::ostringstream out;
  const ProgramSpec& program = qpc.program();
  out << program.name << ' ' << program.num_cores << ' ' << program.batch_size << "\ninputs\n";
  describe_specs(program.inputs, out);
  out << "outputs\n";
  describe_specs(program.outputs, out);
  if (const auto manifest = qpc.manifest()) {
    out << manifest->format_version << ' ' << manifest->producer << ' ' << manifest->precision
        << ' ' << manifest->random_weights << '\n';
    for (const auto& texts : {manifest->options, manifest->node_precision, manifest->calibration}) {
      for (const auto& [key, value] : texts) out << key << '=' << value << '\n';
      out << "--\n";
    }
  }
  for (const SegmentView& segment : qpc.segments()) {
    out << segment.name << ' ' << segment.offset << ' ' << as_text(segment.data) << '\n';
  }
  return out.str();
}

}  // namespace qaickit::test
