#include "device/cuda/cuda_gpu.h"

#include <algorithm>
#include <array>

#include "base/cat.h"

namespace qaickit::cuda {
namespace {

// How ONNX Runtime's messages tell that the GPU's memory ran out: its arena's words, CUDA's, and
// those of the libraries that its kernels call: cuDNN 9, then cuBLAS and cuFFT.
constexpr std::array<std::string_view, 5> kOutOfMemory = {
    "Failed to allocate memory", "Available memory of", "out of memory",
    "_DEVICE_ALLOCATION_FAILED", "_ALLOC_FAILED"};

constexpr std::string_view kLost =
    "; the GPU is lost to this process: start the process anew (and look at the GPU with "
    "nvidia-smi)";

bool tells_out_of_memory(std::string_view message) {
  return std::any_of(kOutOfMemory.begin(), kOutOfMemory.end(),
                     [&](std::string_view words) { return message.find(words) != message.npos; });
}

}  // namespace

std::string Gpu::name() const { return cat("cuda:", id); }

bool Gpu::has_tf32() const noexcept {
  int major = 0;
  return cuda.cudaDeviceGetAttribute(&major, kComputeCapabilityMajor, id) == kSuccess && major >= 8;
}

Status Gpu::lost_status() const {
  return Status(Code::kDeviceError, cat(name(), ": an earlier error has broken it", kLost));
}

std::string Gpu::free_memory() noexcept {
  const CurrentGpu current(*this);
  // Takes back an error that ends with its call; one that breaks the context comes again.
  (void)cuda.cudaGetLastError();
  size_t free = 0;
  size_t total = 0;
  const int error = cuda.cudaMemGetInfo(&free, &total);
  if (error == kErrorStreamCaptureUnsupported || error == kErrorStreamCaptureInvalidated) {
    return "how much is free is not told while a graph is captured";
  }
  if (error != kSuccess) {
    lost_.store(true, std::memory_order_relaxed);
    return {};
  }
  return cat(free, " of ", total, " bytes of the GPU are free");
}

Status Gpu::failure(int error, std::string_view call, size_t bytes) noexcept {
  const std::string free = free_memory();
  const std::string what = cat(name(), ": ", call, ": ", error_text(cuda, error));
  if (lost()) return Status(Code::kDeviceError, cat(what, kLost));
  if (error != kErrorMemoryAllocation) return Status(Code::kDeviceError, what);
  const std::string asked = bytes ? cat(bytes, " bytes were asked for, ") : "";
  return Status(Code::kResourceExhausted,
                cat(what, "; ", asked, free,
                    "; use fewer activations, a smaller set_size or a smaller batch"));
}

Status Gpu::failure(const Status& status) noexcept {
  if (status.ok()) return status;
  const std::string free = free_memory();
  const std::string what = cat(name(), ": ", status.message());
  if (lost()) return Status(Code::kDeviceError, cat(what, kLost));
  if (!tells_out_of_memory(status.message())) return Status(status.code(), what);
  return Status(Code::kResourceExhausted, cat(what, "; ", free));
}

}  // namespace qaickit::cuda
