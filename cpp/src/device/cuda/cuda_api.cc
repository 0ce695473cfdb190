#include "device/cuda/cuda_api.h"

#include <cstdlib>
#include <vector>

#include "base/cat.h"
#include "base/dynamic_library.h"
#include "base/load_once.h"
#include "device/cuda/cuda_libraries.h"

namespace qaickit::cuda {
namespace {

constexpr const char* kRuntimeOverride = "QAICKIT_CUDART_LIB";
constexpr const char* kDriverOverride = "QAICKIT_CUDA_DRIVER_LIB";
constexpr const char* kDriverAdvice =
    "install NVIDIA's driver; in a container, start it with the GPUs (docker run --gpus all)";

std::vector<std::string> candidates(const char* override_variable,
                                    std::vector<std::string> defaults) {
  if (const char* path = std::getenv(override_variable); path && *path) return {path};
  return defaults;
}

Result<DynamicLibrary> open(const std::vector<std::string>& paths, const std::string& what,
                            std::string_view advice) {
  auto library = DynamicLibrary::open_first(paths, what);
  if (library.ok()) return library;
  return Status(Code::kUnavailable, cat(library.status().message(), "\n", advice));
}

Status unfit(const std::string& path, const std::string& why) {
  return Status(Code::kUnavailable, cat(path, " cannot be used: ", why));
}

Status fill(Api& api, const DynamicLibrary& runtime, const DynamicLibrary& driver) {
  std::string missing;
  const auto find = [&missing](const DynamicLibrary& library, const char* name) {
    void* const symbol = library.symbol(name);
    if (!symbol) missing += cat(missing.empty() ? "" : ", ", name, " (", library.path(), ")");
    return symbol;
  };
#define CUDA_RUNTIME_FUNCTION(name, result, arguments) \
  api.name = reinterpret_cast<result(*) arguments>(find(runtime, #name));
#define CUDA_DRIVER_FUNCTION(name, result, arguments) \
  api.name = reinterpret_cast<result(*) arguments>(find(driver, #name));
#include "device/cuda/cuda_functions.inc"
  api.runtime_path = runtime.path();
  api.driver_path = driver.path();
  return missing.empty()
             ? Status()
             : Status(Code::kUnavailable,
                      cat("CUDA 12 or later is needed; functions are missing: ", missing));
}

Result<Api> open_api(const std::string& provider) {
  QAICKIT_ASSIGN_OR_RETURN(const DynamicLibrary driver,
                           open(candidates(kDriverOverride, {"libcuda.so.1"}),
                                "NVIDIA's driver (libcuda.so.1)", kDriverAdvice));
  QAICKIT_ASSIGN_OR_RETURN(const DynamicLibrary runtime,
                           open(candidates(kRuntimeOverride, runtime_candidates(provider)),
                                "the CUDA runtime", kInstallAdvice));
  Api api;
  QAICKIT_RETURN_IF_ERROR(fill(api, runtime, driver));
  if (const int error = api.cudaRuntimeGetVersion(&api.runtime_version); error != kSuccess) {
    return unfit(api.runtime_path, cat("cudaRuntimeGetVersion: ", error_text(api, error)));
  }
  // Handles of one major version's runtime mean nothing to another's.
  if (const int needed = needed_runtime(provider);
      needed > 0 && needed != api.runtime_version / 1000) {
    return unfit(api.runtime_path,
                 cat("it is CUDA ", version_text(api.runtime_version),
                     ", but ONNX Runtime's CUDA provider uses libcudart.so.", needed,
                     "; name that in ", kRuntimeOverride, " or leave it out"));
  }
  if (const int error = api.cuDriverGetVersion(&api.driver_version); error != kSuccess) {
    return unfit(api.driver_path, cat("cuDriverGetVersion: error ", error));
  }
  // Within a major version an older driver will do (CUDA's minor version compatibility).
  if (api.driver_version / 1000 < api.runtime_version / 1000) {
    return unfit(api.runtime_path,
                 cat("it is CUDA ", version_text(api.runtime_version), ", but the driver (",
                     api.driver_path, ") runs CUDA ", version_text(api.driver_version),
                     " at most; install a newer driver, or an onnxruntime-gpu for that CUDA"));
  }
  return api;
}

}  // namespace

Result<const Api*> load_api(const std::string& provider) {
  return load_once<Api>([&provider] { return open_api(provider); });
}

std::string version_text(int version) { return cat(version / 1000, ".", version % 1000 / 10); }

std::string error_text(const Api& api, int error) {
  return cat(api.cudaGetErrorName(error), " (", api.cudaGetErrorString(error), ")");
}

}  // namespace qaickit::cuda
