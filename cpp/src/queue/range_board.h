#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "queue/mpmc_ring.h"

namespace qaickit {

// One big array offered to many consumers, who claim consecutive parts of it: an Offline query of
// a million samples costs one atomic operation a claim and is never copied.
//
// Positions run on from one array to the next and never repeat:
//
//        base_              cursor_          end_
//          |  claimed parts    |   free parts  |
//   data_[0]                                data_[end_ - base_ - 1]
//
// One producer at a time offers (the caller serialises them). A claim whose compare-exchange
// succeeds saw the same cursor at its start, and the array is only replaced when the cursor has
// reached its end, so data_ and base_ read in between belong to that cursor.
template <class T>
class RangeBoard {
 public:
  // Producer: only when done() holds. `items` must stay until done() holds again.
  void offer(std::span<const T> items) noexcept {
    const uint64_t base = end_.load(std::memory_order_relaxed);
    data_.store(items.data(), std::memory_order_relaxed);
    base_.store(base, std::memory_order_relaxed);
    // release: pairs with the acquire load in claim(); publishes data_ and base_.
    end_.store(base + items.size(), std::memory_order_release);
  }

  // Consumer: up to `limit` items, or nothing. Each non-empty claim is followed by release() of
  // its size once the items have been read.
  std::span<const T> claim(size_t limit) noexcept {
    uint64_t cursor = cursor_.load(std::memory_order_acquire);
    for (;;) {
      // acquire: pairs with the release store in offer().
      const uint64_t end = end_.load(std::memory_order_acquire);
      if (cursor >= end || limit == 0) return {};
      const size_t count = static_cast<size_t>(std::min<uint64_t>(limit, end - cursor));
      const T* const data = data_.load(std::memory_order_relaxed);
      const uint64_t base = base_.load(std::memory_order_relaxed);
      // acq_rel: orders the loads above before a later offer(), which needs this cursor at its end.
      if (cursor_.compare_exchange_weak(cursor, cursor + count, std::memory_order_acq_rel,
                                        std::memory_order_acquire)) {
        return {data + (cursor - base), count};
      }
    }
  }

  // Consumer: `count` claimed items will not be read any more. True when that was the last of the
  // array, so that its producer wants to be woken.
  bool release(size_t count) noexcept {
    // acq_rel: pairs with the acquire load in done(); the items have been read before it.
    const uint64_t before = released_.fetch_add(count, std::memory_order_acq_rel);
    return before + count == end_.load(std::memory_order_relaxed);
  }

  bool empty() const noexcept {
    // acquire: pairs with the release store in offer().
    return cursor_.load(std::memory_order_relaxed) >= end_.load(std::memory_order_acquire);
  }

  // Items not claimed yet; approximate while others claim.
  uint64_t remaining() const noexcept {
    const uint64_t cursor = cursor_.load(std::memory_order_relaxed);
    const uint64_t end = end_.load(std::memory_order_acquire);
    return end > cursor ? end - cursor : 0;
  }

  // Everything offered has been claimed and released.
  bool done() const noexcept {
    // acquire: pairs with the acq_rel increment in release().
    return released_.load(std::memory_order_acquire) == end_.load(std::memory_order_relaxed);
  }

 private:
  alignas(kCacheLine) std::atomic<uint64_t> cursor_{0};
  alignas(kCacheLine) std::atomic<uint64_t> released_{0};
  alignas(kCacheLine) std::atomic<uint64_t> end_{0};
  std::atomic<uint64_t> base_{0};
  std::atomic<const T*> data_{nullptr};
};

}  // namespace qaickit
