#include <atomic>
#include <cstring>
#include <mutex>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "base/affinity.h"
#include "base/cat.h"
#include "device/cpu/cpu_backend.h"
#include "device/cpu/onnx_weights.h"
#include "device/cpu/ort_api.h"
#include "device/host_exec_obj.h"
#include "device/settings.h"

namespace qaickit {
namespace {

using ort::Api;
using ort::Owned;

#define ORT_RETURN_IF_ERROR(api, call, what) \
  QAICKIT_RETURN_IF_ERROR(ort::to_status(api, call, what))

// One for the process; leaked, since ORT's own threads may outlive static destruction.
Result<const ort::OrtEnv*> process_env(const Api& api) {
  static std::mutex mutex;
  static const ort::OrtEnv* env = nullptr;
  const std::lock_guard lock(mutex);
  if (!env) {
    ort::OrtEnv* created = nullptr;
    ORT_RETURN_IF_ERROR(api, api.CreateEnv(ort::kLogError, "qaickit", &created), "CreateEnv");
    ORT_RETURN_IF_ERROR(api, api.DisableTelemetryEvents(created), "DisableTelemetryEvents");
    env = created;
  }
  return env;
}

// What the activations of a program share.
struct CpuProgramState {
  const Api& api;
  std::shared_ptr<const Qpc> qpc;
  Owned<ort::OrtSession> session;
  Owned<ort::OrtMemoryInfo> memory;
  std::vector<const char*> input_names;
  std::vector<const char*> output_names;
};

// Memory as tensor t of a set of shapes.
Result<Owned<ort::OrtValue>> wrap(const CpuProgramState& state, size_t set, size_t t, void* data) {
  const ProgramSpec& program = state.qpc->program();
  const std::span<const int64_t> dims = program.dims(set, t);
  ort::OrtValue* value = nullptr;
  ORT_RETURN_IF_ERROR(state.api,
                      state.api.CreateTensorWithDataAsOrtValue(
                          state.memory.get(), data, program.bytes(set, t), dims.data(), dims.size(),
                          ort::element_type(program.tensor(t).dtype), &value),
                      "CreateTensorWithDataAsOrtValue");
  return Owned<ort::OrtValue>(value, {state.api.ReleaseValue});
}

class CpuExecObj final : public HostExecObj {
 public:
  static Result<std::unique_ptr<ExecObj>> create(std::shared_ptr<const CpuProgramState> state) {
    std::unique_ptr<CpuExecObj> exec(new CpuExecObj(std::move(state)));
    QAICKIT_RETURN_IF_ERROR(exec->init());
    return std::unique_ptr<ExecObj>(std::move(exec));
  }

  Status bind_input(size_t i, const void* data) noexcept override {
    return rebind(i, const_cast<void*>(data), inputs_[i], run_inputs_[i]);
  }
  Status bind_output(size_t i, void* data) noexcept override {
    return rebind(inputs_.size() + i, data, outputs_[i], run_outputs_[i]);
  }

  Status run() noexcept override {
    const CpuProgramState& s = *state_;
    phase_.store(kRunning, std::memory_order_relaxed);
    ort::OrtStatus* status = s.api.Run(
        s.session.get(), options_.get(), s.input_names.data(), run_inputs_.data(),
        run_inputs_.size(), s.output_names.data(), run_outputs_.size(), run_outputs_.data());
    Status ours = ort::to_status(s.api, status, "Run");
    if (phase_.exchange(kIdle, std::memory_order_acq_rel) != kCancelled) return ours;
    // Even after a run that ended well: the next one has not been cancelled.
    const std::lock_guard lock(cancel_mutex_);
    (void)ort::to_status(s.api, s.api.RunOptionsUnsetTerminate(options_.get()), "");
    return ours.ok() ? ours : Status(Code::kCancelled, std::string(ours.message()));
  }

  Status enqueue(Completion&) noexcept override {
    return Status(Code::kUnsupported, "cpu: a synchronous device only runs");
  }

  void cancel() noexcept override {
    const std::lock_guard lock(cancel_mutex_);  // run() undoes this after, not before
    uint32_t running = kRunning;
    if (!phase_.compare_exchange_strong(running, kCancelled, std::memory_order_acq_rel)) return;
    (void)ort::to_status(state_->api, state_->api.RunOptionsSetTerminate(options_.get()), "");
  }

 private:
  using Values = std::vector<Owned<ort::OrtValue>>;  // of each input, then of each output

  explicit CpuExecObj(std::shared_ptr<const CpuProgramState> state)
      : HostExecObj(state->qpc->program()), state_(std::move(state)) {}

  Status init() {
    const ProgramSpec& program = state_->qpc->program();
    own_.resize(program.num_shape_sets());
    bound_.resize(program.num_tensors());
    run_inputs_.resize(program.inputs.size());
    run_outputs_.resize(program.outputs.size());
    QAICKIT_RETURN_IF_ERROR(use_own(shape_set_));
    ort::OrtRunOptions* options = nullptr;
    ORT_RETURN_IF_ERROR(state_->api, state_->api.CreateRunOptions(&options), "CreateRunOptions");
    options_ = {options, {state_->api.ReleaseRunOptions}};
    return {};
  }

  Status change_shapes(size_t set) noexcept override {
    const size_t before = shape_set_;
    QAICKIT_RETURN_IF_ERROR(HostExecObj::change_shapes(set));
    const Status status = use_own(set);
    if (!status.ok()) (void)HostExecObj::change_shapes(before);
    return status;
  }

  // Makes runs use the ExecObj's own buffers in a set's shapes.
  Status use_own(size_t set) {
    Values& own = own_[set];
    const size_t num_inputs = inputs_.size();
    for (size_t t = own.size(); t < bound_.size(); ++t) {
      std::byte* data = t < num_inputs ? inputs_[t].own : outputs_[t - num_inputs].own;
      QAICKIT_ASSIGN_OR_RETURN(auto value, wrap(*state_, set, t, data));
      own.push_back(std::move(value));
    }
    for (size_t t = 0; t < bound_.size(); ++t) {
      bound_[t].reset();
      (t < num_inputs ? run_inputs_[t] : run_outputs_[t - num_inputs]) = own[t].get();
    }
    return {};
  }

  Status rebind(size_t t, void* data, Buffer& buffer, ort::OrtValue*& run) noexcept {
    std::byte* const target = data ? static_cast<std::byte*>(data) : buffer.own;
    if (buffer.bound == target) return {};
    if (target == buffer.own) {
      bound_[t].reset();
      run = own_[shape_set_][t].get();
    } else {
      QAICKIT_ASSIGN_OR_RETURN(bound_[t], wrap(*state_, shape_set_, t, target));
      run = bound_[t].get();
    }
    buffer.bound = target;
    return {};
  }

  const std::shared_ptr<const CpuProgramState> state_;
  std::vector<Values> own_;  // by shape set; made when it is first used
  Values bound_;             // null: not the caller's memory
  std::vector<ort::OrtValue*> run_inputs_;
  std::vector<ort::OrtValue*> run_outputs_;
  Owned<ort::OrtRunOptions> options_;
  enum Phase : uint32_t { kIdle, kRunning, kCancelled };
  std::atomic<uint32_t> phase_{kIdle};
  std::mutex cancel_mutex_;  // not taken by a run that nobody cancels
};

class CpuActivation final : public Activation {
 public:
  explicit CpuActivation(std::shared_ptr<const CpuProgramState> state) : state_(std::move(state)) {}
  Result<std::unique_ptr<ExecObj>> create_exec_obj() override { return CpuExecObj::create(state_); }

 private:
  std::shared_ptr<const CpuProgramState> state_;
};

class CpuProgram final : public Program {
 public:
  explicit CpuProgram(std::shared_ptr<const CpuProgramState> state) : state_(std::move(state)) {}
  Result<std::unique_ptr<Activation>> activate() override {
    return std::unique_ptr<Activation>(new CpuActivation(state_));
  }
  // ONNX Runtime's CPU kernels compute fp16 tensors in fp32.
  std::string precision() const override {
    const std::string asked = state_->qpc->manifest()->precision;
    return asked == "fp16" ? "fp32" : asked;
  }
  bool async() const noexcept override { return false; }

 private:
  std::shared_ptr<const CpuProgramState> state_;
};

// One input or output of the graph inside, which must be what the network descriptor says of
// tensor t.
Status check_tensor(const Api& api, ort::OrtTypeInfo* type_info, const ProgramSpec& program,
                    size_t t) {
  const TensorSpec& spec = program.tensor(t);
  const Owned<ort::OrtTypeInfo> owned(type_info, {api.ReleaseTypeInfo});
  const ort::OrtTensorTypeAndShapeInfo* info = nullptr;
  ORT_RETURN_IF_ERROR(api, api.CastTypeInfoToTensorInfo(type_info, &info), "tensor info");
  if (!info) return Status(Code::kDataLoss, cat("'", spec.name, "' of the graph is not a tensor"));
  ort::ONNXTensorElementDataType type{};
  ORT_RETURN_IF_ERROR(api, api.GetTensorElementType(info, &type), "element type");
  size_t rank = 0;
  ORT_RETURN_IF_ERROR(api, api.GetDimensionsCount(info, &rank), "rank");
  std::vector<int64_t> dims(rank);
  ORT_RETURN_IF_ERROR(api, api.GetDimensions(info, dims.data(), rank), "dims");
  for (size_t set = 0; set < program.num_shape_sets(); ++set) {
    const std::span<const int64_t> wanted = program.dims(set, t);
    bool same = type == ort::element_type(spec.dtype) && rank == wanted.size();
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

using CountFn = ort::OrtStatus* (*)(const ort::OrtSession*, size_t*);
using NameFn = ort::OrtStatus* (*)(const ort::OrtSession*, size_t, ort::OrtAllocator*, char**);
using TypeFn = ort::OrtStatus* (*)(const ort::OrtSession*, size_t, ort::OrtTypeInfo**);

// `specs` are the program's tensors from `first` on.
Status check_tensors(const Api& api, const ort::OrtSession* session, const ProgramSpec& program,
                     const char* kind, const std::vector<TensorSpec>& specs, size_t first,
                     CountFn count_of, NameFn name_of, TypeFn type_of) {
  ort::OrtAllocator* allocator = nullptr;
  ORT_RETURN_IF_ERROR(api, api.GetAllocatorWithDefaultOptions(&allocator), "allocator");
  size_t count = 0;
  ORT_RETURN_IF_ERROR(api, count_of(session, &count), "count");
  std::vector<bool> found(specs.size());
  for (size_t i = 0; i < count; ++i) {
    char* raw = nullptr;
    ORT_RETURN_IF_ERROR(api, name_of(session, i, allocator, &raw), "name");
    const std::string name = raw;
    (void)ort::to_status(api, api.AllocatorFree(allocator, raw), "");
    bool listed = false;
    for (size_t s = 0; s < specs.size(); ++s) {
      if (specs[s].name != name) continue;
      ort::OrtTypeInfo* info = nullptr;
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

// Without VNNI, ONNX Runtime's products of uint8 and int8 overflow 16 bits half way. It has kernels
// that do not, at half the speed of those with VNNI, and takes them on any CPU when asked to.
bool products_may_overflow() {
#if defined(__x86_64__)
  // Intel's manual, CPUID leaf 7: AVX512_VNNI is subleaf 0, ECX bit 11; AVX-VNNI is subleaf 1, EAX
  // bit 4.
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && (c >> 11 & 1)) return false;
  return !(__get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1));
#else
  return false;
#endif
}

Result<Owned<ort::OrtSessionOptions>> session_options(const Api& api,
                                                      const ProgramOptions& options) {
  ort::OrtSessionOptions* raw = nullptr;
  ORT_RETURN_IF_ERROR(api, api.CreateSessionOptions(&raw), "CreateSessionOptions");
  Owned<ort::OrtSessionOptions> owned(raw, {api.ReleaseSessionOptions});
  const int threads = static_cast<int>(options.threads_per_activation);
  ORT_RETURN_IF_ERROR(api, api.SetSessionLogSeverityLevel(raw, ort::kLogError), "log level");
  ORT_RETURN_IF_ERROR(api, api.SetSessionGraphOptimizationLevel(raw, ort::kOptimizeAll),
                      "optimisation level");
  ORT_RETURN_IF_ERROR(api, api.SetIntraOpNumThreads(raw, threads), "intra-op threads");
  ORT_RETURN_IF_ERROR(api, api.SetInterOpNumThreads(raw, 1), "inter-op threads");
  if (products_may_overflow()) {
    ORT_RETURN_IF_ERROR(api, api.AddSessionConfigEntry(raw, "session.x64quantprecision", "1"),
                        "exact integers");
  }
  if (options.num_activations > 1) {
    // Threads that spin for one activation's work would take the CPU from another's.
    ORT_RETURN_IF_ERROR(api, api.AddSessionConfigEntry(raw, "session.intra_op.allow_spinning", "0"),
                        "spinning");
  }
  return owned;
}

// Gives the session the weights as they lie in the file, which has to stay mapped as long as the
// session lives: pages that no one uses cost no memory, and nothing is copied out of a message.
Status add_weights(const Api& api, const Qpc& qpc, std::span<const std::byte> model,
                   const ort::OrtMemoryInfo* memory, ort::OrtSessionOptions* options) {
  const auto segment = qpc.find(kWeightsSegment);
  if (!segment) return {};
  QAICKIT_ASSIGN_OR_RETURN(const std::vector<OnnxWeight> weights, find_weights(model, *segment));
  std::vector<const char*> names;
  std::vector<const ort::OrtValue*> values;
  std::vector<Owned<ort::OrtValue>> owned;
  for (const OnnxWeight& weight : weights) {
    ort::OrtValue* value = nullptr;
    // ONNX Runtime does not write into an initializer, but has no type for that.
    void* const data = const_cast<std::byte*>(weight.data.data());
    ORT_RETURN_IF_ERROR(api,
                        api.CreateTensorWithDataAsOrtValue(memory, data, weight.data.size(),
                                                           weight.dims.data(), weight.dims.size(),
                                                           ort::element_type(weight.dtype), &value),
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

class CpuDevice final : public Device {
 public:
  CpuDevice(const Api& api, int id)
      : api_(api),
        info_{"cpu", id,
              cat("CPU (", allowed_cpus().size(), " cores), ONNX Runtime ", api.version)} {}

  const DeviceInfo& info() const noexcept override { return info_; }

  Result<std::shared_ptr<Program>> load(std::shared_ptr<const Qpc> qpc,
                                        const ProgramOptions& options) override {
    SettingsReader reader(options.settings);
    QAICKIT_RETURN_IF_ERROR(reader.finish());
    const auto model = qpc->find(kModelSegment);
    if (!model || !qpc->manifest()) {
      return Status(Code::kUnsupported,
                    "the QPC has no host half (the ONNX graph), so it runs on a card only; compile "
                    "the ONNX file with qaickit to add it");
    }
    QAICKIT_ASSIGN_OR_RETURN(const ort::OrtEnv* env, process_env(api_));
    QAICKIT_ASSIGN_OR_RETURN(auto ort_options, session_options(api_, options));
    ort::OrtMemoryInfo* raw_memory = nullptr;
    ORT_RETURN_IF_ERROR(
        api_, api_.CreateCpuMemoryInfo(ort::kDeviceAllocator, ort::kMemTypeDefault, &raw_memory),
        "memory info");
    Owned<ort::OrtMemoryInfo> memory(raw_memory, {api_.ReleaseMemoryInfo});
    QAICKIT_RETURN_IF_ERROR(add_weights(api_, *qpc, *model, memory.get(), ort_options.get()));
    ort::OrtSession* raw = nullptr;
    ORT_RETURN_IF_ERROR(
        api_,
        api_.CreateSessionFromArray(env, model->data(), model->size(), ort_options.get(), &raw),
        "loading the graph");
    Owned<ort::OrtSession> session(raw, {api_.ReleaseSession});
    const ProgramSpec& program = qpc->program();
    QAICKIT_RETURN_IF_ERROR(check_tensors(api_, raw, program, "input", program.inputs, 0,
                                          api_.SessionGetInputCount, api_.SessionGetInputName,
                                          api_.SessionGetInputTypeInfo));
    QAICKIT_RETURN_IF_ERROR(check_tensors(
        api_, raw, program, "output", program.outputs, program.inputs.size(),
        api_.SessionGetOutputCount, api_.SessionGetOutputName, api_.SessionGetOutputTypeInfo));
    auto state = std::make_shared<CpuProgramState>(
        CpuProgramState{api_, qpc, std::move(session), std::move(memory), {}, {}});
    for (const TensorSpec& spec : program.inputs) state->input_names.push_back(spec.name.c_str());
    for (const TensorSpec& spec : program.outputs) state->output_names.push_back(spec.name.c_str());
    return std::shared_ptr<Program>(std::make_shared<CpuProgram>(std::move(state)));
  }

 private:
  const Api& api_;
  const DeviceInfo info_;
};

}  // namespace

Result<std::vector<DeviceInfo>> enumerate_cpu() {
  QAICKIT_ASSIGN_OR_RETURN(const Api* api, ort::load_api());
  return std::vector<DeviceInfo>{CpuDevice(*api, 0).info()};
}

Result<std::shared_ptr<Device>> create_cpu(int id) {
  if (id != 0) {
    return Status(Code::kNotFound, cat("cpu device ", id, " does not exist; the only one is 0"));
  }
  QAICKIT_ASSIGN_OR_RETURN(const Api* api, ort::load_api());
  return std::shared_ptr<Device>(std::make_shared<CpuDevice>(*api, id));
}

std::vector<std::pair<std::string, std::string>> cpu_details() {
  const auto api = ort::load_api();
  if (!api.ok()) return {};
  return {{"ONNX Runtime", (*api)->version}, {"library", (*api)->path}};
}

}  // namespace qaickit
