#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "container/byte_range.h"
#include "qaickit/status.h"
#include "qaickit/tensor.h"

namespace qaickit {

// How a tensor lies in a buffer somewhere on the way between the user and the device.
struct IoFormat {
  DType dtype = DType::kFloat32;
  bool quantised = false;  // real = scale * (stored - offset); else the number itself
  float scale = 1.0f;
  int32_t offset = 0;
  std::vector<int32_t> dims;
  bool flat = true;  // row by row; else one of the device's tiled layouts, which are not public
};

struct IoStep {
  enum class Kind : uint8_t { kCopy, kConvert, kTranspose, kRetile };
  Kind kind = Kind::kCopy;
  IoFormat before;
  IoFormat after;
  std::vector<int32_t> shuffle;  // kTranspose: dim i of `after` is dim shuffle[i] of `before`
};

// For each binding of the io set, inputs first, what lies between the user's buffers and the set's,
// in the direction of the data: an input's steps lead to the set, an output's away from it. None
// for a binding that is in the set as it is for the user. Errors: kDataLoss, naming the tensor.
Result<std::vector<std::vector<IoStep>>> derive_io_steps(Bytes network_desc, std::string_view set);

}  // namespace qaickit
