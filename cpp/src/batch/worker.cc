#include <algorithm>
#include <utility>

#include "base/affinity.h"
#include "base/cat.h"
#include "base/clock.h"
#include "batch/batch_former.h"
#include "batch/pool_core.h"

namespace qaickit {
namespace {

constexpr uint64_t kClaimNs = 50'000;  // work that one claim from a big query should hold
constexpr uint64_t kMaxClaimBatches = 1024;
constexpr uint64_t kParkNs = 1'000'000'000;  // bound of an idle sleep
constexpr uint64_t kReapNs = 5'000'000;      // bound while completions are outstanding
constexpr uint64_t kSlotWaitNs = 1'000'000;

class Worker {
 public:
  Worker(PoolCore& core, uint32_t activation) noexcept : core_(core), activation_(activation) {}

  void run() noexcept {
    // acquire: pairs with the seq_cst store in Pool::stop().
    while (!core_.stopping.load(std::memory_order_acquire)) {
      reap();
      if (core_.slots->lost(activation_)) {
        sit_out();
        continue;
      }
      if (!has_work()) {
        wait_for_work();
        continue;
      }
      Slot* slot = core_.slots->try_acquire(activation_);
      if (!slot && core_.slots->all_abandoned()) {
        core_.drain(Status(Code::kDeviceError,
                           cat("no ExecObj is left: the device has not ended any of its runs in "
                               "time: ",
                               core_.slots->device_names())));
        continue;
      }
      if (!slot) {
        // A caller runs on this activation: let another worker have the samples meanwhile.
        core_.work.notify_all();
        slot = core_.slots->acquire(activation_, kSlotWaitNs);
        if (!slot) continue;
      }
      core_.async ? serve_async(*slot) : serve_sync(*slot);
    }
  }

 private:
  bool has_work() const noexcept { return ring_has_work() || !core_.board.empty(); }
  // Samples for which another worker's part-filled batch has room are that worker's: they arrived
  // after its first one, so it takes them by its own deadline at the latest, and when it goes
  // without some of them, it wakes another worker.
  bool ring_has_work() const noexcept {
    if (core_.ring.empty()) return false;
    if (core_.policy.max_delay_ns == 0) return true;
    // acquire: pairs with the end of wait_for_more(). A `wanted` of before costs a longer wait,
    // within the deadline.
    return core_.forming.load(std::memory_order_acquire) == 0 ||
           core_.ring.size() > core_.wanted.load(std::memory_order_relaxed);
  }
  bool stopping() const noexcept { return core_.stopping.load(std::memory_order_acquire); }

  // Now and then: looking costs a cache line of every slot in flight.
  void reap() noexcept {
    if (!core_.async) return;
    const uint64_t now = now_ns();
    if (now < next_reap_ns_) return;
    next_reap_ns_ = now + std::min(kReapNs, core_.policy.exec_timeout_ns / 2);
    core_.reap(activation_);
  }

  void wait_for_work() noexcept {
    const bool outstanding = core_.async && !core_.slots->idle(activation_);
    core_.work.await([&] { return has_work() || stopping(); }, outstanding ? kReapNs : kParkNs,
                     core_.policy.idle_spin_ns);
  }

  // The device is gone: leaves the work to the other activations, or answers it if there is none.
  void sit_out() noexcept {
    if (core_.slots->all_lost()) {
      core_.drain(Status(Code::kDeviceError, cat("every device of the session is gone: ",
                                                 core_.slots->device_names())));
      return wait_for_work();
    }
    // A wake-up that this worker got was for one of them.
    if (!std::exchange(sits_out_, true)) core_.work.notify_all();
    core_.retired.await([&] { return stopping(); }, kReapNs);
  }

  // Runs batch after batch while there is work; then gives the slot back. A run that stop() gave
  // up on ends the loop too, since stop() has been called.
  void serve_sync(Slot& slot) noexcept {
    while (!stopping()) {
      if (form_from_ring(slot)) {
        const uint64_t start = now_ns();
        if (!core_.run_sync(slot, false)) break;
        core_.note_batch_ns(now_ns() - start);
      } else if (!run_claim(slot)) {
        break;
      }
    }
    core_.slots->release(slot);
  }

  void serve_async(Slot& slot) noexcept {
    if (form_from_ring(slot)) return core_.start_async(slot);
    const std::span<const Sample> part = core_.board.claim(core_.policy.max_batch);
    if (part.empty()) return core_.slots->release(slot);
    slot.claim_rest = part;
    slot.take(part.size());
    core_.release_claim(part.size());
    core_.start_async(slot);
  }

  // Claims some batches of a big query and runs them. How many is a matter of time, not of count:
  // enough to make the claim cheap, few enough that no worker is left with a long tail.
  bool run_claim(Slot& slot) noexcept {
    const uint32_t max_batch = core_.policy.max_batch;
    const std::span<const Sample> claim = core_.board.claim(claim_batches_ * max_batch);
    if (claim.empty()) return false;
    const uint64_t start = now_ns();
    uint64_t batches = 0;
    slot.claim_rest = claim;
    slot.claimed = claim.size();
    while (!slot.claim_rest.empty() && !stopping()) {
      slot.take(std::min<size_t>(max_batch, slot.claim_rest.size()));
      if (!core_.run_sync(slot, false)) return false;
      ++batches;
    }
    if (!slot.claim_rest.empty()) core_.fail_waiting(std::exchange(slot.claim_rest, {}));
    core_.release_claim(std::exchange(slot.claimed, 0));
    if (batches > 0) {
      const uint64_t batch_ns = (now_ns() - start) / batches;
      core_.note_batch_ns(batch_ns);
      claim_batches_ = std::clamp<uint64_t>(kClaimNs / (batch_ns + 1), 1, kMaxClaimBatches);
    }
    return true;
  }

  // Fills the slot from the ring; waits for more while the batch's deadline allows. False when
  // there was nothing, or when it was time to stop.
  bool form_from_ring(Slot& slot) noexcept {
    slot.count = 0;
    if (!ring_has_work()) return false;
    BatchFormer former(core_.policy.max_batch, core_.policy.max_delay_ns);
    uint64_t first_arrival_ns = pop_into(slot, former);
    if (slot.count == 0) return false;
    if (former.room() > 0 && core_.policy.max_delay_ns > 0) {
      wait_for_more(slot, former, first_arrival_ns);
      if (stopping()) {
        core_.fail_waiting({slot.samples.data(), slot.count});
        return false;
      }
    }
    // One wake-up was for this batch; what is left wants the next worker.
    if (!core_.ring.empty()) core_.work.notify_one();
    core_.space.notify_all();
    return true;
  }

  // Returns when the first of the samples popped arrived.
  uint64_t pop_into(Slot& slot, BatchFormer& former) noexcept {
    uint64_t first_arrival_ns = 0;
    QueuedSample queued;
    while (former.room() > 0 && core_.ring.try_pop(queued)) {
      if (former.size() == 0) first_arrival_ns = queued.arrival_ns;
      slot.samples[slot.count++] = queued.sample;
      former.add(1, queued.arrival_ns);
    }
    return first_arrival_ns;
  }

  void wait_for_more(Slot& slot, BatchFormer& former, uint64_t first_arrival_ns) noexcept {
    // seq_cst read-modify-writes, here and below: a submitter pushes, does one, and then reads
    // `wanted`; this thread writes `wanted` or lowers `forming`, and then reads the ring. One of
    // the two must see the other.
    core_.forming.fetch_add(1, std::memory_order_seq_cst);
    for (;;) {
      auto flushed = [&] {
        return first_arrival_ns <= core_.flushed_ns.load(std::memory_order_acquire);
      };
      const uint64_t now = now_ns();
      if (former.ready(now, flushed()) || stopping()) break;
      // One wake-up for the batch, not one for each sample; the deadline is for what is left. Where
      // two fill batches, and neither knows how many the other will take, each sample wakes them.
      const bool alone = core_.forming.load(std::memory_order_relaxed) == 1;
      core_.wanted.store(alone ? std::min<size_t>(former.room(), core_.ring.capacity()) : 1,
                         std::memory_order_relaxed);
      core_.forming.fetch_add(0, std::memory_order_seq_cst);
      core_.more.await(
          [&] {
            const size_t wanted = core_.wanted.load(std::memory_order_relaxed);
            return (!core_.ring.empty() && core_.ring.size() >= wanted) || flushed() || stopping();
          },
          former.remaining_ns(now));
      pop_into(slot, former);
    }
    core_.forming.fetch_sub(1, std::memory_order_seq_cst);
  }

  PoolCore& core_;
  const uint32_t activation_;
  uint64_t claim_batches_ = 1;
  uint64_t next_reap_ns_ = 0;
  bool sits_out_ = false;
};

}  // namespace

void serve_activation(std::shared_ptr<PoolCore> core, uint32_t activation) noexcept {
  if (const auto& cpus = core->policy.pin_cpus; !cpus.empty()) {
    // Not fatal: the thread runs where the system lets it.
    (void)pin_this_thread(cpus[activation % cpus.size()]);
  }
  Worker(*core, activation).run();
  // release: pairs with the acquire load in Pool::stop().
  core->live_workers.fetch_sub(1, std::memory_order_release);
  core->drained.notify_all();
}

}  // namespace qaickit
