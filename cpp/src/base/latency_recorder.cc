#include "base/latency_recorder.h"

#include <algorithm>
#include <cmath>

namespace qaickit {

uint64_t LatencyRecorder::value_of(size_t bucket) noexcept {
  if (bucket < kSub) return bucket;
  const auto shift = static_cast<uint32_t>(bucket / kSub - 1);
  const uint64_t low = (kSub + bucket % kSub) << shift;
  return low + (uint64_t{1} << shift) / 2;
}

LatencySummary LatencyRecorder::summary(const std::vector<double>& shares) const {
  LatencySummary all;
  all.min_ns = UINT64_MAX;
  std::vector<uint64_t> counts(kBuckets);
  for (const Shard& shard : shards_) {
    for (size_t b = 0; b < kBuckets; ++b) {
      const uint64_t count = shard.buckets[b].load(std::memory_order_relaxed);
      counts[b] += count;
      all.count += count;
    }
    all.total_ns += shard.total_ns.load(std::memory_order_relaxed);
    all.min_ns = std::min(all.min_ns, shard.min_ns.load(std::memory_order_relaxed));
    all.max_ns = std::max(all.max_ns, shard.max_ns.load(std::memory_order_relaxed));
  }
  if (all.count == 0) {
    return {0, 0, 0, 0, std::vector<uint64_t>(shares.size())};
  }
  for (const double share : shares) {
    const double exact = std::ceil(share * static_cast<double>(all.count));
    const uint64_t rank = std::clamp<uint64_t>(static_cast<uint64_t>(exact), 1, all.count);
    uint64_t seen = 0;
    size_t bucket = 0;
    while (bucket + 1 < kBuckets && (seen += counts[bucket]) < rank) ++bucket;
    all.percentiles_ns.push_back(std::clamp(value_of(bucket), all.min_ns, all.max_ns));
  }
  return all;
}

}  // namespace qaickit
