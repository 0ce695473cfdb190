#include "device/ort/ort_api.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "base/cat.h"
#include "base/dynamic_library.h"
#include "base/load_once.h"
#include "device/wheel_library.h"

namespace qaickit::ort {
namespace {

struct ApiBase {
  const void* const* (*GetApi)(uint32_t version);
  const char* (*GetVersionString)();
};

constexpr const char* kOverride = "QAICKIT_ONNXRUNTIME_LIB";
constexpr const char* kAdvice = "install it with: pip install onnxruntime";

// The wheels onnxruntime and onnxruntime-gpu unpack into one directory; of two versions there only
// one is the GPUs', which pip tells by a directory beside the package.
bool is_of_gpu_wheel(const std::filesystem::path& library) {
  constexpr std::string_view kName = "libonnxruntime.so.";
  const std::string file = library.filename().string();
  if (!file.starts_with(kName) || !library.has_parent_path()) return false;
  const std::filesystem::path site = library.parent_path().parent_path().parent_path();
  std::error_code error;
  return std::filesystem::exists(
      site / cat("onnxruntime_gpu-", file.substr(kName.size()), ".dist-info"), error);
}

Result<Api> open_api() {
  // From 1.29 on the library starts a thread that uploads telemetry, before there is an Env to
  // disable it on; a child of fork() then hangs at its exit. Whoever wants it sets the variable.
  setenv("ORT_DISABLE_TELEMETRY", "1", 0);
  std::vector<std::string> candidates =
      wheel_library_candidates(kOverride, "onnxruntime/capi", "libonnxruntime.so",
                               {"libonnxruntime.so.1", "libonnxruntime.so"});
  // It computes on CPUs as well as the other.
  std::ranges::stable_partition(candidates, is_of_gpu_wheel);
  auto library = DynamicLibrary::open_first(candidates, "ONNX Runtime");
  if (!library.ok()) {
    return Status(Code::kUnavailable, cat(library.status().message(), "\n", kAdvice,
                                          ", or name the library in ", kOverride));
  }
  const std::string& path = library->path();
  using GetBase = const ApiBase* (*)();
  auto get_base = reinterpret_cast<GetBase>(library->symbol("OrtGetApiBase"));
  if (!get_base) {
    return Status(Code::kUnavailable, cat(path, " is not ONNX Runtime: it has no OrtGetApiBase"));
  }
  const ApiBase* base = get_base();
  const std::string version = base->GetVersionString();
  // Below, GetApi prints a complaint of its own before it returns null; ask the version first.
  unsigned major = 0;
  unsigned minor = 0;
  const bool parsed = std::sscanf(version.c_str(), "%u.%u", &major, &minor) == 2;
  const bool new_enough = parsed && (major > 1 || minor >= kApiVersion);
  const void* const* table = new_enough ? base->GetApi(kApiVersion) : nullptr;
  if (!table) {
    return Status(Code::kUnavailable, cat(path, " is ONNX Runtime ", version, "; 1.", kApiVersion,
                                          " or later is needed: pip install -U onnxruntime"));
  }
  Api api;
  const unsigned since_1 = major > 1 ? ~0U : minor;
#define ORT_FUNCTION(slot, name, result, arguments) \
  api.name = reinterpret_cast<result(*) arguments>(const_cast<void*>(table[slot]));
#define ORT_FUNCTION_SINCE(version, slot, name, result, arguments) \
  if (since_1 >= (version)) ORT_FUNCTION(slot, name, result, arguments)
#include "device/ort/ort_functions.inc"
#undef ORT_FUNCTION
  api.version = version;
  api.path = path;
  return api;
}

// ONNX's TensorProto.DataType numbers are the C API's as well.
struct TypeRow {
  DType dtype;
  int onnx;
};
constexpr std::array<TypeRow, 13> kTypes{{
    {DType::kFloat32, 1},
    {DType::kUInt8, 2},
    {DType::kInt8, 3},
    {DType::kUInt16, 4},
    {DType::kInt16, 5},
    {DType::kInt32, 6},
    {DType::kInt64, 7},
    {DType::kBool, 9},
    {DType::kFloat16, 10},
    {DType::kFloat64, 11},
    {DType::kUInt32, 12},
    {DType::kUInt64, 13},
    {DType::kBFloat16, 16},
}};

}  // namespace

Result<const Api*> load_api() { return load_once<Api>(open_api); }

Status to_status(const Api& api, OrtStatus* status, const char* what) {
  if (!status) return {};
  Status ours(Code::kDeviceError, cat("ONNX Runtime: ", what, ": ", api.GetErrorMessage(status)));
  api.ReleaseStatus(status);
  return ours;
}

ONNXTensorElementDataType element_type(DType dtype) noexcept {
  for (const TypeRow& row : kTypes) {
    if (row.dtype == dtype) return static_cast<ONNXTensorElementDataType>(row.onnx);
  }
  return static_cast<ONNXTensorElementDataType>(0);
}

Result<DType> dtype_of(ONNXTensorElementDataType type) {
  for (const TypeRow& row : kTypes) {
    if (row.onnx == static_cast<int>(type)) return row.dtype;
  }
  return Status(Code::kUnsupported, cat("ONNX element type ", static_cast<int>(type),
                                        " cannot be an input or output here"));
}

}  // namespace qaickit::ort
