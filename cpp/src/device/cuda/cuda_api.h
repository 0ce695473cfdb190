#pragma once

#include <cstddef>
#include <string>

#include "qaickit/status.h"

// The CUDA runtime and driver, opened at run time: there is nothing of CUDA at build time.
namespace qaickit::cuda {

using CudaStream = struct CudaStreamObject*;
using CudaEvent = struct CudaEventObject*;

// Values of CUDA's own enumerations, equal in CUDA 12 and 13.
inline constexpr int kSuccess = 0;
inline constexpr int kErrorMemoryAllocation = 2;
inline constexpr int kErrorInsufficientDriver = 35;
inline constexpr int kErrorNoDevice = 100;
inline constexpr int kErrorNotReady = 600;
inline constexpr int kErrorHostMemoryAlreadyRegistered = 712;
inline constexpr int kErrorStreamCaptureUnsupported = 900;
inline constexpr int kErrorStreamCaptureInvalidated = 901;
inline constexpr unsigned kStreamNonBlocking = 1;
inline constexpr unsigned kEventBlockingSync = 1;
inline constexpr unsigned kEventDisableTiming = 2;
inline constexpr unsigned kHostAllocPortable = 1;
inline constexpr unsigned kHostRegisterPortable = 1;
inline constexpr int kHostToDevice = 1;
inline constexpr int kDeviceToHost = 2;
inline constexpr int kComputeCapabilityMajor = 75;
inline constexpr int kComputeCapabilityMinor = 76;
inline constexpr int kCaptureModeRelaxed = 2;
inline constexpr int kPointerMemoryType = 2;  // CU_POINTER_ATTRIBUTE_MEMORY_TYPE
inline constexpr unsigned kMemoryTypeHost = 1;

struct Api {
#define CUDA_RUNTIME_FUNCTION(name, result, arguments) result(*name) arguments = nullptr;
#define CUDA_DRIVER_FUNCTION(name, result, arguments) result(*name) arguments = nullptr;
#include "device/cuda/cuda_functions.inc"
  std::string runtime_path;
  std::string driver_path;
  int runtime_version = 0;  // 13000: CUDA 13.0
  int driver_version = 0;   // newest CUDA that the driver can run
};

// Opens both once for the process: the driver that is installed, and the runtime that ONNX
// Runtime's CUDA provider uses. QAICKIT_CUDA_DRIVER_LIB and QAICKIT_CUDART_LIB name other files.
// `provider` is the provider's file, or empty where there is none to look into.
// Error kUnavailable says what is missing, what was tried and how to get it.
Result<const Api*> load_api(const std::string& provider);

// "13.0" for 13000.
std::string version_text(int version);

// "cudaErrorNoDevice (no CUDA-capable device is detected)".
std::string error_text(const Api& api, int error);

}  // namespace qaickit::cuda
