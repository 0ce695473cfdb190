#include <atomic>
#include <cstring>
#include <mutex>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "base/affinity.h"
#include "base/cat.h"
#include "device/cpu/cpu_backend.h"
#include "device/host_exec_obj.h"
#include "device/ort/ort_session.h"
#include "device/settings.h"

namespace qaickit {
namespace {

using ort::Api;
using ort::Owned;

// What the activations of a program share.
struct CpuProgramState {
  const Api& api;
  std::shared_ptr<const Qpc> qpc;
  Owned<ort::OrtSession> session;
  Owned<ort::OrtMemoryInfo> memory;
  std::vector<const char*> input_names;
  std::vector<const char*> output_names;
};

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
      QAICKIT_ASSIGN_OR_RETURN(auto value, wrap(set, t, data));
      own.push_back(std::move(value));
    }
    for (size_t t = 0; t < bound_.size(); ++t) {
      bound_[t].reset();
      (t < num_inputs ? run_inputs_[t] : run_outputs_[t - num_inputs]) = own[t].get();
    }
    return {};
  }

  Result<Owned<ort::OrtValue>> wrap(size_t set, size_t t, void* data) const {
    return ort::wrap(state_->api, state_->memory.get(), state_->qpc->program(), set, t, data);
  }

  Status rebind(size_t t, void* data, Buffer& buffer, ort::OrtValue*& run) noexcept {
    std::byte* const target = data ? static_cast<std::byte*>(data) : buffer.own;
    if (buffer.bound == target) return {};
    if (target == buffer.own) {
      bound_[t].reset();
      run = own_[shape_set_][t].get();
    } else {
      QAICKIT_ASSIGN_OR_RETURN(bound_[t], wrap(shape_set_, t, target));
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
  // Threads that spin for one activation's work would take the CPU from another's.
  const bool spin = options.num_activations <= 1;
  QAICKIT_ASSIGN_OR_RETURN(auto made, ort::make_options(api, options.threads_per_activation, spin));
  if (products_may_overflow()) {
    ORT_RETURN_IF_ERROR(api,
                        api.AddSessionConfigEntry(made.get(), "session.x64quantprecision", "1"),
                        "exact integers");
  }
  return made;
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
    QAICKIT_ASSIGN_OR_RETURN(const auto model, ort::graph_of(*qpc, kModelSegment));
    QAICKIT_ASSIGN_OR_RETURN(auto ort_options, session_options(api_, options));
    QAICKIT_ASSIGN_OR_RETURN(auto memory, ort::cpu_memory(api_));
    QAICKIT_ASSIGN_OR_RETURN(auto session,
                             ort::make_session(api_, *qpc, model, std::move(ort_options)));
    const ProgramSpec& program = qpc->program();
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
  // As good as the library is; sessions do not wait for it later, as with onnxruntime's package.
  QAICKIT_RETURN_IF_ERROR(ort::process_env(*api).status());
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
