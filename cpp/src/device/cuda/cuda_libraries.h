#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "qaickit/status.h"

// NVIDIA's libraries that ONNX Runtime's CUDA provider needs. They come in wheels of their own,
// where the loader does not look: so they are opened here before it asks for them by name.
namespace qaickit::cuda {

inline constexpr const char* kInstallAdvice =
    "install it with: pip install onnxruntime-gpu[cuda,cudnn]";

inline constexpr const char* kCudaProvider = "libonnxruntime_providers_cuda.so";
inline constexpr const char* kTensorRtProvider = "libonnxruntime_providers_tensorrt.so";

// A provider's file beside ONNX Runtime's library `ort_path`; empty: there is none, or the loader
// found ONNX Runtime and the place is not known.
std::string find_provider(const std::string& ort_path, const char* name = kCudaProvider);

// Where to try the CUDA runtime that the provider was built with; without a provider, any.
std::vector<std::string> runtime_candidates(const std::string& provider);

// The major version of the CUDA runtime that the provider was built with; 0: not known.
int needed_runtime(const std::string& provider);

// Opens what a provider needs, once for the process, and what it uses if it is there (cuDNN).
// Error kUnavailable names the library that is missing, what was tried and how to get it.
Status load_libraries(const std::string& provider, const char* advice = kInstallAdvice);

// Name and place of what load_libraries() found, or why not, for doctor.
std::vector<std::pair<std::string, std::string>> library_details(const std::string& provider);

}  // namespace qaickit::cuda
