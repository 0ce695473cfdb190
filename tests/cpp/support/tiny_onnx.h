#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace qaickit::test {

// Protobuf's wire format, as much of it as a small ONNX model takes.
class Message {
 public:
  Message& number(uint32_t field, uint64_t value) {
    varint(field << 3);
    varint(value);
    return *this;
  }
  Message& bytes(uint32_t field, std::string_view value) {
    varint(field << 3 | 2);
    varint(value.size());
    text_ += value;
    return *this;
  }
  Message& message(uint32_t field, const Message& value) { return bytes(field, value.text_); }
  const std::string& text() const { return text_; }

 private:
  void varint(uint64_t value) {
    for (; value >= 128; value >>= 7) text_ += static_cast<char>(value | 128);
    text_ += static_cast<char>(value);
  }
  std::string text_;
};

// A model of one node, y = op(x, x), for tensors of ONNX element type `type`.
inline std::string binary_op_model(std::string_view op, const std::vector<int64_t>& dims,
                                   uint64_t type = 1 /* float32 */) {
  Message shape;
  for (const int64_t dim : dims) {
    shape.message(1, Message().number(1, static_cast<uint64_t>(dim)));
  }
  const Message tensor =
      Message().message(1, Message().number(1, type).message(2, shape));  // TypeProto
  const Message node = Message().bytes(1, "x").bytes(1, "x").bytes(2, "y").bytes(4, op);
  const Message graph = Message()
                            .message(1, node)
                            .bytes(2, "tiny")
                            .message(11, Message().bytes(1, "x").message(2, tensor))
                            .message(12, Message().bytes(1, "y").message(2, tensor));
  return Message().number(1, 8).message(7, graph).message(8, Message().number(2, 17)).text();
}

}  // namespace qaickit::test
