#include "onnxruntime/provider_options.h"

#include <charconv>
#include <span>

#include "fake_cudart.h"

namespace fakeort {
namespace {

enum class Kind { kText, kBool, kNumber, kDevice, kArena, kSearch };
struct Row {
  std::string_view key;
  Kind kind;
};

// onnxruntime/core/providers/cuda/cuda_execution_provider_info.cc.
constexpr Row kCuda[] = {
    {"device_id", Kind::kDevice},
    {"has_user_compute_stream", Kind::kBool},
    {"user_compute_stream", Kind::kNumber},
    {"gpu_mem_limit", Kind::kNumber},
    {"arena_extend_strategy", Kind::kArena},
    {"cudnn_conv_algo_search", Kind::kSearch},
    {"do_copy_in_default_stream", Kind::kBool},
    {"gpu_external_alloc", Kind::kNumber},
    {"gpu_external_free", Kind::kNumber},
    {"gpu_external_empty_cache", Kind::kNumber},
    {"cudnn_conv_use_max_workspace", Kind::kBool},
    {"enable_cuda_graph", Kind::kBool},
    {"cudnn_conv1d_pad_to_nc1d", Kind::kBool},
    {"tunable_op_enable", Kind::kBool},
    {"tunable_op_tuning_enable", Kind::kBool},
    {"tunable_op_max_tuning_duration_ms", Kind::kNumber},
    {"enable_skip_layer_norm_strict_mode", Kind::kBool},
    {"prefer_nhwc", Kind::kBool},
    {"use_ep_level_unified_stream", Kind::kBool},
    {"use_tf32", Kind::kBool},
    {"fuse_conv_bias", Kind::kBool},
    {"sdpa_kernel", Kind::kNumber},
};

// onnxruntime/core/providers/tensorrt/tensorrt_execution_provider_info.cc.
constexpr Row kTensorRt[] = {
    {"device_id", Kind::kDevice},
    {"user_compute_stream", Kind::kNumber},
    {"trt_max_partition_iterations", Kind::kNumber},
    {"trt_min_subgraph_size", Kind::kNumber},
    {"trt_max_workspace_size", Kind::kNumber},
    {"trt_fp16_enable", Kind::kBool},
    {"trt_int8_enable", Kind::kBool},
    {"trt_int8_calibration_table_name", Kind::kText},
    {"trt_int8_use_native_calibration_table", Kind::kBool},
    {"trt_dla_enable", Kind::kBool},
    {"trt_dla_core", Kind::kNumber},
    {"trt_dump_subgraphs", Kind::kBool},
    {"trt_engine_cache_enable", Kind::kBool},
    {"trt_engine_cache_path", Kind::kText},
    {"trt_engine_cache_prefix", Kind::kText},
    {"trt_engine_hw_compatible", Kind::kBool},
    {"trt_weight_stripped_engine_enable", Kind::kBool},
    {"trt_onnx_model_folder_path", Kind::kText},
    {"trt_force_sequential_engine_build", Kind::kBool},
    {"trt_context_memory_sharing_enable", Kind::kBool},
    {"trt_layer_norm_fp32_fallback", Kind::kBool},
    {"trt_timing_cache_enable", Kind::kBool},
    {"trt_timing_cache_path", Kind::kText},
    {"trt_force_timing_cache", Kind::kBool},
    {"trt_detailed_build_log", Kind::kBool},
    {"trt_build_heuristics_enable", Kind::kBool},
    {"trt_sparsity_enable", Kind::kBool},
    {"trt_builder_optimization_level", Kind::kNumber},
    {"trt_auxiliary_streams", Kind::kNumber},
    {"trt_tactic_sources", Kind::kText},
    {"trt_extra_plugin_lib_paths", Kind::kText},
    {"trt_profile_min_shapes", Kind::kText},
    {"trt_profile_max_shapes", Kind::kText},
    {"trt_profile_opt_shapes", Kind::kText},
    {"trt_cuda_graph_enable", Kind::kBool},
    {"trt_dump_ep_context_model", Kind::kBool},
    {"trt_ep_context_file_path", Kind::kText},
    {"trt_ep_context_embed_mode", Kind::kNumber},
};

bool is_number(std::string_view text) {
  uint64_t number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  return problem == std::errc() && end == text.data() + text.size();
}

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> allowed) {
  for (const std::string_view each : allowed) {
    if (text == each) return true;
  }
  return false;
}

bool is_true(std::string_view text) { return is_one_of(text, {"1", "true", "True"}); }

// Empty: the value will do.
std::string problem_with(Kind kind, const std::string& value) {
  const auto expect = [&value](bool good) {
    return good ? std::string() : "Failed to parse value: \"" + value + "\"";
  };
  switch (kind) {
    case Kind::kText: return {};
    case Kind::kBool: return expect(is_true(value) || is_one_of(value, {"0", "false", "False"}));
    case Kind::kNumber: return expect(is_number(value));
    case Kind::kArena: return expect(is_one_of(value, {"kNextPowerOfTwo", "kSameAsRequested"}));
    case Kind::kSearch: return expect(is_one_of(value, {"EXHAUSTIVE", "HEURISTIC", "DEFAULT"}));
    case Kind::kDevice: break;
  }
  if (!is_number(value)) return expect(false);
  int count = 0;
  if (const int code = cudaGetDeviceCount(&count)) {
    return "CUDA failure " + std::to_string(code) + ": " + cudaGetErrorString(code) +
           " ; expr=cudaGetDeviceCount(&num_devices);";
  }
  if (std::stoull(value) < static_cast<uint64_t>(count)) return {};
  return "Invalid device ID: " + value + ", must be between 0 (inclusive) and " +
         std::to_string(count) + " (exclusive).";
}

}  // namespace

OrtStatus* ProviderOptions::update(const char* const* keys, const char* const* values,
                                   size_t count) {
  const std::span<const Row> rows =
      provider_ == "cuda" ? std::span<const Row>(kCuda) : std::span<const Row>(kTensorRt);
  for (size_t i = 0; i < count; ++i) {
    if (!keys[i] || !values[i]) return error(kInvalidArgument, "key/value cannot be null");
    const Row* found = nullptr;
    for (const Row& row : rows) {
      if (row.key == keys[i]) found = &row;
    }
    if (!found) {
      return error(kInvalidArgument, "Unknown provider option: \"" + std::string(keys[i]) + "\".");
    }
    if (const std::string problem = problem_with(found->kind, values[i]); !problem.empty()) {
      return error(kInvalidArgument,
                   "Failed to parse provider option \"" + std::string(keys[i]) + "\": " + problem);
    }
    values_[keys[i]] = values[i];
    if (found->key == "user_compute_stream") {
      stream_ = reinterpret_cast<void*>(static_cast<uintptr_t>(std::stoull(values[i])));
    }
  }
  return nullptr;
}

OrtStatus* ProviderOptions::update(const char* key, void* value) {
  if (std::string_view(key) != "user_compute_stream") {
    return error(kInvalidArgument, std::string("the fake knows no pointer option '") + key + "'");
  }
  stream_ = value;
  return nullptr;
}

const std::string* ProviderOptions::find(const std::string& key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second;
}

bool ProviderOptions::is_on(const std::string& key) const {
  const std::string* const value = find(key);
  return value && is_true(*value);
}

int ProviderOptions::device_id() const {
  const std::string* const value = find("device_id");
  return value ? std::stoi(*value) : 0;
}

}  // namespace fakeort
