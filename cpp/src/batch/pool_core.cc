#include "batch/pool_core.h"

#include "base/cat.h"

namespace qaickit {
namespace {

constexpr uint64_t kHandOverNs = 20'000;  // what waking a parked worker costs, roughly

// The buffers of a slot that a tensor-level run used last point at that caller's memory.
Status restore_bindings(Slot& slot) noexcept {
  // relaxed: start() set it before the workers began.
  if (!slot.foreign_bindings.load(std::memory_order_relaxed)) return {};
  QAICKIT_RETURN_IF_ERROR(slot.exec->select_shapes(slot.default_shapes));
  for (size_t i = 0; i < slot.exec->num_inputs(); ++i) {
    QAICKIT_RETURN_IF_ERROR(slot.exec->bind_input(i, nullptr));
  }
  for (size_t i = 0; i < slot.exec->num_outputs(); ++i) {
    QAICKIT_RETURN_IF_ERROR(slot.exec->bind_output(i, nullptr));
  }
  slot.foreign_bindings.store(false, std::memory_order_relaxed);
  return {};
}

Batch batch_of(Slot& slot) noexcept {
  return {{slot.samples.data(), slot.count}, *slot.exec, slot.index};
}

void answer(BatchHandler& handler, Slot& slot, const Status& status, bool on_caller) noexcept {
  const Batch batch = batch_of(slot);
  if (status.ok()) {
    handler.scatter(batch);
  } else {
    handler.fail(batch.samples, status);
  }
  slot.stats.count(slot.count, status.ok(), on_caller);
}

// A device that is gone must not go on taking samples only to fail them.
void note_loss(SlotTable& slots, const Slot& slot, const Status& status) noexcept {
  if (!status.ok() && slot.exec->lost()) slots.mark_lost(slot.activation);
}

void complete_async(void* arg, Slot& slot, const Status& status) noexcept {
  auto& core = *static_cast<PoolCore*>(arg);
  SlotTable& slots = *core.slots;
  note_loss(slots, slot, status);
  if (slot.finish_to_answer()) {
    answer(core.handler, slot, status, false);
    // release: pairs with the acquire load in wait_settled(). Pool and handler may now be gone.
    slot.state.store(Slot::kIdle, std::memory_order_release);
  } else if (!slot.end_given_up()) {
    return;
  }
  slots.release(slot);
}

}  // namespace

bool PoolCore::caller_may_run(size_t batches) const noexcept {
  if (async) return false;
  switch (policy.caller_runs) {
    case CallerRuns::kNever: return false;
    case CallerRuns::kIfIdle: return batches == 1;
    case CallerRuns::kAuto: {
      const uint64_t ns = batch_ns.load(std::memory_order_relaxed);
      return ns != 0 && ns * batches < kHandOverNs;
    }
  }
  return false;
}

bool PoolCore::run_sync(Slot& slot, bool on_caller) noexcept {
  Status status = restore_bindings(slot);
  if (status.ok()) status = handler.gather(batch_of(slot));
  if (status.ok()) {
    // release: pairs with abandon(); publishes the samples and the claim.
    slot.state.store(Slot::kRunning, std::memory_order_release);
    status = slot.exec->run();
    if (!slot.finish()) {
      left_behind.fetch_sub(1, std::memory_order_release);
      return false;
    }
  }
  answer(handler, slot, status, on_caller);
  return true;
}

void PoolCore::start_async(Slot& slot) noexcept {
  Status status = restore_bindings(slot);
  if (status.ok()) status = handler.gather(batch_of(slot));
  if (status.ok()) {
    slot.on_complete = complete_async;
    slot.on_complete_arg = this;
    const uint64_t now = now_ns();
    slot.deadline_ns.store(now + std::min(policy.exec_timeout_ns, UINT64_MAX - now),
                           std::memory_order_relaxed);
    // release: pairs with abandon(); publishes the samples and the deadline.
    slot.state.store(Slot::kRunning, std::memory_order_release);
    status = slot.exec->enqueue(slot);
    if (status.ok()) return;  // the completion may already have released the slot
    if (!slot.finish()) return slots->release(slot);
    note_loss(*slots, slot, status);
  }
  answer(handler, slot, status, false);
  slots->release(slot);
}

void PoolCore::fail_waiting(std::span<const Sample> samples) noexcept {
  fail_waiting(samples, Status(Code::kClosed, "the session was stopped before the sample ran"));
}

void PoolCore::fail_waiting(std::span<const Sample> samples, const Status& why) noexcept {
  handler.fail(samples, why);
  failed_waiting.fetch_add(samples.size(), std::memory_order_relaxed);
}

void PoolCore::drain(const Status& why) noexcept {
  QueuedSample queued;
  while (ring.try_pop(queued)) fail_waiting({&queued.sample, 1}, why);
  for (auto part = board.claim(SIZE_MAX); !part.empty(); part = board.claim(SIZE_MAX)) {
    fail_waiting(part, why);
    release_claim(part.size());
  }
  space.notify_all();
}

bool PoolCore::abandon(Slot& slot, const Status& why) noexcept {
  if (!slot.abandon(Slot::kRunning)) return false;
  handler.fail({slot.samples.data(), slot.count}, why);
  slot.stats.count(slot.count, false, false);
  if (!slot.claim_rest.empty()) fail_waiting(slot.claim_rest);
  if (slot.claimed > 0) release_claim(slot.claimed);
  return true;
}

void PoolCore::reap(uint32_t activation) noexcept {
  if (!async) return;
  const uint64_t now = now_ns();
  for (uint32_t i = 0; i < slots->size(); ++i) {
    Slot& slot = (*slots)[i];
    if (slot.activation != activation) continue;
    // acquire: pairs with the release store in start_async().
    if (slot.state.load(std::memory_order_acquire) != Slot::kRunning) continue;
    if (now < slot.deadline_ns.load(std::memory_order_relaxed)) continue;
    if (!slot.abandon(Slot::kRunning, Slot::kCancelling)) continue;
    handler.fail({slot.samples.data(), slot.count},
                 Status(Code::kTimedOut, cat(slots->name(activation), ": no completion within ",
                                             policy.exec_timeout_ns / 1'000'000, " ms")));
    slot.stats.count(slot.count, false, false);
    // The slot stays out of use until the device gives it back, if ever.
    if (slot.cancel()) slots->release(slot);
  }
}

}  // namespace qaickit
