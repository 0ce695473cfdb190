#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "device/cuda/cuda_api.h"
#include "device/ort/ort_api.h"

namespace qaickit::cuda {

// A GPU, and what its errors mean. Lock-free.
class Gpu {
 public:
  Gpu(const ort::Api& ort, const Api& cuda, int id) : ort(ort), cuda(cuda), id(id) {}

  std::string name() const;  // "cuda:0"
  // Of compute capability 8.0 and later.
  bool has_tf32() const noexcept;
  // True once an error has broken the GPU's context: nothing runs there again in this process.
  bool lost() const noexcept { return lost_.load(std::memory_order_relaxed); }
  Status lost_status() const;

  // An error of CUDA's as a status that names the GPU and the call. Finds out whether the GPU is
  // lost. kResourceExhausted where memory ran out, with the `bytes` asked for (0: not known) and
  // those that are free.
  Status failure(int error, std::string_view call, size_t bytes = 0) noexcept;
  // The same for an error of ONNX Runtime's, which tells its cause in words only.
  Status failure(const Status& status) noexcept;
  Status check(int error, std::string_view call, size_t bytes = 0) noexcept {
    return error == kSuccess ? Status() : failure(error, call, bytes);
  }

  const ort::Api& ort;
  const Api& cuda;
  const int id;

 private:
  // The bytes that are free, for people; "" and lost() where the GPU does not answer.
  std::string free_memory() noexcept;

  std::atomic<bool> lost_{false};
};

// Makes a GPU the calling thread's own for as long as this lives.
class CurrentGpu {
 public:
  explicit CurrentGpu(const Gpu& gpu) noexcept : cuda_(gpu.cuda) {
    if (cuda_.cudaGetDevice(&before_) != kSuccess) before_ = gpu.id;
    if (before_ != gpu.id) (void)cuda_.cudaSetDevice(gpu.id);
    changed_ = before_ != gpu.id;
  }
  ~CurrentGpu() {
    if (changed_) (void)cuda_.cudaSetDevice(before_);
  }
  CurrentGpu(const CurrentGpu&) = delete;
  CurrentGpu& operator=(const CurrentGpu&) = delete;

 private:
  const Api& cuda_;
  int before_ = 0;
  bool changed_ = false;
};

// Lets the calling thread wait for the GPU while another thread, here or in somebody's library,
// captures a graph in CUDA's global mode: it would otherwise be refused, and spoil the capture.
class WhileOthersCapture {
 public:
  explicit WhileOthersCapture(const Gpu& gpu) noexcept : cuda_(gpu.cuda) { exchange(); }
  ~WhileOthersCapture() { exchange(); }
  WhileOthersCapture(const WhileOthersCapture&) = delete;
  WhileOthersCapture& operator=(const WhileOthersCapture&) = delete;

 private:
  void exchange() noexcept { (void)cuda_.cudaThreadExchangeStreamCaptureMode(&mode_); }

  const Api& cuda_;
  int mode_ = kCaptureModeRelaxed;
};

}  // namespace qaickit::cuda

#define CUDA_RETURN_IF_ERROR(gpu, function, ...) \
  QAICKIT_RETURN_IF_ERROR((gpu).check((gpu).cuda.function(__VA_ARGS__), #function))
