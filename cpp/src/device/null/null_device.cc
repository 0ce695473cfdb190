#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include "base/cat.h"
#include "base/clock.h"
#include "device/host_exec_obj.h"
#include "device/null/null_backend.h"
#include "device/settings.h"

namespace qaickit {
namespace {

constexpr uint32_t kMaxActivations = 256;

struct NullSettings {
  uint64_t latency_ns = 0;
  bool async = false;
  double fault_rate = 0;
  double refuse_rate = 0;
  double lost_rate = 0;
  uint32_t max_activations = kMaxActivations;
  uint64_t seed = 0;
};

Result<NullSettings> read_settings(const DeviceSettings& settings) {
  SettingsReader reader(settings);
  NullSettings s;
  s.latency_ns = static_cast<uint64_t>(reader.number("latency_us", 0, 0, 1e9) * 1e3);
  s.async = reader.flag("async", false);
  s.fault_rate = reader.number("fault_rate", 0, 0, 1);
  s.refuse_rate = reader.number("refuse_rate", 0, 0, 1);
  s.lost_rate = reader.number("lost_rate", 0, 0, 1);
  s.max_activations =
      static_cast<uint32_t>(reader.number("max_activations", kMaxActivations, 1, kMaxActivations));
  s.seed = static_cast<uint64_t>(reader.number("seed", 0, 0, 1e15));
  QAICKIT_RETURN_IF_ERROR(reader.finish());
  return s;
}

// A fixed sequence of faults for each seed, drawn without a lock.
class FaultSource {
 public:
  explicit FaultSource(uint64_t seed) : next_(seed) {}
  bool hit(double rate) noexcept {
    if (rate <= 0) return false;
    constexpr uint64_t kStep = 0x9e3779b97f4a7c15;
    // splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
    uint64_t z = next_.fetch_add(kStep, std::memory_order_relaxed) + kStep;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    z ^= z >> 31;
    return static_cast<double>(z >> 11) * 0x1p-53 < rate;
  }

 private:
  std::atomic<uint64_t> next_;
};

// What a run copies from one input to one output.
struct Echo {
  size_t input;
  size_t output;
  size_t rows;
  size_t input_stride;
  size_t output_stride;
  size_t bytes;
};

// First dim that all tensors of a set share, else 1.
size_t batch_of(const ProgramSpec& program, size_t set) {
  if (program.allowed_shapes.empty()) return static_cast<size_t>(std::max(program.batch_size, 1));
  int64_t batch = 0;
  for (size_t t = 0; t < program.num_tensors(); ++t) {
    const auto dims = program.dims(set, t);
    if (dims.empty() || dims[0] < 1 || (t > 0 && dims[0] != batch)) return 1;
    batch = dims[0];
  }
  return static_cast<size_t>(batch);
}

std::vector<Echo> plan_echo(const ProgramSpec& program, size_t set) {
  std::vector<Echo> plan;
  const size_t batch = batch_of(program, set);
  const size_t inputs = program.inputs.size();
  for (size_t out = 0; out < program.outputs.size() && inputs > 0; ++out) {
    const size_t in = out % inputs;
    const size_t in_row = program.bytes(set, in) / batch;
    const size_t out_row = program.bytes(set, inputs + out) / batch;
    plan.push_back({in, out, batch, in_row, out_row, std::min(in_row, out_row)});
  }
  return plan;
}

std::vector<std::vector<Echo>> plan_all(const ProgramSpec& program) {
  std::vector<std::vector<Echo>> plans;
  for (size_t set = 0; set < program.num_shape_sets(); ++set) {
    plans.push_back(plan_echo(program, set));
  }
  return plans;
}

// The thread of an asynchronous null device: completes runs when their time has come.
class CompletionThread {
 public:
  CompletionThread() : thread_([this] { loop(); }) {}
  ~CompletionThread() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  struct Pending {
    uint64_t due_ns;
    class NullExecObj* exec;
    Completion* done;
  };
  void add(const Pending& pending) {
    {
      const std::lock_guard lock(mutex_);
      pending_.push_back(pending);
    }
    changed_.notify_all();
  }
  // Makes a pending run due now.
  void hurry(const class NullExecObj* exec) {
    {
      const std::lock_guard lock(mutex_);
      for (Pending& p : pending_) {
        if (p.exec == exec) p.due_ns = 0;
      }
    }
    changed_.notify_all();
  }

 private:
  void loop();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Pending> pending_;
  bool stop_ = false;
  std::thread thread_;
};

struct NullProgramState {
  NullProgramState(std::shared_ptr<const Qpc> qpc, const NullSettings& settings)
      : qpc(std::move(qpc)),
        settings(settings),
        echo(plan_all(this->qpc->program())),
        faults(settings.seed),
        completions(settings.async ? std::make_unique<CompletionThread>() : nullptr) {}
  std::shared_ptr<const Qpc> qpc;
  NullSettings settings;
  std::vector<std::vector<Echo>> echo;  // by shape set
  FaultSource faults;
  std::atomic<uint32_t> activations{0};
  std::unique_ptr<CompletionThread> completions;
};

class NullExecObj final : public HostExecObj {
 public:
  explicit NullExecObj(std::shared_ptr<NullProgramState> state)
      : HostExecObj(state->qpc->program()), state_(std::move(state)) {}

  Status run() noexcept override {
    if (state_->settings.async)
      return Status(Code::kUnsupported, "null: an async device only enqueues");
    if (state_->settings.latency_ns > 0 && !sleep_unless_cancelled()) {
      return Status(Code::kCancelled, "null: the run was cancelled");
    }
    return compute();
  }

  Status enqueue(Completion& done) noexcept override {
    if (!state_->settings.async) return Status(Code::kUnsupported, "null: a sync device only runs");
    if (state_->faults.hit(state_->settings.refuse_rate)) {
      return Status(Code::kResourceExhausted, "null: enqueue refused (injected)");
    }
    if (state_->faults.hit(state_->settings.lost_rate)) return {};
    state_->completions->add({now_ns() + state_->settings.latency_ns, this, &done});
    return {};
  }

  void cancel() noexcept override {
    if (state_->settings.async) {
      state_->completions->hurry(this);
      return;
    }
    const std::lock_guard lock(mutex_);
    cancelled_ = running_;  // not the next run
    wake_.notify_all();
  }

  Status compute() noexcept {
    if (state_->faults.hit(state_->settings.fault_rate)) {
      return Status(Code::kDeviceError, "null: device fault (injected)");
    }
    for (const Echo& e : state_->echo[shape_set_]) {
      const std::byte* from = inputs_[e.input].bound;
      std::byte* to = outputs_[e.output].bound;
      for (size_t row = 0; row < e.rows; ++row) {
        std::memcpy(to + row * e.output_stride, from + row * e.input_stride, e.bytes);
      }
    }
    return {};
  }

 private:
  bool sleep_unless_cancelled() noexcept {
    std::unique_lock lock(mutex_);
    const auto latency = std::chrono::nanoseconds(state_->settings.latency_ns);
    running_ = true;
    const bool cancelled = wake_.wait_for(lock, latency, [&] { return cancelled_; });
    running_ = cancelled_ = false;
    return !cancelled;
  }

  std::shared_ptr<NullProgramState> state_;
  std::mutex mutex_;  // only when there is a latency to sleep
  std::condition_variable wake_;
  bool running_ = false;
  bool cancelled_ = false;
};

void CompletionThread::loop() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    // The latest first among those that are due: callers must not count on any order.
    const uint64_t now = now_ns();
    auto due = std::find_if(pending_.rbegin(), pending_.rend(),
                            [&](const Pending& p) { return p.due_ns <= now; });
    if (due != pending_.rend()) {
      const Pending pending = *due;
      pending_.erase(std::next(due).base());
      lock.unlock();
      pending.done->complete(pending.exec->compute());
      lock.lock();
      continue;
    }
    const auto next =
        std::min_element(pending_.begin(), pending_.end(),
                         [](const Pending& a, const Pending& b) { return a.due_ns < b.due_ns; });
    if (next == pending_.end()) {
      changed_.wait(lock);
    } else {
      changed_.wait_for(lock, std::chrono::nanoseconds(next->due_ns - now));
    }
  }
}

class NullActivation final : public Activation {
 public:
  explicit NullActivation(std::shared_ptr<NullProgramState> state) : state_(std::move(state)) {}
  ~NullActivation() override { state_->activations.fetch_sub(1, std::memory_order_relaxed); }
  Result<std::unique_ptr<ExecObj>> create_exec_obj() override {
    return std::unique_ptr<ExecObj>(new NullExecObj(state_));
  }

 private:
  std::shared_ptr<NullProgramState> state_;
};

class NullProgram final : public Program {
 public:
  explicit NullProgram(std::shared_ptr<NullProgramState> state) : state_(std::move(state)) {}
  Result<std::unique_ptr<Activation>> activate() override {
    if (state_->activations.fetch_add(1, std::memory_order_relaxed) >=
        state_->settings.max_activations) {
      state_->activations.fetch_sub(1, std::memory_order_relaxed);
      return Status(Code::kResourceExhausted,
                    cat("null: all ", state_->settings.max_activations, " activations are in use"));
    }
    return std::unique_ptr<Activation>(new NullActivation(state_));
  }
  std::string precision() const override { return "none"; }
  bool async() const noexcept override { return state_->settings.async; }

 private:
  std::shared_ptr<NullProgramState> state_;
};

class NullDevice final : public Device {
 public:
  explicit NullDevice(int id)
      : info_{std::string(kNullBackendName), id, "null (computes nothing)"} {}
  const DeviceInfo& info() const noexcept override { return info_; }
  Result<std::shared_ptr<Program>> load(std::shared_ptr<const Qpc> qpc,
                                        const ProgramOptions& options) override {
    QAICKIT_ASSIGN_OR_RETURN(const NullSettings settings, read_settings(options.settings));
    return std::shared_ptr<Program>(std::make_shared<NullProgram>(
        std::make_shared<NullProgramState>(std::move(qpc), settings)));
  }

 private:
  DeviceInfo info_;
};

}  // namespace

Result<std::vector<DeviceInfo>> enumerate_null() {
  return std::vector<DeviceInfo>{NullDevice(0).info()};
}

Result<std::shared_ptr<Device>> create_null(int id) {
  if (id < 0)
    return Status(Code::kNotFound, cat("null device ", id, " does not exist; ids start at 0"));
  return std::shared_ptr<Device>(std::make_shared<NullDevice>(id));
}

std::vector<std::pair<std::string, std::string>> null_details() { return {}; }

}  // namespace qaickit
