#include "device/ort/onnx_weights.h"

#include <charconv>
#include <climits>
#include <optional>
#include <utility>

#include "base/cat.h"
#include "container/byte_range.h"
#include "container/text.h"
#include "device/ort/onnx_graph.pb.h"
#include "device/ort/ort_api.h"
#include "qaickit/qpc.h"

namespace qaickit {
namespace {

constexpr int32_t kExternal = 1;

Status damaged(std::string_view name, const std::string& why) {
  return Status(Code::kDataLoss, cat("initializer ", printable(name), " of the graph: ", why,
                                     "; the file is damaged, copy or compile it again"));
}

std::string_view value_of(const onnx::Tensor& tensor, std::string_view key) {
  for (const onnx::Entry& entry : tensor.external_data()) {
    if (entry.key() == key) return entry.value();
  }
  return {};
}

std::optional<uint64_t> number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

Result<OnnxWeight> read_weight(const onnx::Tensor& tensor, Bytes weights) {
  const std::string& name = tensor.name();
  const std::string_view location = value_of(tensor, "location");
  if (location != kWeightsSegment) {
    return damaged(name, cat("its data is in ", printable(location), ", not in ", kWeightsSegment));
  }
  const auto dtype = ort::dtype_of(static_cast<ort::ONNXTensorElementDataType>(tensor.data_type()));
  if (!dtype.ok()) return damaged(name, std::string(dtype.status().message()));
  const std::string_view offset_text = value_of(tensor, "offset");
  const auto offset = offset_text.empty() ? 0 : number(offset_text);
  const auto length = number(value_of(tensor, "length"));
  std::vector<int64_t> dims(tensor.dims().begin(), tensor.dims().end());
  const auto bytes = checked_bytes(dims, dtype_bytes(*dtype));
  if (!bytes.ok()) return damaged(name, std::string(bytes.status().message()));
  if (!offset || !length || *length != *bytes) {
    return damaged(
        name, cat("its shape ", dims_to_string(dims), " takes ", *bytes, " bytes, its data has ",
                  printable(value_of(tensor, "length")), " at offset ", printable(offset_text)));
  }
  const auto data = slice(weights, *offset, *length);
  if (!data) {
    return damaged(name, cat(*length, " bytes at offset ", *offset, " are outside of ",
                             kWeightsSegment, ", which has ", weights.size()));
  }
  return OnnxWeight{name, *dtype, std::move(dims), *data};
}

}  // namespace

Result<std::vector<OnnxWeight>> find_weights(Bytes model, Bytes weights) {
  onnx::Model message;
  if (model.size() > INT_MAX ||
      !message.ParseFromArray(model.data(), static_cast<int>(model.size()))) {
    return Status(Code::kDataLoss, cat("segment '", kModelSegment,
                                       "' is not an ONNX model; copy or compile the file again"));
  }
  std::vector<OnnxWeight> found;
  for (const onnx::Tensor& tensor : message.graph().initializer()) {
    if (tensor.data_location() != kExternal) continue;
    QAICKIT_ASSIGN_OR_RETURN(OnnxWeight weight, read_weight(tensor, weights));
    found.push_back(std::move(weight));
  }
  return found;
}

}  // namespace qaickit
