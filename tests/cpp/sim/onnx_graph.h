#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// An ONNX file of one node, byte by byte: no protobuf of ONNX's is at hand here.
namespace qaickit::test {

inline std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>(value | 0x80));
  bytes.push_back(static_cast<char>(value));
  return bytes;
}
inline std::string number(int field, uint64_t value) {
  return varint(static_cast<uint64_t>(field) << 3) + varint(value);
}
inline std::string piece(int field, std::string_view bytes) {
  return varint((static_cast<uint64_t>(field) << 3) | 2) + varint(bytes.size()) +
         std::string(bytes);
}

// float32 `y` = `x` + `x`.
inline std::string doubling_graph(const std::vector<int64_t>& dims) {
  std::string shape;
  for (const int64_t dim : dims) shape += piece(1, number(1, static_cast<uint64_t>(dim)));
  const auto value = [&](std::string_view name) {
    return piece(1, name) + piece(2, piece(1, number(1, 1) + piece(2, shape)));
  };
  const std::string node = piece(1, "x") + piece(1, "x") + piece(2, "y") + piece(4, "Add");
  const std::string graph =
      piece(1, node) + piece(2, "g") + piece(11, value("x")) + piece(12, value("y"));
  return number(1, 8) + piece(7, graph) + piece(8, number(2, 13));
}

}  // namespace qaickit::test
