#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/latency_recorder.h"
#include "qaickit/session.h"

namespace qaickit {

// Moments of one run, by the monotonic clock.
struct RunTimes {
  uint64_t start = 0;
  uint64_t acquired = 0;  // an ExecObj
  uint64_t gathered = 0;  // inputs are bound or copied
  uint64_t computed = 0;
  uint64_t end = 0;
  uint32_t slot = 0;
  uint32_t activation = 0;
};

RunProfile to_profile(const RunTimes& times) noexcept;

// What a session that measures keeps of its runs. No lock; nothing is allocated after construction.
class RunMeter {
 public:
  explicit RunMeter(uint32_t profile_runs) : profile_(profile_runs) {}

  void record(const RunTimes& times) noexcept {
    const uint64_t n = runs_.fetch_add(1, std::memory_order_relaxed);
    // The first one warms caches and devices up.
    if (n > 0) latencies_.record(times.end - times.start, times.slot);
    if (n >= profile_.size()) return;
    Entry& entry = profile_[n];
    entry.times = times;
    // release: pairs with profile().
    entry.whole.store(true, std::memory_order_release);
  }

  RunMetrics metrics() const;
  std::vector<RunProfile> profile() const;

 private:
  struct Entry {
    RunTimes times;
    std::atomic<bool> whole{false};
  };
  std::atomic<uint64_t> runs_{0};
  LatencyRecorder latencies_;
  std::vector<Entry> profile_;
};

}  // namespace qaickit
