#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/aligned_array.h"
#include "qaickit/batch.h"
#include "qaickit/device.h"
#include "queue/event_count.h"
#include "queue/mpmc_ring.h"

namespace qaickit {

// Counters of one slot. Only the slot's holder writes; anyone may read.
class SlotStats {
 public:
  void reset(uint32_t max_batch) {
    samples_ok = samples_failed = caller_batches = 0;
    sizes_ = AlignedArray<std::atomic<uint64_t>>(max_batch + 1);
  }
  void count(uint32_t batch_size, bool ok, bool on_caller) noexcept {
    bump(ok ? samples_ok : samples_failed, batch_size);
    bump(sizes_[batch_size], 1);
    if (on_caller) bump(caller_batches, 1);
  }

  std::atomic<uint64_t> samples_ok{0};
  std::atomic<uint64_t> samples_failed{0};
  std::atomic<uint64_t> caller_batches{0};
  const AlignedArray<std::atomic<uint64_t>>& sizes() const noexcept { return sizes_; }

 private:
  // No read-modify-write: one writer at a time, handed over with the slot.
  static void bump(std::atomic<uint64_t>& counter, uint64_t by) noexcept {
    counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }
  AlignedArray<std::atomic<uint64_t>> sizes_;  // [n]: batches of n samples
};

// One ExecObj and what is in it. Belongs to whoever acquired it, until released.
//
// `state` settles who answers the samples of a run that takes too long:
//   idle -> running        by the holder, before the device starts
//   running -> idle        by the holder: it answers
//   running -> answering   by the device's completion: it answers, and goes on to idle
//   running -> abandoned   by stop(): it has answered, the rest of the holder's claim included
//   running -> cancelling  by the time-out check: it has answered, and asks the device to let go
//   cancelling -> ended    by the completion, meanwhile: the slot is the time-out check's again
//   cancelling -> abandoned  by the time-out check: the completion has not come yet
//   abandoned -> idle      by the holder or the completion, at last: it answers nobody
// stop() waits for those who answer: for holders by counting threads, for completions by the state.
// A tensor-level call (Session::run) is not the pool's to abandon: it waits in `calling`.
struct alignas(kBufferAlignment) Slot final : Completion {
  enum State : uint32_t { kIdle, kRunning, kAnswering, kCalling, kAbandoned, kCancelling, kEnded };

  void complete(const Status& status) noexcept override {
    on_complete(on_complete_arg, *this, status);
  }

  // True when the run's samples are the caller's to answer.
  bool finish() noexcept {
    // acq_rel: release hands the results over, acquire pairs with abandon().
    return state.exchange(kIdle, std::memory_order_acq_rel) != kAbandoned;
  }
  // The same for a completion, which sets the state to idle when it has answered.
  bool finish_to_answer() noexcept {
    uint32_t expected = kRunning;
    return state.compare_exchange_strong(expected, kAnswering, std::memory_order_acq_rel);
  }
  // For a completion whose run was given up: true when it must release the slot.
  bool end_given_up() noexcept {
    uint32_t expected = kCancelling;
    if (state.compare_exchange_strong(expected, kEnded, std::memory_order_acq_rel)) return false;
    state.store(kIdle, std::memory_order_release);
    return true;
  }
  // Takes the samples over from a run in state `from`; false when it has just ended.
  bool abandon(State from, State to = kAbandoned) noexcept {
    uint32_t expected = from;
    // acquire: pairs with the release store of `from`; makes samples, count and claim visible.
    return state.compare_exchange_strong(expected, to, std::memory_order_acq_rel);
  }
  // For whoever has set kCancelling: asks the device to let go. True when it has, and the slot is
  // the caller's to release; else the completion will do it.
  bool cancel() noexcept {
    exec->cancel();
    if (abandon(kCancelling)) return false;
    state.store(kIdle, std::memory_order_release);  // it was kEnded
    return true;
  }

  // Moves the next `size` samples of claim_rest into the slot.
  void take(size_t size) noexcept {
    std::copy_n(claim_rest.begin(), size, samples.begin());
    count = static_cast<uint32_t>(size);
    claim_rest = claim_rest.subspan(size);
  }

  std::unique_ptr<ExecObj> exec;
  uint32_t index = 0;         // in the table
  uint32_t activation = 0;    // in the table
  uint32_t bit = 0;           // in the activation's mask
  size_t default_shapes = 0;  // of the ExecObj
  // Memory that is not this pool's may still be bound; run_sync and start_async undo that.
  // Atomic: start() sets it without holding the slot.
  std::atomic<bool> foreign_bindings{false};

  // The samples in it.
  AlignedArray<Sample> samples;
  uint32_t count = 0;
  // What its holder will run next, and how much of a big query the holder has claimed in all.
  std::span<const Sample> claim_rest;
  size_t claimed = 0;
  std::atomic<uint32_t> state{kIdle};
  std::atomic<uint64_t> deadline_ns{0};  // asynchronous devices: when a completion counts as lost
  SlotStats stats;

  // A tensor-level call on an asynchronous device waits here for its completion.
  EventCount called;
  Status call_status;

  // What an asynchronous completion does. Set by the holder before enqueue.
  void (*on_complete)(void*, Slot&, const Status&) noexcept = nullptr;
  void* on_complete_arg = nullptr;
};

// All ExecObjs of a session, grouped by activation, with lock-free hand-out. Built once; from then
// on safe from any thread.
class SlotTable {
 public:
  // exec_objs[a] are those of activation a, at most 64 of each.
  explicit SlotTable(std::vector<std::vector<std::unique_ptr<ExecObj>>> exec_objs);
  // How messages call the activations ("qaic:1: activation 0"), and all devices together. Before
  // the table is shared.
  void set_names(std::vector<std::string> activations, std::string devices) {
    names_ = std::move(activations);
    devices_ = std::move(devices);
  }
  std::string name(uint32_t activation) const;
  const std::string& device_names() const noexcept { return devices_; }

  uint32_t activations() const noexcept { return static_cast<uint32_t>(masks_.size()); }
  uint32_t size() const noexcept { return static_cast<uint32_t>(slots_.size()); }
  Slot& operator[](uint32_t i) noexcept { return *slots_[i]; }
  const Slot& operator[](uint32_t i) const noexcept { return *slots_[i]; }

  // An idle slot of the activation, or null.
  Slot* try_acquire(uint32_t activation) noexcept;
  // An idle slot of any activation, or null. Lost ones only when all are.
  Slot* try_acquire_any() noexcept;
  // Waits for one; for half of them for a moment, so that a worker is not woken for each.
  Slot* acquire(uint32_t activation, uint64_t timeout_ns) noexcept;
  Slot* acquire_any(uint64_t timeout_ns) noexcept;
  void release(Slot& slot) noexcept;
  // Are all slots of the activation free?
  bool idle(uint32_t activation) const noexcept {
    return masks_[activation].free.load(std::memory_order_relaxed) == masks_[activation].all;
  }
  // The activation's device is gone.
  void mark_lost(uint32_t activation) noexcept;
  bool lost(uint32_t activation) const noexcept {
    return masks_[activation].lost.load(std::memory_order_relaxed);
  }
  uint32_t lost_activations() const noexcept { return lost_.load(std::memory_order_relaxed); }
  bool all_lost() const noexcept { return lost_activations() == activations(); }
  // Waits until no slot is held, or only by runs that were given up; false when the time is up.
  bool wait_unused(uint64_t timeout_ns) noexcept;
  // Waits until no run of a pool's is in the device or being answered by a completion; false when
  // the time is up.
  bool wait_settled(uint64_t timeout_ns) noexcept;
  // Are all slots free?
  bool all_free() const noexcept;
  // Are runs that were given up still in the device: in some slots, in all of them?
  bool any_abandoned() const noexcept;
  bool all_abandoned() const noexcept;
  // Before the devices are released: after this, nothing but their last completions, which still
  // use the table, is left of what they hold of it.
  void release_exec_objs() noexcept {
    for (const auto& slot : slots_) slot->exec.reset();
  }

 private:
  struct alignas(kCacheLine) Mask {
    std::atomic<uint64_t> free{0};  // bit b: slot first + b is free
    uint64_t all = 0;
    uint32_t first = 0;
    int refill = 1;  // free slots for which a worker is woken: half of all
    std::atomic<bool> lost{false};
    EventCount refilled;
    EventCount freed;  // for those who want this activation

    // seq_cst, here and wherever somebody waits for a slot: pairs with release(), which notifies
    // in order (EventCount). As acquire, too.
    uint64_t free_bits() const noexcept { return free.load(std::memory_order_seq_cst); }
    bool is_refilled(uint64_t bits) const noexcept { return std::popcount(bits) >= refill; }
  };
  // Is there no held slot whose state is one of those?
  template <class State>
  bool none_held(State&& state) const noexcept;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<Mask> masks_;
  std::vector<std::string> names_;
  std::string devices_;
  EventCount freed_;   // for those to whom any activation is good
  EventCount unused_;  // for those who want none in use
  std::atomic<uint32_t> lost_{0};
};

}  // namespace qaickit
