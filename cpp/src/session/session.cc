#include "qaickit/session.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <future>
#include <mutex>
#include <optional>
#include <system_error>

#include "base/cat.h"
#include "base/clock.h"
#include "base/keep_for_ever.h"
#include "batch/pool.h"
#include "session/benchmark.h"
#include "session/resources.h"
#include "session/run_meter.h"

namespace qaickit {
namespace {

constexpr uint64_t kSlotWaitNs = 100'000'000;        // bound of one sleep for an idle activation
constexpr uint64_t kCallTimeoutNs = 60'000'000'000;  // a completion is lost after it
constexpr uint64_t kCloseTimeoutNs = 10'000'000'000;

// A tensor of no bytes may have no memory, and memcpy wants some all the same.
void copy_bytes(void* to, const void* from, size_t bytes) noexcept {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

// A part-filled batch computes on zeros.
void fill(std::span<std::byte> to, const ConstBuffer& from) noexcept {
  copy_bytes(to.data(), from.data, from.bytes);
  if (from.bytes < to.size()) std::memset(to.data() + from.bytes, 0, to.size() - from.bytes);
}

Status closed_error() { return Status(Code::kClosed, "the session is closed"); }

void complete_call(void* table, Slot& slot, const Status& status) noexcept {
  slot.call_status = status;
  auto& slots = *static_cast<SlotTable*>(table);
  if (!status.ok() && slot.exec->lost()) slots.mark_lost(slot.activation);
  // release in it: hands call_status and the outputs over.
  if (slot.abandon(Slot::kCalling, Slot::kIdle)) {
    slot.called.notify_all();
  } else if (slot.end_given_up()) {
    slots.release(slot);
  }
}

// Checks the weights on another thread, as long as it lives, where that is still to be done.
class CheckBeside {
 public:
  explicit CheckBeside(const Qpc& qpc) : qpc_(qpc) {
    if (qpc.weights_checked()) return;
    try {
      result_ = std::async(std::launch::async, [&qpc] { return qpc.check_weights(); });
    } catch (const std::system_error&) {
      // No thread to be had: join() does it.
    }
  }
  Status join() { return result_.valid() ? result_.get() : qpc_.check_weights(); }

 private:
  const Qpc& qpc_;
  std::future<Status> result_;  // of std::async: its destructor waits
};

class SessionImpl final : public Session {
 public:
  SessionImpl(std::shared_ptr<Resources> resources, const SessionOptions& options)
      : resources_(std::move(resources)),
        program_(resources_->io),
        backend_(*resources_->backend),
        infos_(resources_->infos),
        precision_(resources_->precision),
        slots_(*resources_->slots),
        async_(resources_->async) {
    if (options.metrics || options.profile_runs > 0) meter_.emplace(options.profile_runs);
  }

  ~SessionImpl() override { (void)close(); }

  const ProgramSpec& program() const noexcept override { return program_; }
  const Backend& backend() const noexcept override { return backend_; }
  std::span<const DeviceInfo> devices() const noexcept override { return infos_; }
  std::string precision() const override { return precision_; }

  using Session::benchmark;
  using Session::run;

  Status run(std::span<const ConstBuffer> inputs, std::span<const MutableBuffer> outputs,
             const RunShape& wanted, const RunOptions& options) noexcept override {
    if (!meter_ && !options.profile) {
      return run_one(inputs, outputs, wanted, options.activation, nullptr);
    }
    RunTimes times;
    times.start = now_ns();
    Status status = run_one(inputs, outputs, wanted, options.activation, &times);
    times.end = now_ns();
    if (!status.ok()) return status;
    if (meter_) meter_->record(times);
    if (options.profile) *options.profile = to_profile(times);
    return status;
  }

  // `times` null: nobody measures.
  Status run_one(std::span<const ConstBuffer> inputs, std::span<const MutableBuffer> outputs,
                 const RunShape& wanted, uint32_t activation, RunTimes* times) noexcept {
    QAICKIT_ASSIGN_OR_RETURN(const RunShape shape, resolve(wanted, inputs, &outputs));
    QAICKIT_RETURN_IF_ERROR(check("input", inputs, program_.inputs, 0, shape));
    QAICKIT_RETURN_IF_ERROR(
        check("output", outputs, program_.outputs, program_.inputs.size(), shape));
    if (closed_.load(std::memory_order_acquire)) return closed_error();
    const bool any = activation == RunOptions::kAnyActivation;
    if (!any && activation >= slots_.activations()) {
      return Status(
          Code::kInvalidArgument,
          cat("activation ", activation, " does not exist; there ", "are ", slots_.activations()));
    }
    Slot* slot = any ? slots_.try_acquire_any() : slots_.try_acquire(activation);
    while (!slot) {
      if (closed_.load(std::memory_order_acquire)) return closed_error();
      if (slots_.all_abandoned()) {
        return Status(Code::kDeviceError,
                      "no ExecObj is left: the device has not ended any of its runs in time");
      }
      slot = any ? slots_.acquire_any(kSlotWaitNs) : slots_.acquire(activation, kSlotWaitNs);
    }
    // seq_cst: see SlotTable::try_acquire(). close() waits for this slot, or this thread sees it.
    if (closed_.load(std::memory_order_seq_cst)) {
      slots_.release(*slot);
      return closed_error();
    }
    if (times) {
      times->slot = slot->index;
      times->activation = slot->activation;
      times->acquired = now_ns();
    }
    slot->foreign_bindings.store(true, std::memory_order_relaxed);
    if (Status status = slot->exec->select_shapes(shape.set); !status.ok()) {
      slots_.release(*slot);
      return status;
    }
    return async_ ? call_async(*slot, inputs, outputs, times)
                  : call_sync(*slot, inputs, outputs, times);
  }

  Result<std::shared_ptr<void>> pin(std::span<std::byte> memory) override {
    auto pins = std::make_shared<std::vector<std::shared_ptr<void>>>();
    for (const auto& program : resources_->programs) {
      QAICKIT_ASSIGN_OR_RETURN(auto pin, program->pin(memory));
      pins->push_back(std::move(pin));
    }
    return std::shared_ptr<void>(std::move(pins));
  }

  Status start(BatchHandler& handler, const BatchPolicy& policy) override {
    const std::lock_guard lock(mutex_);
    if (closed_.load(std::memory_order_acquire)) return closed_error();
    if (started_) {
      return Status(Code::kFailedPrecondition, "the session's workers are already started");
    }
    BatchPolicy resolved = policy;
    const auto batch_size = static_cast<uint32_t>(program_.batch_size);
    if (resolved.max_batch == 0) resolved.max_batch = batch_size;
    if (resolved.max_batch > batch_size) {
      return Status(Code::kInvalidArgument,
                    cat("max_batch is ", policy.max_batch, "; '", program_.name,
                        "' was compiled for a batch of ", batch_size,
                        ": compile it with a bigger batch or lower max_batch"));
    }
    std::shared_ptr<SlotTable> slots(resources_, resources_->slots.get());
    QAICKIT_ASSIGN_OR_RETURN(pool_,
                             Pool::start(std::move(slots), async_, resources_, handler, resolved));
    running_.store(pool_.get(), std::memory_order_release);
    started_ = true;
    return {};
  }

  Status submit(std::span<const Sample> samples) noexcept override {
    // acquire: pairs with the release store in start().
    Pool* pool = running_.load(std::memory_order_acquire);
    if (!pool) {
      return Status(Code::kFailedPrecondition, "the session's workers are not started");
    }
    return pool->submit(samples);
  }

  void flush() noexcept override {
    if (Pool* pool = running_.load(std::memory_order_acquire)) pool->flush();
  }

  Status stop() noexcept override {
    const std::lock_guard lock(mutex_);
    if (!started_) return {};
    started_ = false;
    // The pool stays, stopped, for late submits (kClosed) and stats().
    return pool_->stop();
  }

  BatchStats stats() const override {
    const std::lock_guard lock(mutex_);
    return pool_ ? pool_->stats() : BatchStats();
  }

  Result<BenchmarkResult> benchmark(uint64_t inferences, double seconds,
                                    std::span<const ConstBuffer> inputs, size_t set,
                                    const BenchmarkProgress& progress) override {
    RunShape shape{set, 0};
    if (set != RunShape::kBySize || !inputs.empty()) {
      QAICKIT_ASSIGN_OR_RETURN(shape, resolve(shape, inputs, nullptr));
    }
    if (!inputs.empty()) {
      QAICKIT_RETURN_IF_ERROR(check("input", inputs, program_.inputs, 0, shape));
    }
    if (inferences == 0 && !(seconds > 0)) {
      return Status(Code::kInvalidArgument,
                    "benchmark needs a number of inferences or a time above 0 seconds");
    }
    return run_benchmark(*this, slots_.size(), inferences, seconds, inputs, shape.set, progress);
  }

  Result<RunMetrics> metrics() const override {
    if (!meter_) return not_measured();
    return meter_->metrics();
  }
  Result<std::vector<RunProfile>> profile() const override {
    if (!meter_) return not_measured();
    return meter_->profile();
  }

  Status close() noexcept override {
    if (closed_.exchange(true, std::memory_order_seq_cst)) return {};
    Status status = stop();
    if (!slots_.wait_unused(kCloseTimeoutNs) || !slots_.all_free()) {
      // Somebody is still in the device with a slot's buffers: leave all of it behind.
      keep_for_ever(resources_);
      if (status.ok()) {
        status = Status(Code::kTimedOut, "a run was still in the device at close()");
      }
    }
    return status;
  }

 private:
  // The set that the caller means. `outputs` null: not given.
  Result<RunShape> resolve(const RunShape& wanted, std::span<const ConstBuffer> inputs,
                           const std::span<const MutableBuffer>* outputs) const noexcept {
    const size_t sets = program_.num_shape_sets();
    RunShape shape = wanted;
    if (shape.set == RunShape::kBySize) {
      shape.set = 0;
      while (sets > 1 && shape.set < sets && !fits(shape.set, inputs, outputs)) ++shape.set;
      // None: say what is wrong with respect to the default one.
      if (shape.set == sets) shape.set = program_.default_shape_set();
    }
    if (shape.set < sets) return shape;
    return Status(Code::kInvalidArgument, cat("shape set ", shape.set, " does not exist; '",
                                              program_.name, "' has ", sets));
  }

  bool fits(size_t set, std::span<const ConstBuffer> inputs,
            const std::span<const MutableBuffer>* outputs) const noexcept {
    const size_t n = program_.inputs.size();
    for (size_t i = 0; i < std::min(n, inputs.size()); ++i) {
      if (inputs[i].bytes != program_.bytes(set, i)) return false;
    }
    for (size_t i = 0; outputs && i < std::min(program_.outputs.size(), outputs->size()); ++i) {
      if ((*outputs)[i].bytes != program_.bytes(set, n + i)) return false;
    }
    return true;
  }

  // `specs` are the program's tensors from `first` on.
  template <class Buffer>
  Status check(const char* kind, std::span<const Buffer> buffers,
               const std::vector<TensorSpec>& specs, size_t first,
               const RunShape& shape) const noexcept {
    if (buffers.size() != specs.size()) {
      return Status(Code::kInvalidArgument, cat("expected ", specs.size(), " ", kind, "s (",
                                                names_of(specs), "), got ", buffers.size()));
    }
    for (size_t i = 0; i < specs.size(); ++i) {
      const size_t expected = run_bytes(program_, shape, first + i);
      if (buffers[i].bytes == expected) {
        if (buffers[i].data || buffers[i].bytes == 0) continue;
        return Status(Code::kInvalidArgument, cat(kind, " '", specs[i].name, "' has no data"));
      }
      return Status(
          Code::kInvalidArgument,
          cat(kind, " '", specs[i].name, "': expected ", expected, " bytes (",
              dtype_name(specs[i].dtype), " ", dims_to_string(run_dims(program_, shape, first + i)),
              "), got ", buffers[i].bytes));
    }
    return {};
  }

  static Status not_measured() {
    return Status(Code::kFailedPrecondition,
                  "the session does not measure its runs; open it with metrics or profile_runs");
  }

  Status call_sync(Slot& slot, std::span<const ConstBuffer> inputs,
                   std::span<const MutableBuffer> outputs, RunTimes* times) noexcept {
    ExecObj& exec = *slot.exec;
    Status status;
    bool part = false;
    for (size_t i = 0; status.ok() && i < inputs.size(); ++i) {
      const bool whole = inputs[i].bytes == exec.input(i).size();
      part = part || !whole;
      status = exec.bind_input(i, whole ? inputs[i].data : nullptr);
      if (!whole) fill(exec.input(i), inputs[i]);
    }
    for (size_t i = 0; status.ok() && i < outputs.size(); ++i) {
      const bool whole = outputs[i].bytes == exec.output(i).size();
      status = exec.bind_output(i, whole ? outputs[i].data : nullptr);
    }
    if (times) times->gathered = now_ns();
    if (status.ok()) status = exec.run();
    if (times) times->computed = now_ns();
    for (size_t i = 0; part && status.ok() && i < outputs.size(); ++i) {
      if (outputs[i].bytes < exec.output(i).size()) {
        copy_bytes(outputs[i].data, exec.output(i).data(), outputs[i].bytes);
      }
    }
    slots_.release(slot);
    return status;
  }

  // Through the ExecObj's own buffers: after a time-out the device may still use them, and the
  // caller's memory is his again.
  Status call_async(Slot& slot, std::span<const ConstBuffer> inputs,
                    std::span<const MutableBuffer> outputs, RunTimes* times) noexcept {
    Status status;
    for (size_t i = 0; status.ok() && i < inputs.size(); ++i) {
      status = slot.exec->bind_input(i, nullptr);
      fill(slot.exec->input(i), inputs[i]);
    }
    for (size_t i = 0; status.ok() && i < outputs.size(); ++i) {
      status = slot.exec->bind_output(i, nullptr);
    }
    if (!status.ok()) {
      slots_.release(slot);
      return status;
    }
    if (times) times->gathered = now_ns();
    slot.on_complete = complete_call;
    slot.on_complete_arg = &slots_;
    slot.state.store(Slot::kCalling, std::memory_order_release);
    status = slot.exec->enqueue(slot);
    if (status.ok()) {
      // acquire: pairs with complete_call(); makes call_status and the outputs visible.
      const bool ended = slot.called.await(
          [&] { return slot.state.load(std::memory_order_acquire) == Slot::kIdle; },
          kCallTimeoutNs);
      if (!ended && slot.abandon(Slot::kCalling, Slot::kCancelling)) {
        if (slot.cancel()) slots_.release(slot);
        return Status(Code::kTimedOut,
                      cat("no completion within ", kCallTimeoutNs / 1'000'000'000, " s"));
      }
      status = slot.call_status;
    } else {
      (void)slot.finish();
      if (slot.exec->lost()) slots_.mark_lost(slot.activation);
    }
    if (times) times->computed = now_ns();
    for (size_t i = 0; status.ok() && i < outputs.size(); ++i) {
      copy_bytes(outputs[i].data, slot.exec->output(i).data(), outputs[i].bytes);
    }
    slots_.release(slot);
    return status;
  }

  const std::shared_ptr<Resources> resources_;
  const ProgramSpec& program_;
  const Backend& backend_;
  const std::vector<DeviceInfo>& infos_;
  const std::string precision_;
  SlotTable& slots_;
  const bool async_;
  std::optional<RunMeter> meter_;  // none: not asked for
  std::atomic<bool> closed_{false};

  mutable std::mutex mutex_;  // start, stop, stats
  std::unique_ptr<Pool> pool_;
  bool started_ = false;
  std::atomic<Pool*> running_{nullptr};
};

}  // namespace

Result<std::unique_ptr<Session>> Session::open(std::shared_ptr<const Qpc> qpc,
                                               const SessionOptions& options) {
  const std::string label = qpc->label();
  CheckBeside check(*qpc);
  auto resources = acquire_resources(qpc, options);
  // Before anything runs, and first: damage explains whatever else went wrong.
  QAICKIT_RETURN_IF_ERROR(check.join());
  if (!resources.ok()) return resources.status().with_context(label);
  return std::unique_ptr<Session>(new SessionImpl(std::move(resources).value(), options));
}

}  // namespace qaickit
