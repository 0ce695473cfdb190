#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace qaickit {

// What a LatencyRecorder has seen; all 0 when that is nothing.
struct LatencySummary {
  uint64_t count = 0;
  uint64_t min_ns = 0;
  uint64_t max_ns = 0;
  uint64_t total_ns = 0;
  std::vector<uint64_t> percentiles_ns;  // those asked for, in their order
};

// Counts latencies in a log-linear histogram: `record` is wait-free, takes no lock and allocates
// nothing. Count, sum, minimum and maximum are exact; a percentile is within 1/256 of the value at
// its nearest rank, the smallest one that so many percent of all do not exceed.
class LatencyRecorder {
 public:
  LatencyRecorder() : shards_(kShards) {}

  // `writer` tells threads apart (a slot's number), so that they seldom share a cache line.
  void record(uint64_t ns, uint32_t writer) noexcept {
    Shard& shard = shards_[writer % kShards];
    // relaxed: a summary is a snapshot of no particular instant.
    shard.buckets[bucket_of(ns)].fetch_add(1, std::memory_order_relaxed);
    shard.total_ns.fetch_add(ns, std::memory_order_relaxed);
    lower(shard.min_ns, ns);
    raise(shard.max_ns, ns);
  }

  // Of each share from 0 to 1.
  LatencySummary summary(const std::vector<double>& shares) const;

 private:
  // 2^kSubBits buckets for each power of two; below 2^kSubBits ns, one for each ns.
  static constexpr uint32_t kSubBits = 7;
  static constexpr uint64_t kSub = uint64_t{1} << kSubBits;
  static constexpr uint32_t kMaxBits = 41;  // 36 minutes; more counts as that much in percentiles
  static constexpr size_t kBuckets = (kMaxBits - kSubBits + 1) * kSub;
  static constexpr uint32_t kShards = 8;

  static constexpr size_t kCacheLine = 64;
  struct alignas(kCacheLine) Shard {
    std::atomic<uint64_t> total_ns{0};
    std::atomic<uint64_t> min_ns{UINT64_MAX};
    std::atomic<uint64_t> max_ns{0};
    std::atomic<uint64_t> buckets[kBuckets] = {};
  };

  static size_t bucket_of(uint64_t ns) noexcept {
    if (ns < kSub) return static_cast<size_t>(ns);
    const auto bits = static_cast<uint32_t>(std::bit_width(ns));
    if (bits > kMaxBits) return kBuckets - 1;
    const uint32_t shift = bits - kSubBits - 1;
    return (shift + 1) * kSub + static_cast<size_t>((ns >> shift) - kSub);
  }
  // The middle of what a bucket holds.
  static uint64_t value_of(size_t bucket) noexcept;

  static void lower(std::atomic<uint64_t>& least, uint64_t ns) noexcept {
    uint64_t seen = least.load(std::memory_order_relaxed);
    while (ns < seen && !least.compare_exchange_weak(seen, ns, std::memory_order_relaxed)) {
    }
  }
  static void raise(std::atomic<uint64_t>& most, uint64_t ns) noexcept {
    uint64_t seen = most.load(std::memory_order_relaxed);
    while (ns > seen && !most.compare_exchange_weak(seen, ns, std::memory_order_relaxed)) {
    }
  }

  std::vector<Shard> shards_;
};

}  // namespace qaickit
