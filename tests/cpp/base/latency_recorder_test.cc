#include "base/latency_recorder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <thread>

namespace qaickit {
namespace {

const std::vector<double> kShares = {0.25, 0.5, 0.75, 0.9, 0.99, 0.999};

TEST(LatencyRecorder, NothingSeenIsAllZero) {
  const LatencySummary summary = LatencyRecorder().summary(kShares);
  EXPECT_EQ(summary.count, 0u);
  EXPECT_EQ(summary.min_ns, 0u);
  EXPECT_EQ(summary.max_ns, 0u);
  EXPECT_EQ(summary.percentiles_ns, std::vector<uint64_t>(6));
}

TEST(LatencyRecorder, OneValueIsEveryPercentile) {
  for (const uint64_t ns : {uint64_t{0}, uint64_t{1}, uint64_t{127}, uint64_t{128}, uint64_t{1001},
                            uint64_t{1} << 50, UINT64_MAX}) {
    LatencyRecorder recorder;
    recorder.record(ns, 3);
    const LatencySummary summary = recorder.summary(kShares);
    EXPECT_EQ(summary.count, 1u);
    EXPECT_EQ(summary.min_ns, ns);
    EXPECT_EQ(summary.max_ns, ns);
    EXPECT_EQ(summary.total_ns, ns);
    for (const uint64_t value : summary.percentiles_ns) EXPECT_EQ(value, ns);
  }
}

// Against the nearest rank of the sorted values.
TEST(LatencyRecorder, PercentilesAreThoseOfTheSortedValues) {
  std::mt19937_64 random(5);
  std::lognormal_distribution<double> latency(13, 2);  // around 0.4 ms, over six decades
  LatencyRecorder recorder;
  std::vector<uint64_t> values;
  uint64_t total = 0;
  for (uint32_t i = 0; i < 20'000; ++i) {
    values.push_back(static_cast<uint64_t>(latency(random)));
    total += values.back();
    recorder.record(values.back(), i);
  }
  std::sort(values.begin(), values.end());
  const LatencySummary summary = recorder.summary(kShares);
  EXPECT_EQ(summary.count, values.size());
  EXPECT_EQ(summary.min_ns, values.front());
  EXPECT_EQ(summary.max_ns, values.back());
  EXPECT_EQ(summary.total_ns, total);
  for (size_t i = 0; i < kShares.size(); ++i) {
    const auto rank =
        static_cast<size_t>(std::ceil(kShares[i] * static_cast<double>(values.size())));
    const auto expected = static_cast<double>(values[rank - 1]);
    EXPECT_NEAR(static_cast<double>(summary.percentiles_ns[i]), expected, expected / 256 + 1);
  }
}

TEST(LatencyRecorder, ThreadsLoseNothing) {
  LatencyRecorder recorder;
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = 1; i <= 5000; ++i) recorder.record(i, t % 2);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const LatencySummary summary = recorder.summary({0.5});
  EXPECT_EQ(summary.count, 20'000u);
  EXPECT_EQ(summary.total_ns, 4 * 5000ull * 5001 / 2);
  EXPECT_EQ(summary.min_ns, 1u);
  EXPECT_EQ(summary.max_ns, 5000u);
}

}  // namespace
}  // namespace qaickit
