#pragma once

#include <memory>
#include <utility>

#include "batch/pool.h"
#include "fake_device.h"

namespace qaickit::test {

enum Kind : bool { kSync = false, kAsync = true };

inline BatchPolicy policy_of(uint32_t max_batch, CallerRuns caller_runs = CallerRuns::kNever) {
  BatchPolicy policy;
  policy.max_batch = max_batch;
  policy.caller_runs = caller_runs;
  return policy;
}

inline std::unique_ptr<Pool> start_pool(std::shared_ptr<SlotTable> slots, Kind kind,
                                        BatchHandler& handler, const BatchPolicy& policy) {
  return value_of(Pool::start(std::move(slots), kind, nullptr, handler, policy));
}

// Sum over the histogram: samples that went to a device.
inline uint64_t samples_in_batches(const BatchStats& stats) {
  uint64_t samples = 0;
  for (size_t n = 0; n < stats.batch_sizes.size(); ++n) samples += n * stats.batch_sizes[n];
  return samples;
}

}  // namespace qaickit::test
