#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "device/cuda/cuda_gpu.h"

namespace qaickit::cuda {

// Page-locks memory of the caller's for as long as what is returned lives; null where it is already
// (by a program on another GPU, say). Errors: kResourceExhausted, kDeviceError.
Result<std::shared_ptr<void>> pin_memory(std::shared_ptr<Gpu> gpu, std::span<std::byte> memory);

}  // namespace qaickit::cuda
