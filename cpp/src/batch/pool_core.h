#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

#include "batch/slot_table.h"
#include "qaickit/batch.h"
#include "queue/event_count.h"
#include "queue/mpmc_ring.h"
#include "queue/range_board.h"

namespace qaickit {

struct QueuedSample {
  Sample sample;
  uint64_t arrival_ns;  // 0 when batches do not wait
};

// What the submitting threads and the workers of one pool share. Workers hold it by shared_ptr, so
// that one that is stuck in a device can be left behind.
struct PoolCore {
  PoolCore(std::shared_ptr<SlotTable> slots, bool async, std::shared_ptr<void> keep_alive,
           BatchHandler& handler, const BatchPolicy& policy)
      : slots(std::move(slots)),
        async(async),
        keep_alive(std::move(keep_alive)),
        handler(handler),
        policy(policy),
        ring(policy.queue_capacity) {}

  // Runs the slot's `count` samples on this thread and answers them. False when stop() has given
  // up on the run: it has answered for this thread, which must not touch the handler any more.
  bool run_sync(Slot& slot, bool on_caller) noexcept;
  // Starts the slot's `count` samples; the completion answers them and releases the slot.
  void start_async(Slot& slot) noexcept;
  // Answers samples that never got to a device, because of stop() unless said.
  void fail_waiting(std::span<const Sample> samples) noexcept;
  void fail_waiting(std::span<const Sample> samples, const Status& why) noexcept;
  // Answers everything that no worker has taken.
  void drain(const Status& why) noexcept;
  // `count` claimed samples of a big query are done with.
  void release_claim(size_t count) noexcept {
    if (board.release(count)) space.notify_all();
  }
  // Answers a running slot's samples with `why` in place of its holder. False when it has ended.
  bool abandon(Slot& slot, const Status& why) noexcept;
  // Answers batches whose completion is overdue. For one activation: its worker's duty.
  void reap(uint32_t activation) noexcept;

  // Remembers how long a batch takes (exponential mean), for CallerRuns::kAuto. A batch during
  // which this thread lost the CPU counts as four times the mean at most.
  void note_batch_ns(uint64_t ns) noexcept {
    const uint64_t mean = batch_ns.load(std::memory_order_relaxed);
    const uint64_t next = mean == 0 ? ns : mean - mean / 8 + std::min(ns, 4 * mean) / 8;
    batch_ns.store(next + 1, std::memory_order_relaxed);
  }
  // May a query of so many batches run on the thread that submits it?
  bool caller_may_run(size_t batches) const noexcept;

  const std::shared_ptr<SlotTable> slots;
  const bool async;
  const std::shared_ptr<void> keep_alive;
  BatchHandler& handler;
  const BatchPolicy policy;  // max_batch is resolved

  MpmcRing<QueuedSample> ring;
  RangeBoard<Sample> board;
  // A line each for what submitting threads write, what workers write, and what all only read.
  alignas(kCacheLine) EventCount work;  // the ring or the board is not empty, or it is time to stop
  EventCount more;                      // the same, for workers that hold a part-filled batch
  alignas(kCacheLine) EventCount space;  // the ring has room, or the board is done

  alignas(kCacheLine) std::atomic<bool> stopping{false};
  std::atomic<bool> offering{false};    // a producer owns the board
  std::atomic<uint64_t> flushed_ns{0};  // samples that arrived up to here do not wait
  std::atomic<uint32_t> live_workers{0};
  std::atomic<uint32_t> left_behind{0};     // threads in runs that stop() gave up on
  std::atomic<uint64_t> failed_waiting{0};  // samples that never got to a device
  EventCount drained;                       // a submit() or a worker has ended
  EventCount retired;                       // time to stop, for workers whose device is gone

  alignas(kCacheLine) std::atomic<uint64_t> batch_ns{0};  // mean; 0 = not measured
  std::atomic<uint32_t> forming{0};                       // workers that wait for more
  std::atomic<size_t> wanted{1};                          // samples in the ring that wake them

  alignas(kCacheLine) std::atomic<uint32_t> submitters{0};
  std::atomic<uint32_t> caller_runs{0};  // of kAuto, to time some of them
};

// Body of the thread that serves one activation.
void serve_activation(std::shared_ptr<PoolCore> core, uint32_t activation) noexcept;

}  // namespace qaickit
