#pragma once

#include <algorithm>
#include <cstdint>

namespace qaickit {

// Decides when a batch goes: as soon as it is full, when its deadline has passed (counted from the
// arrival of its first sample), or on a flush. Pure logic: time is an argument, so tests need no
// clock. One for each batch being formed; used by one thread.
class BatchFormer {
 public:
  BatchFormer(uint32_t max_batch, uint64_t max_delay_ns) noexcept
      : max_batch_(max_batch), max_delay_ns_(max_delay_ns) {}

  // `count` samples joined, the first of which arrived at `arrival_ns`. Requires count <= room().
  void add(uint32_t count, uint64_t arrival_ns) noexcept {
    if (size_ == 0) first_arrival_ns_ = arrival_ns;
    size_ += count;
  }

  uint32_t size() const noexcept { return size_; }
  uint32_t room() const noexcept { return max_batch_ - size_; }

  // Should the batch go now? An empty one never does.
  bool ready(uint64_t now_ns, bool flush) const noexcept {
    if (size_ == 0) return false;
    return size_ == max_batch_ || flush || remaining_ns(now_ns) == 0;
  }

  // How much longer a part-filled batch may wait. Requires size() > 0.
  uint64_t remaining_ns(uint64_t now_ns) const noexcept {
    const uint64_t waited = now_ns > first_arrival_ns_ ? now_ns - first_arrival_ns_ : 0;
    return waited >= max_delay_ns_ ? 0 : max_delay_ns_ - waited;
  }

 private:
  const uint32_t max_batch_;
  const uint64_t max_delay_ns_;
  uint64_t first_arrival_ns_ = 0;
  uint32_t size_ = 0;
};

}  // namespace qaickit
