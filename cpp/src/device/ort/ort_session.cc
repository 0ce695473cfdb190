#include "device/ort/ort_session.h"

#include <mutex>
#include <string>

#include "base/cat.h"
#include "device/ort/onnx_weights.h"

namespace qaickit::ort {
namespace {

// One input or output of the graph inside, which must be what the network descriptor says of
// tensor t.
Status check_tensor(const Api& api, OrtTypeInfo* type_info, const ProgramSpec& program, size_t t) {
  const TensorSpec& spec = program.tensor(t);
  const Owned<OrtTypeInfo> owned(type_info, {api.ReleaseTypeInfo});
  const OrtTensorTypeAndShapeInfo* info = nullptr;
  ORT_RETURN_IF_ERROR(api, api.CastTypeInfoToTensorInfo(type_info, &info), "tensor info");
  if (!info) return Status(Code::kDataLoss, cat("'", spec.name, "' of the graph is not a tensor"));
  ONNXTensorElementDataType type{};
  ORT_RETURN_IF_ERROR(api, api.GetTensorElementType(info, &type), "element type");
  size_t rank = 0;
  ORT_RETURN_IF_ERROR(api, api.GetDimensionsCount(info, &rank), "rank");
  std::vector<int64_t> dims(rank);
  ORT_RETURN_IF_ERROR(api, api.GetDimensions(info, dims.data(), rank), "dims");
  for (size_t set = 0; set < program.num_shape_sets(); ++set) {
    const std::span<const int64_t> wanted = program.dims(set, t);
    bool same = type == element_type(spec.dtype) && rank == wanted.size();
    // -1: the graph leaves open what the descriptor fixes.
    for (size_t i = 0; same && i < rank; ++i) same = dims[i] == -1 || dims[i] == wanted[i];
    if (same) continue;
    return Status(Code::kDataLoss,
                  cat("'", spec.name, "' is ", dtype_name(spec.dtype), " ", dims_to_string(wanted),
                      " in the network descriptor, but ONNX type ", static_cast<int>(type), " ",
                      dims_to_string(dims), " in the graph; compile the QPC again"));
  }
  return {};
}

using CountFn = OrtStatus* (*)(const OrtSession*, size_t*);
using NameFn = OrtStatus* (*)(const OrtSession*, size_t, OrtAllocator*, char**);
using TypeFn = OrtStatus* (*)(const OrtSession*, size_t, OrtTypeInfo**);

// `specs` are the program's tensors from `first` on.
Status check_tensors(const Api& api, const OrtSession* session, const ProgramSpec& program,
                     const char* kind, const std::vector<TensorSpec>& specs, size_t first,
                     CountFn count_of, NameFn name_of, TypeFn type_of) {
  OrtAllocator* allocator = nullptr;
  ORT_RETURN_IF_ERROR(api, api.GetAllocatorWithDefaultOptions(&allocator), "allocator");
  size_t count = 0;
  ORT_RETURN_IF_ERROR(api, count_of(session, &count), "count");
  std::vector<bool> found(specs.size());
  for (size_t i = 0; i < count; ++i) {
    char* raw = nullptr;
    ORT_RETURN_IF_ERROR(api, name_of(session, i, allocator, &raw), "name");
    const std::string name = raw;
    (void)to_status(api, api.AllocatorFree(allocator, raw), "");
    bool listed = false;
    for (size_t s = 0; s < specs.size(); ++s) {
      if (specs[s].name != name) continue;
      OrtTypeInfo* info = nullptr;
      ORT_RETURN_IF_ERROR(api, type_of(session, i, &info), "type");
      QAICKIT_RETURN_IF_ERROR(check_tensor(api, info, program, first + s));
      found[s] = listed = true;
    }
    // An output that nobody asks for is no harm; without an input there is no run.
    if (!listed && count_of == api.SessionGetInputCount) {
      return Status(Code::kDataLoss, cat("input '", name,
                                         "' of the graph is not in the network "
                                         "descriptor; compile the QPC again"));
    }
  }
  for (size_t s = 0; s < specs.size(); ++s) {
    if (found[s]) continue;
    return Status(Code::kDataLoss, cat(kind, " '", specs[s].name,
                                       "' of the network descriptor is not in the graph; compile "
                                       "the QPC again"));
  }
  return {};
}

Status add_weights(const Api& api, const Qpc& qpc, std::span<const std::byte> model,
                   OrtSessionOptions* options) {
  const auto segment = qpc.find(kWeightsSegment);
  if (!segment) return {};
  QAICKIT_ASSIGN_OR_RETURN(const auto memory, cpu_memory(api));
  QAICKIT_ASSIGN_OR_RETURN(const std::vector<OnnxWeight> weights, find_weights(model, *segment));
  std::vector<const char*> names;
  std::vector<const OrtValue*> values;
  std::vector<Owned<OrtValue>> owned;
  for (const OnnxWeight& weight : weights) {
    OrtValue* value = nullptr;
    // ONNX Runtime does not write into an initializer, but has no type for that.
    void* const data = const_cast<std::byte*>(weight.data.data());
    ORT_RETURN_IF_ERROR(api,
                        api.CreateTensorWithDataAsOrtValue(memory.get(), data, weight.data.size(),
                                                           weight.dims.data(), weight.dims.size(),
                                                           element_type(weight.dtype), &value),
                        "a weight");
    owned.push_back({value, {api.ReleaseValue}});
    names.push_back(weight.name.c_str());
    values.push_back(value);
  }
  // It refuses to be given none.
  if (names.empty()) return {};
  ORT_RETURN_IF_ERROR(
      api, api.AddExternalInitializers(options, names.data(), values.data(), names.size()),
      "the weights");
  return {};
}

}  // namespace

Result<const OrtEnv*> process_env(const Api& api) {
  static std::mutex mutex;
  static const OrtEnv* env = nullptr;
  const std::lock_guard lock(mutex);
  if (!env) {
    OrtEnv* created = nullptr;
    ORT_RETURN_IF_ERROR(api, api.CreateEnv(kLogError, "qaickit", &created), "CreateEnv");
    ORT_RETURN_IF_ERROR(api, api.DisableTelemetryEvents(created), "DisableTelemetryEvents");
    env = created;
  }
  return env;
}

Result<Owned<OrtMemoryInfo>> cpu_memory(const Api& api) {
  OrtMemoryInfo* memory = nullptr;
  ORT_RETURN_IF_ERROR(api, api.CreateCpuMemoryInfo(kDeviceAllocator, kMemTypeDefault, &memory),
                      "memory info");
  return Owned<OrtMemoryInfo>(memory, {api.ReleaseMemoryInfo});
}

Result<std::span<const std::byte>> graph_of(const Qpc& qpc, std::string_view segment) {
  const auto graph = qpc.find(segment);
  if (!graph || !qpc.manifest()) {
    return Status(Code::kUnsupported,
                  "the QPC has no host half (the ONNX graph), so it runs on a card only; compile "
                  "the ONNX file with qaickit to add it");
  }
  return *graph;
}

Result<Owned<OrtSessionOptions>> make_options(const Api& api, uint32_t threads, bool spin) {
  OrtSessionOptions* options = nullptr;
  ORT_RETURN_IF_ERROR(api, api.CreateSessionOptions(&options), "CreateSessionOptions");
  Owned<OrtSessionOptions> owned(options, {api.ReleaseSessionOptions});
  ORT_RETURN_IF_ERROR(api, api.SetSessionLogSeverityLevel(options, kLogError), "log level");
  ORT_RETURN_IF_ERROR(api, api.SetSessionGraphOptimizationLevel(options, kOptimizeAll),
                      "optimisation level");
  ORT_RETURN_IF_ERROR(api, api.SetIntraOpNumThreads(options, static_cast<int>(threads)),
                      "intra-op threads");
  ORT_RETURN_IF_ERROR(api, api.SetInterOpNumThreads(options, 1), "inter-op threads");
  if (!spin) {
    ORT_RETURN_IF_ERROR(api,
                        api.AddSessionConfigEntry(options, "session.intra_op.allow_spinning", "0"),
                        "spinning");
  }
  return owned;
}

Result<Owned<OrtSession>> make_session(const Api& api, const Qpc& qpc,
                                       std::span<const std::byte> model,
                                       Owned<OrtSessionOptions> options) {
  QAICKIT_ASSIGN_OR_RETURN(const OrtEnv* env, process_env(api));
  QAICKIT_RETURN_IF_ERROR(add_weights(api, qpc, model, options.get()));
  OrtSession* session = nullptr;
  ORT_RETURN_IF_ERROR(
      api, api.CreateSessionFromArray(env, model.data(), model.size(), options.get(), &session),
      "loading the graph");
  Owned<OrtSession> owned(session, {api.ReleaseSession});
  const ProgramSpec& program = qpc.program();
  QAICKIT_RETURN_IF_ERROR(check_tensors(api, session, program, "input", program.inputs, 0,
                                        api.SessionGetInputCount, api.SessionGetInputName,
                                        api.SessionGetInputTypeInfo));
  QAICKIT_RETURN_IF_ERROR(check_tensors(api, session, program, "output", program.outputs,
                                        program.inputs.size(), api.SessionGetOutputCount,
                                        api.SessionGetOutputName, api.SessionGetOutputTypeInfo));
  return owned;
}

Result<Owned<OrtValue>> wrap(const Api& api, const OrtMemoryInfo* memory,
                             const ProgramSpec& program, size_t set, size_t t, void* data) {
  const std::span<const int64_t> dims = program.dims(set, t);
  OrtValue* value = nullptr;
  ORT_RETURN_IF_ERROR(api,
                      api.CreateTensorWithDataAsOrtValue(
                          memory, data, program.bytes(set, t), dims.data(), dims.size(),
                          element_type(program.tensor(t).dtype), &value),
                      "CreateTensorWithDataAsOrtValue");
  return Owned<OrtValue>(value, {api.ReleaseValue});
}

}  // namespace qaickit::ort
