#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdint>
#include <ctime>

#include "base/clock.h"
#include "queue/spin.h"

namespace qaickit {

// Lets threads sleep until a condition that lives elsewhere (a queue is not empty, a slot is
// free) may have become true. Waking costs one atomic when nobody sleeps, a system call when
// somebody does.
//
//   waiter:   key = prepare_wait(); if (condition) cancel_wait(); else wait(key, bound);
//   notifier: make the condition true; notify_one() or notify_all();
//
// No wake-up is lost: both sides do a read-modify-write on `waiters_`. If the notifier's comes
// first in its modification order, the waiter's synchronises with it and the check after it sees
// the condition; if the waiter's comes first, the notifier sees a waiter and bumps the epoch.
//
// A notifier whose condition is made true by a seq_cst read-modify-write, and tested by waiters
// with seq_cst loads, may use notify_*_ordered(), which only reads: in the one order of those four
// operations either the notifier's look at `waiters_` comes after the waiter's increment, or the
// waiter's look at the condition comes after the notifier's write.
class EventCount {
 public:
  uint32_t prepare_wait() noexcept {
    // acq_rel: pairs with the read-modify-write in notify(). seq_cst: with notify_*_ordered().
    waiters_.fetch_add(1, std::memory_order_seq_cst);
    // acquire: pairs with the release increment in notify(); an epoch read here that is already
    // the new one means that the condition it announces is visible to the caller's check.
    return epoch_.load(std::memory_order_acquire);
  }

  void cancel_wait() noexcept { waiters_.fetch_sub(1, std::memory_order_relaxed); }

  // Sleeps until a notify after prepare_wait(), or for `timeout_ns`. May wake for no reason.
  void wait(uint32_t key, uint64_t timeout_ns) noexcept {
    timespec bound{static_cast<time_t>(timeout_ns / 1'000'000'000),
                   static_cast<long>(timeout_ns % 1'000'000'000)};
    // acquire: pairs with the release increment in notify().
    if (epoch_.load(std::memory_order_acquire) == key) {
      syscall(SYS_futex, word(), FUTEX_WAIT_PRIVATE, key, &bound, nullptr, 0);
    }
    waiters_.fetch_sub(1, std::memory_order_relaxed);
  }

  void notify_one() noexcept { notify(1); }
  void notify_all() noexcept { notify(INT_MAX); }
  void notify_one_ordered() noexcept { notify_ordered(1); }
  void notify_all_ordered() noexcept { notify_ordered(INT_MAX); }

  // Waits until `ready()` holds, spinning `spin_ns` before sleeping; false after `timeout_ns`.
  template <class Ready>
  bool await(Ready&& ready, uint64_t timeout_ns, uint64_t spin_ns = 0) noexcept {
    if (spin_until(ready, spin_ns)) return true;
    const uint64_t start = now_ns();
    for (;;) {
      const uint64_t waited = now_ns() - start;
      if (waited >= timeout_ns) return ready();
      const uint32_t key = prepare_wait();
      if (ready()) {
        cancel_wait();
        return true;
      }
      wait(key, timeout_ns - waited);
      if (ready()) return true;
    }
  }

 private:
  static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t), "a futex is 32 bits");
  uint32_t* word() noexcept { return reinterpret_cast<uint32_t*>(&epoch_); }

  void notify(int count) noexcept {
    // A read-modify-write that changes nothing: a plain load could be ordered before the store
    // that made the condition true. acq_rel: pairs with prepare_wait().
    if (waiters_.fetch_add(0, std::memory_order_acq_rel) != 0) wake(count);
  }

  void notify_ordered(int count) noexcept {
    if (waiters_.load(std::memory_order_seq_cst) != 0) wake(count);
  }

  void wake(int count) noexcept {
    epoch_.fetch_add(1, std::memory_order_release);
    syscall(SYS_futex, word(), FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
  }

  std::atomic<uint32_t> epoch_{0};
  std::atomic<uint32_t> waiters_{0};
};

}  // namespace qaickit
