#include "session/run_meter.h"

namespace qaickit {
namespace {

double seconds(uint64_t ns) noexcept { return static_cast<double>(ns) * 1e-9; }

}  // namespace

RunProfile to_profile(const RunTimes& t) noexcept {
  return {t.start,
          t.activation,
          seconds(t.acquired - t.start),
          seconds(t.gathered - t.acquired),
          seconds(t.computed - t.gathered),
          seconds(t.end - t.computed)};
}

RunMetrics RunMeter::metrics() const {
  const LatencySummary s = latencies_.summary({0.25, 0.5, 0.75, 0.9, 0.99, 0.999});
  RunMetrics metrics;
  metrics.runs = s.count;
  metrics.min = seconds(s.min_ns);
  metrics.max = seconds(s.max_ns);
  metrics.p25 = seconds(s.percentiles_ns[0]);
  metrics.p50 = seconds(s.percentiles_ns[1]);
  metrics.p75 = seconds(s.percentiles_ns[2]);
  metrics.p90 = seconds(s.percentiles_ns[3]);
  metrics.p99 = seconds(s.percentiles_ns[4]);
  metrics.p999 = seconds(s.percentiles_ns[5]);
  metrics.total = seconds(s.total_ns);
  metrics.average = s.count > 0 ? metrics.total / static_cast<double>(s.count) : 0;
  return metrics;
}

std::vector<RunProfile> RunMeter::profile() const {
  std::vector<RunProfile> runs;
  for (const Entry& entry : profile_) {
    // acquire: pairs with record().
    if (!entry.whole.load(std::memory_order_acquire)) continue;
    runs.push_back(to_profile(entry.times));
  }
  return runs;
}

}  // namespace qaickit
