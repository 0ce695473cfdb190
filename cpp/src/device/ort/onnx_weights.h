#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "qaickit/status.h"
#include "qaickit/tensor.h"

namespace qaickit {

// An initializer of a graph; `data` is in the weights segment.
struct OnnxWeight {
  std::string name;
  DType dtype;
  std::vector<int64_t> dims;
  std::span<const std::byte> data;
};

// The initializers of `model` (a serialised ONNX ModelProto) whose data lie in the segment
// kWeightsSegment, which is `weights`. Error kDataLoss names the initializer that does not fit.
Result<std::vector<OnnxWeight>> find_weights(std::span<const std::byte> model,
                                             std::span<const std::byte> weights);

}  // namespace qaickit
