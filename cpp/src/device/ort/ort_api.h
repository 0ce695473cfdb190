#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "qaickit/status.h"
#include "qaickit/tensor.h"

// ONNX Runtime, opened at run time from the installed wheel: the wheel ships the library without
// headers, and opening it late lets `onnxruntime-gpu` serve without a rebuild.
namespace qaickit::ort {

struct OrtStatus;
struct OrtEnv;
struct OrtSession;
struct OrtSessionOptions;
struct OrtRunOptions;
struct OrtValue;
struct OrtMemoryInfo;
struct OrtAllocator;
struct OrtTypeInfo;
struct OrtTensorTypeAndShapeInfo;
struct OrtIoBinding;
struct OrtCudaOptions;      // OrtCUDAProviderOptionsV2
struct OrtTensorRTOptions;  // OrtTensorRTProviderOptionsV2

enum OrtLoggingLevel : int { kLogError = 3, kLogFatal = 4 };
enum OrtErrorCode : int {};
enum GraphOptimizationLevel : int { kOptimizeAll = 99 };
enum OrtAllocatorType : int { kDeviceAllocator = 0 };
enum OrtMemType : int { kMemTypeCpuOutput = -1, kMemTypeDefault = 0 };
enum OrtDeviceType : int { kDeviceTypeCpu = 0 };
enum ONNXTensorElementDataType : int {};

// The oldest release that will do: 1.21 rounds a convolution's weights to 8 bits where its input
// was an integer, though nothing asked for that.
inline constexpr uint32_t kApiVersion = 22;

// The functions in use, resolved by slot.
struct Api {
#define ORT_FUNCTION(slot, name, result, arguments) result(*name) arguments = nullptr;
#include "device/ort/ort_functions.inc"
#undef ORT_FUNCTION
  std::string version;  // "1.31.1"
  std::string path;     // file it came from
};

// Loads the library once for the process. QAICKIT_ONNXRUNTIME_LIB names the file to use and nothing
// else is tried then. Error kUnavailable lists what was tried and says what to install.
Result<const Api*> load_api();

// Turns an OrtStatus into ours and frees it. `what` says what was tried.
Status to_status(const Api& api, OrtStatus* status, const char* what);

// Both directions of the element types that a host tensor can have.
ONNXTensorElementDataType element_type(DType dtype) noexcept;
Result<DType> dtype_of(ONNXTensorElementDataType type);

// Owning pointer to an ORT object. The API is never unloaded, so a plain pointer to it will do.
template <class T>
struct Releaser {
  void (*release)(T*) = nullptr;
  void operator()(T* object) const noexcept { release(object); }
};
template <class T>
using Owned = std::unique_ptr<T, Releaser<T>>;

}  // namespace qaickit::ort
