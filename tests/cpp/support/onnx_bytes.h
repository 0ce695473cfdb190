#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "qaickit/qpc.h"
#include "qaickit/tensor.h"

// ONNX files for tests, as few fields as ONNX Runtime takes; no ONNX library is needed.
namespace qaickit::test {

// A protobuf message in the making.
class Message {
 public:
  Message& number(uint32_t field, uint64_t value) {
    varint(uint64_t{field} << 3);
    varint(value);
    return *this;
  }
  Message& text(uint32_t field, std::string_view value) {
    varint(uint64_t{field} << 3 | 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  Message& message(uint32_t field, const Message& value) { return text(field, value.bytes_); }
  const std::string& bytes() const { return bytes_; }

 private:
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }
  std::string bytes_;
};

// TensorProto.DataType.
inline uint64_t onnx_type(DType dtype) {
  switch (dtype) {
    case DType::kFloat32: return 1;
    case DType::kUInt8: return 2;
    case DType::kInt8: return 3;
    case DType::kUInt16: return 4;
    case DType::kInt16: return 5;
    case DType::kInt32: return 6;
    case DType::kInt64: return 7;
    case DType::kBool: return 9;
    case DType::kFloat16: return 10;
    case DType::kFloat64: return 11;
    case DType::kUInt32: return 12;
    case DType::kUInt64: return 13;
    case DType::kBFloat16: return 16;
  }
  return 0;
}

inline Message onnx_node(std::string_view op, const std::vector<std::string>& inputs,
                         const std::string& output) {
  Message node;
  for (const std::string& input : inputs) node.text(1, input);
  return node.text(2, output).text(4, op);
}

inline Message onnx_value(const TensorSpec& spec) {
  Message shape;
  for (const int64_t dim : spec.dims) {
    // -1: left open.
    shape.message(1, dim < 0 ? Message() : Message().number(1, static_cast<uint64_t>(dim)));
  }
  const auto tensor = Message().number(1, onnx_type(spec.dtype)).message(2, shape);
  return Message().text(1, spec.name).message(2, Message().message(1, tensor));
}

// An initializer whose data are outside of the model.
inline Message onnx_external(const TensorSpec& spec, std::string_view location, uint64_t offset,
                             uint64_t length) {
  Message tensor;
  for (const int64_t dim : spec.dims) tensor.number(1, static_cast<uint64_t>(dim));
  tensor.number(2, onnx_type(spec.dtype)).text(8, spec.name);
  tensor.message(13, Message().text(1, "location").text(2, location));
  tensor.message(13, Message().text(1, "offset").text(2, std::to_string(offset)));
  tensor.message(13, Message().text(1, "length").text(2, std::to_string(length)));
  constexpr uint64_t kExternal = 1;
  return tensor.number(14, kExternal);
}

// A model of these nodes with the inputs and outputs of `program`.
inline std::string onnx_model(const ProgramSpec& program, const std::vector<Message>& nodes,
                              const std::vector<Message>& initializers = {}) {
  Message graph;
  for (const Message& node : nodes) graph.message(1, node);
  graph.text(2, program.name);
  for (const Message& initializer : initializers) graph.message(5, initializer);
  for (const TensorSpec& spec : program.inputs) graph.message(11, onnx_value(spec));
  for (const TensorSpec& spec : program.outputs) graph.message(12, onnx_value(spec));
  constexpr uint64_t kIrVersion = 8;
  constexpr uint64_t kOpset = 17;
  const auto opset = Message().text(1, "").number(2, kOpset);
  return Message().number(1, kIrVersion).message(7, graph).message(8, opset).bytes();
}

// The program y = x + x of one float32 tensor.
inline ProgramSpec doubling_program(const std::vector<int64_t>& dims) {
  ProgramSpec program;
  program.name = "add";
  program.inputs = {{"x", DType::kFloat32, dims}};
  program.outputs = {{"y", DType::kFloat32, dims}};
  return program;
}
inline std::string doubling_model(const std::vector<int64_t>& dims) {
  return onnx_model(doubling_program(dims), {onnx_node("Add", {"x", "x"}, "y")});
}

// Output i is a copy of input i modulo the number of inputs, as on the null device.
inline std::string echo_model(const ProgramSpec& program) {
  std::vector<Message> nodes;
  for (size_t i = 0; i < program.outputs.size(); ++i) {
    const TensorSpec& input = program.inputs[i % program.inputs.size()];
    nodes.push_back(onnx_node("Identity", {input.name}, program.outputs[i].name));
  }
  return onnx_model(program, nodes);
}

}  // namespace qaickit::test
