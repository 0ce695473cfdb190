#include "qaickit/session.h"

#include <atomic>
#include <cstring>
#include <mutex>

#include "base/cat.h"
#include "base/clock.h"
#include "base/keep_for_ever.h"
#include "batch/pool.h"
#include "session/benchmark.h"
#include "session/resources.h"

namespace qaickit {
namespace {

constexpr uint64_t kSlotWaitNs = 100'000'000;        // bound of one sleep for an idle activation
constexpr uint64_t kCallTimeoutNs = 60'000'000'000;  // a completion is lost after it
constexpr uint64_t kCloseTimeoutNs = 10'000'000'000;

// A tensor of no bytes may have no memory, and memcpy wants some all the same.
void copy_bytes(void* to, const void* from, size_t bytes) noexcept {
  if (bytes > 0) std::memcpy(to, from, bytes);
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

class SessionImpl final : public Session {
 public:
  explicit SessionImpl(std::shared_ptr<Resources> resources)
      : resources_(std::move(resources)),
        program_(resources_->qpc->program()),
        backend_(*resources_->backend),
        infos_(resources_->infos),
        precision_(resources_->precision),
        slots_(*resources_->slots),
        async_(resources_->async) {}

  ~SessionImpl() override { (void)close(); }

  const ProgramSpec& program() const noexcept override { return program_; }
  const Backend& backend() const noexcept override { return backend_; }
  std::span<const DeviceInfo> devices() const noexcept override { return infos_; }
  std::string precision() const override { return precision_; }

  Status run(std::span<const ConstBuffer> inputs,
             std::span<const MutableBuffer> outputs) noexcept override {
    QAICKIT_RETURN_IF_ERROR(check("input", inputs, program_.inputs));
    QAICKIT_RETURN_IF_ERROR(check("output", outputs, program_.outputs));
    if (closed_.load(std::memory_order_acquire)) return closed_error();
    Slot* slot = slots_.try_acquire_any();
    while (!slot) {
      if (closed_.load(std::memory_order_acquire)) return closed_error();
      if (slots_.all_abandoned()) {
        return Status(Code::kDeviceError,
                      "no ExecObj is left: the device has not ended any of its runs in time");
      }
      slot = slots_.acquire_any(kSlotWaitNs);
    }
    // seq_cst: see SlotTable::try_acquire(). close() waits for this slot, or this thread sees it.
    if (closed_.load(std::memory_order_seq_cst)) {
      slots_.release(*slot);
      return closed_error();
    }
    return async_ ? call_async(*slot, inputs, outputs) : call_sync(*slot, inputs, outputs);
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
                                    std::span<const ConstBuffer> inputs) override {
    if (!inputs.empty()) QAICKIT_RETURN_IF_ERROR(check("input", inputs, program_.inputs));
    if (inferences == 0 && !(seconds > 0)) {
      return Status(Code::kInvalidArgument,
                    "benchmark needs a number of inferences or a time above 0 seconds");
    }
    return run_benchmark(*this, slots_.size(), inferences, seconds, inputs);
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
  template <class Buffer>
  Status check(const char* kind, std::span<const Buffer> buffers,
               const std::vector<TensorSpec>& specs) const noexcept {
    if (buffers.size() != specs.size()) {
      return Status(Code::kInvalidArgument, cat("expected ", specs.size(), " ", kind, "s (",
                                                names_of(specs), "), got ", buffers.size()));
    }
    for (size_t i = 0; i < specs.size(); ++i) {
      if (buffers[i].bytes == specs[i].bytes()) {
        if (buffers[i].data || buffers[i].bytes == 0) continue;
        return Status(Code::kInvalidArgument, cat(kind, " '", specs[i].name, "' has no data"));
      }
      return Status(Code::kInvalidArgument,
                    cat(kind, " '", specs[i].name, "': expected ", specs[i].bytes(), " bytes (",
                        dtype_name(specs[i].dtype), " ", dims_to_string(specs[i].dims), "), got ",
                        buffers[i].bytes));
    }
    return {};
  }

  Status call_sync(Slot& slot, std::span<const ConstBuffer> inputs,
                   std::span<const MutableBuffer> outputs) noexcept {
    slot.foreign_bindings.store(true, std::memory_order_relaxed);
    Status status;
    for (size_t i = 0; status.ok() && i < inputs.size(); ++i) {
      status = slot.exec->bind_input(i, inputs[i].data);
    }
    for (size_t i = 0; status.ok() && i < outputs.size(); ++i) {
      status = slot.exec->bind_output(i, outputs[i].data);
    }
    if (status.ok()) status = slot.exec->run();
    slots_.release(slot);
    return status;
  }

  // Through the ExecObj's own buffers: after a time-out the device may still use them, and the
  // caller's memory is his again.
  Status call_async(Slot& slot, std::span<const ConstBuffer> inputs,
                    std::span<const MutableBuffer> outputs) noexcept {
    Status status;
    for (size_t i = 0; status.ok() && i < inputs.size(); ++i) {
      status = slot.exec->bind_input(i, nullptr);
      copy_bytes(slot.exec->input(i).data(), inputs[i].data, inputs[i].bytes);
    }
    for (size_t i = 0; status.ok() && i < outputs.size(); ++i) {
      status = slot.exec->bind_output(i, nullptr);
    }
    if (!status.ok()) {
      slots_.release(slot);
      return status;
    }
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
  auto resources = acquire_resources(std::move(qpc), options);
  if (!resources.ok()) return resources.status().with_context(label);
  return std::unique_ptr<Session>(new SessionImpl(std::move(resources).value()));
}

}  // namespace qaickit
