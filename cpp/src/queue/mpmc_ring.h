#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>

namespace qaickit {

inline constexpr size_t kCacheLine = 64;

// Bounded lock-free queue for many producers and many consumers. Each cell carries a ticket that
// says whose turn it is:
//
//   cell.ticket == position          free: the producer of `position` may fill it
//   cell.ticket == position + 1      full: the consumer of `position` may empty it
//   afterwards  == position + size   free again, one lap later
//
// First in, first out for each producer. Not linearisable across producers: a producer that stalls
// between claiming a cell and filling it hides the cells behind it until it goes on. size() is
// approximate while others push or pop. The capacity is a power of two.
template <class T>
class MpmcRing {
  // A copy that throws would strand its cell for ever.
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  explicit MpmcRing(size_t min_capacity)
      : mask_(std::bit_ceil(min_capacity < 2 ? size_t{2} : min_capacity) - 1),
        cells_(std::make_unique<Cell[]>(mask_ + 1)) {
    for (size_t i = 0; i <= mask_; ++i) cells_[i].ticket.store(i, std::memory_order_relaxed);
  }

  size_t capacity() const noexcept { return mask_ + 1; }

  // False when full.
  bool try_push(const T& value) noexcept {
    size_t position = head_.load(std::memory_order_relaxed);
    for (;;) {
      Cell& cell = cells_[position & mask_];
      // acquire: pairs with the release store in try_pop(); the consumer has read the old value.
      const size_t ticket = cell.ticket.load(std::memory_order_acquire);
      const auto turn = static_cast<ptrdiff_t>(ticket - position);
      if (turn < 0) return false;
      if (turn > 0) {
        position = head_.load(std::memory_order_relaxed);
      } else if (head_.compare_exchange_weak(position, position + 1, std::memory_order_relaxed)) {
        cell.value = value;
        // release: pairs with the acquire load in try_pop(); publishes cell.value.
        cell.ticket.store(position + 1, std::memory_order_release);
        return true;
      }
    }
  }

  // False when empty.
  bool try_pop(T& value) noexcept {
    size_t position = tail_.load(std::memory_order_relaxed);
    for (;;) {
      Cell& cell = cells_[position & mask_];
      // acquire: pairs with the release store in try_push(); makes cell.value visible.
      const size_t ticket = cell.ticket.load(std::memory_order_acquire);
      const auto turn = static_cast<ptrdiff_t>(ticket - (position + 1));
      if (turn < 0) return false;
      if (turn > 0) {
        position = tail_.load(std::memory_order_relaxed);
      } else if (tail_.compare_exchange_weak(position, position + 1, std::memory_order_relaxed)) {
        value = cell.value;
        // release: pairs with the acquire load in try_push(); the cell may be overwritten.
        cell.ticket.store(position + mask_ + 1, std::memory_order_release);
        return true;
      }
    }
  }

  // True when the next try_pop() would find nothing, as far as this thread can see.
  bool empty() const noexcept {
    const size_t position = tail_.load(std::memory_order_relaxed);
    // acquire: pairs with the release store in try_push().
    const size_t ticket = cells_[position & mask_].ticket.load(std::memory_order_acquire);
    return static_cast<ptrdiff_t>(ticket - (position + 1)) < 0;
  }

  // Approximate.
  size_t size() const noexcept {
    const size_t tail = tail_.load(std::memory_order_relaxed);
    const size_t head = head_.load(std::memory_order_relaxed);
    return head > tail ? head - tail : 0;
  }

 private:
  struct Cell {
    std::atomic<size_t> ticket;
    T value;
  };

  const size_t mask_;
  const std::unique_ptr<Cell[]> cells_;
  alignas(kCacheLine) std::atomic<size_t> head_{0};  // next position to fill
  alignas(kCacheLine) std::atomic<size_t> tail_{0};  // next position to empty
};

}  // namespace qaickit
