#include <gtest/gtest.h>

#include "device/cuda/cuda_gpu.h"

namespace qaickit::cuda {
namespace {

// A GPU that answers, or does not any more.
Api calls(bool answers) {
  Api api;
  api.cudaGetDevice = [](int* device) { return *device = 0; };
  api.cudaSetDevice = [](int) { return kSuccess; };
  api.cudaGetLastError = [] { return kSuccess; };
  api.cudaMemGetInfo = [](size_t* free, size_t* total) {
    *free = 5;
    *total = 100;
    return kSuccess;
  };
  constexpr int kLaunchFailure = 719;
  if (!answers) api.cudaMemGetInfo = [](size_t*, size_t*) { return kLaunchFailure; };
  return api;
}

Status failure(const std::string& said, bool answers = true) {
  const ort::Api ort;
  const Api cuda = calls(answers);
  Gpu gpu(ort, cuda, 0);
  return gpu.failure(Status(Code::kDeviceError, said));
}

// As ONNX Runtime 1.31 and the libraries that it calls have them.
TEST(CudaErrors, MemoryThatRanOutIsToldFromWords) {
  for (const char* said :
       {"Failed to allocate memory for requested buffer of size 4096",
        "Available memory of 10 is smaller than requested bytes of 20",
        "CUDA failure 2: out of memory ; GPU=0 ; expr=cudaMalloc((void**)&p, size);",
        "CUDNN failure 4003: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED ; GPU=0",
        "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0",
        "CUFFT failure 2: CUFFT_ALLOC_FAILED ; GPU=0"}) {
    const Status status = failure(said);
    EXPECT_EQ(status.code(), Code::kResourceExhausted) << said;
    EXPECT_NE(status.message().find("5 of 100 bytes"), std::string_view::npos) << status.message();
  }
  EXPECT_EQ(failure("CUDNN failure 3000: CUDNN_STATUS_NOT_SUPPORTED").code(), Code::kDeviceError);
}

TEST(CudaErrors, AGpuThatDoesNotAnswerIsLost) {
  const Status status = failure("CUDA failure 2: out of memory", /*answers=*/false);
  EXPECT_EQ(status.code(), Code::kDeviceError);
  EXPECT_NE(status.message().find("start the process anew"), std::string_view::npos);
}

}  // namespace
}  // namespace qaickit::cuda
