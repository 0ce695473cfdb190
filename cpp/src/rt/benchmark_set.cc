#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>

#include "base/cat.h"
#include "base/clock.h"
#include "rt/profile_text.h"
#include "rt/program.h"
#include "rt/waiting.h"

namespace qaickit::rt {
namespace {

constexpr uint32_t kMaxExecObjects = 4096;

Status busy() {
  return Status(Code::kFailedPrecondition, "another run, enable() or disable() is in progress");
}

}  // namespace

struct BenchmarkSet::State {
  // One exec object and its thread's share of the work.
  struct Runner {
    std::shared_ptr<ExecObject> exec;
    uint32_t activation;
    uint32_t exec_obj;
    std::vector<Buffer> outputs;
    uint64_t data_version = 0;  // after the set's own data; another one: the callback's is kept
  };
  struct Statistics {
    StatsCallback callback;
    uint64_t first = 0;
    uint64_t count = 0;
    StatsFormat format = StatsFormat::kText;
  };

  void work(Runner& runner, uint64_t inferences, uint64_t deadline_ns) {
    for (;;) {
      const uint64_t n = claimed.fetch_add(1, std::memory_order_relaxed);
      if (stopping.load(std::memory_order_relaxed)) return;
      if (inferences > 0 ? n >= inferences : now_ns() >= deadline_ns) return;
      Status status;
      if (runner.exec->data_version() == runner.data_version) {
        status = runner.exec->set_data(data_of(runner, n));
        runner.data_version = runner.exec->data_version();
      }
      if (status.ok()) status = runner.exec->run();
      uint64_t sample = 0;
      if (status.ok()) sample = done[runner.activation].fetch_add(1, std::memory_order_relaxed);
      Callback told;
      Statistics statistics;
      {
        const std::lock_guard lock(mutex);
        told = callback;
        statistics = wanted;
        if (failure.ok()) failure = status;
      }
      const Done info{runner.exec, runner.activation, runner.exec_obj, status};
      if (status.ok() && statistics.callback) tell_statistics(statistics, sample, info);
      if (told) told(info);
      if (!status.ok()) return;
    }
  }

  static void tell_statistics(const Statistics& statistics, uint64_t sample, const Done& done) {
    if (sample < statistics.first || sample - statistics.first >= statistics.count) return;
    const RunRecord record{done.exec->times(), done.exec->id()};
    const auto text = statistics.format == StatsFormat::kJson ? &trace_json : &latency_table;
    Program::State& program = *done.exec->program()->state_;
    statistics.callback(text(program.profile_head(), std::span(&record, 1)), sample, done);
  }

  std::vector<ExecObject::Data> data_of(const Runner& runner, uint64_t n) const {
    std::vector<ExecObject::Data> data = inputs[n % inputs.size()];
    const size_t first = data.size() - runner.outputs.size();
    for (size_t o = 0; o < runner.outputs.size(); ++o) {
      data[first + o] = {runner.outputs[o], std::nullopt};
    }
    return data;
  }

  // Inferences of all activations.
  uint64_t total() const {
    uint64_t sum = 0;
    for (const auto& count : done) sum += count.load(std::memory_order_relaxed);
    return sum;
  }

  void report_live(uint64_t start_ns) const {
    const double seconds = static_cast<double>(now_ns() - start_ns) * 1e-9;
    const auto completed = static_cast<double>(total());
    std::printf("%s%sInferences completed %.0f, %.2f inf/s, %.1f s\n", name.c_str(),
                name.empty() ? "" : ": ", completed, completed / seconds, seconds);
    std::fflush(stdout);
  }

  // All runners until their ends. Error kCancelled.
  Status run_all(uint64_t inferences, uint64_t start_ns, uint64_t deadline_ns,
                 const KeepWaiting& keep_waiting) {
    std::mutex local;
    std::condition_variable ended;
    size_t left = runners.size();
    std::vector<std::thread> threads;
    for (Runner& runner : runners) {
      threads.emplace_back([&] {
        work(runner, inferences, deadline_ns);
        const std::lock_guard guard(local);
        --left;
        ended.notify_all();
      });
    }
    Status cancelled;
    {
      std::unique_lock lock(local);
      for (;;) {
        const uint64_t period = period_ms.load(std::memory_order_relaxed);
        // Without live reporting it still looks now and then, for one that is switched on
        // meanwhile.
        const auto bound = std::chrono::milliseconds(period > 0 ? period : 1000);
        const Status waited =
            wait_until(ended, lock, bound, cancelled.ok() ? keep_waiting : KeepWaiting(),
                       [&] { return left == 0; });
        if (waited.ok()) break;
        if (waited.code() == Code::kCancelled) {
          cancelled = waited;
          stopping.store(true, std::memory_order_relaxed);
        } else if (period > 0) {
          report_live(start_ns);
        }
      }
    }
    for (std::thread& thread : threads) thread.join();
    return cancelled;
  }

  std::shared_ptr<Context> context;
  std::shared_ptr<const Qpc> qpc;
  std::optional<int> device;
  uint32_t set_size;
  uint32_t num_activations;
  std::vector<std::vector<ExecObject::Data>> inputs;
  ProgramProperties properties;
  std::optional<QueueProperties> queue;
  std::string name;

  std::mutex turn;  // of enable, disable and run
  std::shared_ptr<Program> program;
  std::vector<Runner> runners;

  std::atomic<bool> stopping{false};
  std::atomic<uint64_t> claimed{0};
  std::vector<std::atomic<uint64_t>> done;
  mutable std::mutex mutex;
  Callback callback;
  Statistics wanted;
  Status failure;
  Stats stats;
  std::atomic<uint64_t> period_ms{0};
};

BenchmarkSet::BenchmarkSet(std::shared_ptr<Context> context, std::shared_ptr<const Qpc> qpc,
                           std::optional<int> device, uint32_t set_size, uint32_t num_activations,
                           std::vector<std::vector<ExecObject::Data>> inputs,
                           SetProperties properties)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.context = std::move(context);
  s.qpc = std::move(qpc);
  s.device = device;
  s.set_size = set_size;
  s.num_activations = num_activations;
  s.inputs = std::move(inputs);
  s.done = std::vector<std::atomic<uint64_t>>(std::min(num_activations, kMaxExecObjects));
  s.properties = std::move(properties.program);
  s.queue = properties.queue;
  s.name = std::move(properties.name);
  s.stats.batch_size = static_cast<uint32_t>(s.qpc->program().batch_size);
  const ProgramSpec& spec = s.qpc->program();
  if (s.inputs.empty()) {
    auto& zeros = s.inputs.emplace_back(spec.num_tensors());
    for (size_t i = 0; i < spec.inputs.size(); ++i) {
      zeros[i].buffer = Buffer::allocate(spec.bytes(spec.default_shape_set(), i));
    }
  }
  for (auto& vector : s.inputs) vector.resize(spec.num_tensors());
}

BenchmarkSet::~BenchmarkSet() = default;

Status BenchmarkSet::enable() {
  State& s = *state_;
  const std::unique_lock lock(s.turn, std::try_to_lock);
  if (!lock) return busy();
  if (s.program) return {};
  const uint64_t exec_objects = uint64_t{s.set_size} * s.num_activations;
  if (exec_objects == 0 || exec_objects > kMaxExecObjects) {
    return Status(Code::kInvalidArgument,
                  cat("setSize ", s.set_size, " times numActivations ", s.num_activations,
                      " must be from 1 to ", kMaxExecObjects));
  }
  // A synchronous device computes on the thread that calls it.
  uint32_t threads = 1;
  if (s.queue) {
    QAICKIT_ASSIGN_OR_RETURN(threads, s.queue->threads());
    s.properties.threads_per_queue = threads;
  }
  QAICKIT_ASSIGN_OR_RETURN(
      auto program, Program::create(s.context, s.device, s.qpc, s.properties, s.num_activations));
  QAICKIT_RETURN_IF_ERROR(program->activate());
  std::vector<State::Runner> runners;
  const uint32_t per_activation = program->async() ? s.set_size : std::min(threads, s.set_size);
  for (uint32_t a = 0; a < s.num_activations; ++a) {
    for (uint32_t e = 0; e < per_activation; ++e) {
      QAICKIT_ASSIGN_OR_RETURN(auto exec, ExecObject::create(program, a));
      std::vector<Buffer> outputs;
      for (const TensorSpec& output : program->spec().outputs) {
        outputs.push_back(Buffer::allocate(output.bytes()));
      }
      runners.push_back({std::move(exec), a, e, std::move(outputs)});
    }
  }
  s.program = std::move(program);
  s.runners = std::move(runners);
  return {};
}

Status BenchmarkSet::disable() {
  const std::unique_lock lock(state_->turn, std::try_to_lock);
  if (!lock) return busy();
  state_->runners.clear();
  state_->program.reset();
  return {};
}

Status BenchmarkSet::run(uint64_t inferences, double seconds, const KeepWaiting& keep_waiting) {
  State& s = *state_;
  QAICKIT_RETURN_IF_ERROR(s.context->check_process());
  const std::unique_lock lock(s.turn, std::try_to_lock);
  if (!lock) return busy();
  if (!s.program) return Status(Code::kFailedPrecondition, "call enable() first");
  if (inferences == 0 && !(seconds > 0 && seconds < 1e6)) {
    return Status(Code::kInvalidArgument, "expected a number or a duration above 0");
  }
  s.stopping = false;
  s.claimed = 0;
  for (auto& count : s.done) count = 0;
  for (State::Runner& runner : s.runners) runner.data_version = runner.exec->data_version();
  {
    const std::lock_guard guard(s.mutex);
    s.failure = {};
  }
  const uint64_t start = now_ns();
  const Status watched =
      s.run_all(inferences, start, start + static_cast<uint64_t>(seconds * 1e9), keep_waiting);
  const std::lock_guard guard(s.mutex);
  s.stats.inferences = s.total();
  s.stats.runtime_us = (now_ns() - start) / 1000;
  s.stats.rate = static_cast<double>(s.stats.inferences) * 1e6 /
                 static_cast<double>(std::max<uint64_t>(s.stats.runtime_us, 1));
  return s.failure.ok() ? watched : s.failure;
}

std::vector<uint64_t> BenchmarkSet::completed() const {
  std::vector<uint64_t> counts;
  for (const auto& count : state_->done) counts.push_back(count.load(std::memory_order_relaxed));
  return counts;
}

BenchmarkSet::Stats BenchmarkSet::last_stats() const {
  const std::lock_guard lock(state_->mutex);
  return state_->stats;
}

void BenchmarkSet::set_callback(Callback callback) {
  const std::lock_guard lock(state_->mutex);
  std::swap(state_->callback, callback);
}

void BenchmarkSet::set_stats_callback(StatsCallback callback, uint64_t first, uint64_t count,
                                      StatsFormat format) {
  State::Statistics statistics{std::move(callback), first, count, format};
  const std::lock_guard lock(state_->mutex);
  std::swap(state_->wanted, statistics);
}

bool BenchmarkSet::is_live_reporting() const noexcept {
  return state_->period_ms.load(std::memory_order_relaxed) > 0;
}

const std::shared_ptr<Context>& BenchmarkSet::context() const noexcept { return state_->context; }

void BenchmarkSet::set_live_reporting(uint64_t period_ms) noexcept {
  state_->period_ms.store(period_ms, std::memory_order_relaxed);
}

}  // namespace qaickit::rt
