#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "base/aligned_array.h"
#include "loadgen.h"
#include "qaickit/session.h"
#include "qaickit/workload.h"
#include "query_sample_library.h"
#include "system_under_test.h"

namespace qaickit {

// Leaves LoadGen's issue loop, which knows no other way out. AbortTest() came before it, so the
// logs are written and closed.
struct TestAborted {};

// LoadGen's view of a session: queries in, completions out, one call for each batch.
class Sut final : public mlperf::SystemUnderTest, public ResponseSink {
 public:
  Sut(Session& session, std::string name) : session_(session), name_(std::move(name)) {}

  const std::string& Name() override { return name_; }
  // On LoadGen's thread.
  void IssueQuery(const std::vector<mlperf::QuerySample>& samples) override;
  void FlushQueries() override {
    session_.flush();
    series_issued_ = 0;
  }

  Status prepare(uint32_t slots, uint32_t max_batch) override;
  void respond(uint32_t slot, std::span<const Response> responses) noexcept override;
  // A sample without an answer is completed all the same (empty), or LoadGen would wait for ever;
  // the first reason is kept and makes the run a failure.
  void fail(std::span<const Sample> samples, const Status& why) noexcept override;

  // Ends the test at the next query; samples that wait are failed instead of run. Any thread.
  void abort() noexcept;
  bool aborted() const noexcept { return aborted_.load(std::memory_order_acquire); }
  // Stops the session; a failure to do so is noted.
  void stop() noexcept;
  // Runs that took too long are still in the device, and may still read the samples.
  bool left_behind() const noexcept { return left_behind_.load(std::memory_order_acquire); }
  // Should the samples stay as they are? No query that needs others will be answered.
  bool keeps_samples() const noexcept { return left_behind() || aborted(); }
  void note_failure(const Status& why) noexcept;
  Status failure() const;
  uint64_t issued() const noexcept { return issued_.load(std::memory_order_relaxed); }

 private:
  Session& session_;
  const std::string name_;
  std::vector<AlignedArray<mlperf::QuerySampleResponse>> responses_;  // scratch of each slot
  std::atomic<uint64_t> issued_{0};
  size_t series_issued_ = 0;  // up to a FlushQueries(); LoadGen's thread only
  std::atomic<bool> aborted_{false};
  std::atomic<bool> left_behind_{false};
  mutable std::mutex mutex_;  // failures only
  Status failure_;
};

// The workload, until the test is aborted: then what waits is failed, by the workers, which stay.
// LoadGen's logger (6.0.17) frees the log of a thread that ends while it may have a request of that
// log's still to serve; so no thread that completes queries may end before the test has.
class AbortableHandler final : public BatchHandler {
 public:
  AbortableHandler(Workload& workload, Sut& sut)
      : workload_(workload), sut_(sut), aborted_(Code::kCancelled, "the test was aborted") {}

  Status prepare(uint32_t slots, uint32_t max_batch) override {
    return workload_.prepare(slots, max_batch);
  }
  Status gather(const Batch& batch) noexcept override {
    return sut_.aborted() ? aborted_ : workload_.gather(batch);
  }
  void scatter(const Batch& batch) noexcept override { workload_.scatter(batch); }
  void fail(std::span<const Sample> samples, const Status& why) noexcept override {
    workload_.fail(samples, why);
  }

 private:
  Workload& workload_;
  Sut& sut_;
  const Status aborted_;
};

// LoadGen's view of a workload's samples.
class Qsl final : public mlperf::QuerySampleLibrary {
 public:
  Qsl(Workload& workload, Sut& sut, std::string name, uint64_t performance_count);

  const std::string& Name() override { return name_; }
  size_t TotalSampleCount() override { return workload_.total_samples(); }
  size_t PerformanceSampleCount() override { return performance_count_; }
  void LoadSamplesToRam(const std::vector<mlperf::QuerySampleIndex>& samples) override;
  void UnloadSamplesFromRam(const std::vector<mlperf::QuerySampleIndex>& samples) override;

 private:
  Workload& workload_;
  Sut& sut_;
  const std::string name_;
  const size_t performance_count_;
};

}  // namespace qaickit
