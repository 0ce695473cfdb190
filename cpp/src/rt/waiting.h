#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>

#include "qaickit/rt.h"

namespace qaickit::rt {

// What callers say with a number: 0 is no bound.
inline std::optional<std::chrono::microseconds> bound_of(uint64_t timeout_us) {
  if (timeout_us == 0) return std::nullopt;
  return std::chrono::microseconds(std::min<uint64_t>(timeout_us, INT64_MAX));
}

// Waits until `ready`, which is asked with the lock held. Errors: kTimedOut (`bound` is over),
// kCancelled (`keep_waiting` said so; it is asked without the lock, since it may want another one
// that somebody has who waits for this one).
template <class Ready>
Status wait_until(std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                  std::optional<std::chrono::microseconds> bound, const KeepWaiting& keep_waiting,
                  Ready ready) {
  using Clock = std::chrono::steady_clock;
  constexpr auto kSlice = std::chrono::milliseconds(100);
  // What the clock can hold; compared in microseconds, of which a bound may be any number.
  constexpr auto kLongest = std::chrono::microseconds(std::chrono::years(1));
  const auto deadline = Clock::now() + (bound ? std::min(*bound, kLongest) : kLongest);
  while (!changed.wait_until(lock, std::min(deadline, Clock::now() + kSlice), ready)) {
    if (bound && Clock::now() >= deadline) return Status(Code::kTimedOut, "the time is up");
    if (!keep_waiting) continue;
    lock.unlock();
    const bool more = keep_waiting();
    lock.lock();
    if (!more) return Status(Code::kCancelled, "the wait was interrupted");
  }
  return {};
}

}  // namespace qaickit::rt
