#include "device/cuda/cuda_providers.h"

#include <filesystem>
#include <vector>

#include "base/cat.h"
#include "container/sha256.h"
#include "container/text.h"
#include "device/cuda/cuda_libraries.h"

namespace qaickit::cuda {
namespace {

namespace fs = std::filesystem;

// ONNX Runtime takes a provider's options as two lists.
class ProviderOptions {
 public:
  void add(const char* key, std::string value) {
    keys_.push_back(key);
    values_.push_back(std::move(value));
  }
  const char* const* keys() const { return keys_.data(); }
  std::vector<const char*> values() const {
    std::vector<const char*> values;
    for (const std::string& value : values_) values.push_back(value.c_str());
    return values;
  }
  size_t size() const { return keys_.size(); }

 private:
  std::vector<const char*> keys_;
  std::vector<std::string> values_;
};

constexpr const char* kStreamKey = "user_compute_stream";

constexpr const char* kTensorRt =
    "the TensorRT provider (leave out provider=tensorrt to do without)";
constexpr const char* kTensorRtAdvice =
    "install TensorRT 10 for the CUDA of onnxruntime-gpu, as with pip install tensorrt-cu13; or "
    "leave out provider=tensorrt";

// ONNX Runtime names an engine by the graph's names and shapes, not by its weights: so each content
// has a directory of its own.
Result<std::string> engine_directory(const std::string& cache, const Qpc& qpc) {
  Sha256 hash;
  for (const std::string_view name : {kModelSegment, kFp16ModelSegment, kWeightsSegment}) {
    if (const auto segment = qpc.find(name)) hash.add(*segment);
  }
  const Sha256Digest digest = hash.finish();
  const fs::path directory = fs::path(cache) / to_hex(std::span(digest).first<16>());
  std::error_code error;
  fs::create_directories(directory, error);
  if (!error) return directory.string();
  return Status(Code::kInvalidArgument, cat("device setting engine_cache: ", directory.string(),
                                            " cannot be made: ", error.message()));
}

}  // namespace

Status add_cuda(const Gpu& gpu, const Settings& settings, const ProviderWishes& wishes,
                ort::OrtSessionOptions* session) {
  const ort::Api& api = gpu.ort;
  ProviderOptions list;
  list.add("device_id", std::to_string(gpu.id));
  // Doubling, which is the default, takes up to twice the memory that is needed.
  list.add("arena_extend_strategy", "kSameAsRequested");
  list.add("use_tf32", settings.tf32 ? "1" : "0");
  list.add("enable_cuda_graph", wishes.graphs ? "1" : "0");
  if (settings.gpu_mem_limit) list.add("gpu_mem_limit", std::to_string(settings.gpu_mem_limit));
  ort::OrtCudaOptions* raw = nullptr;
  ORT_RETURN_IF_ERROR(api, api.CreateCudaOptions(&raw), "CUDA options");
  const ort::Owned<ort::OrtCudaOptions> options(raw, {api.ReleaseCudaOptions});
  ORT_RETURN_IF_ERROR(api,
                      api.UpdateCudaOptions(raw, list.keys(), list.values().data(), list.size()),
                      "CUDA options");
  ORT_RETURN_IF_ERROR(api, api.UpdateCudaOptionsWithValue(raw, kStreamKey, wishes.stream),
                      "CUDA stream");
  return ort::to_status(api, api.AppendCuda(session, raw), "the CUDA provider");
}

// Its own CUDA graphs stay off: they would be replayed with another ExecObj's addresses.
Status add_tensorrt(const Gpu& gpu, const Settings& settings, const ProviderWishes& wishes,
                    const Qpc& qpc, ort::OrtSessionOptions* session) {
  const ort::Api& api = gpu.ort;
  ProviderOptions list;
  list.add("device_id", std::to_string(gpu.id));
  list.add("trt_fp16_enable", wishes.fp16 ? "1" : "0");
  list.add("trt_int8_enable", wishes.int8 ? "1" : "0");
  if (!settings.engine_cache.empty()) {
    QAICKIT_ASSIGN_OR_RETURN(const std::string directory,
                             engine_directory(settings.engine_cache, qpc));
    list.add("trt_engine_cache_enable", "1");
    list.add("trt_engine_cache_path", directory);
    list.add("trt_timing_cache_enable", "1");
  }
  QAICKIT_RETURN_IF_ERROR(
      load_libraries(find_provider(api.path, kTensorRtProvider), kTensorRtAdvice));
  ort::OrtTensorRTOptions* raw = nullptr;
  ORT_RETURN_IF_ERROR(api, api.CreateTensorRTOptions(&raw), "TensorRT options");
  const ort::Owned<ort::OrtTensorRTOptions> options(raw, {api.ReleaseTensorRTOptions});
  ORT_RETURN_IF_ERROR(
      api, api.UpdateTensorRTOptions(raw, list.keys(), list.values().data(), list.size()),
      kTensorRt);
  ORT_RETURN_IF_ERROR(api, api.UpdateTensorRTOptionsWithValue(raw, kStreamKey, wishes.stream),
                      "TensorRT stream");
  return ort::to_status(api, api.AppendTensorRT(session, raw), kTensorRt);
}

}  // namespace qaickit::cuda
