#pragma once

#include <atomic>
#include <cstdint>

namespace fakecuda {

// Counts and orders nothing, also not in ThreadSanitizer's eyes.
class Counter {
 public:
  uint64_t add(uint64_t n = 1) noexcept { return value_.fetch_add(n, kRelaxed) + n; }
  void sub(uint64_t n = 1) noexcept { value_.fetch_sub(n, kRelaxed); }
  void raise_to(uint64_t n) noexcept {
    uint64_t now = get();
    while (n > now && !value_.compare_exchange_weak(now, n, kRelaxed)) {
    }
  }
  void clear() noexcept { value_.store(0, kRelaxed); }
  uint64_t get() const noexcept { return value_.load(kRelaxed); }

 private:
  static constexpr std::memory_order kRelaxed = std::memory_order_relaxed;
  std::atomic<uint64_t> value_{0};
};

}  // namespace fakecuda
