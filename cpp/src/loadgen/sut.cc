#include "loadgen/sut.h"

#include <algorithm>
#include <cstddef>

#include "logging.h"

namespace qaickit {
namespace {

constexpr size_t kFailedAtOnce = 64;

// A query is passed on as it lies: LoadGen's sample and ours are the same two words.
static_assert(sizeof(Sample) == sizeof(mlperf::QuerySample));
static_assert(offsetof(Sample, id) == offsetof(mlperf::QuerySample, id));
static_assert(offsetof(Sample, index) == offsetof(mlperf::QuerySample, index));
static_assert(sizeof(mlperf::QuerySampleIndex) == sizeof(uint64_t));

std::span<const Sample> as_samples(const std::vector<mlperf::QuerySample>& samples) {
  return {reinterpret_cast<const Sample*>(samples.data()), samples.size()};
}

}  // namespace

void Sut::IssueQuery(const std::vector<mlperf::QuerySample>& samples) {
  if (aborted()) {
    // Nothing may be in flight when LoadGen's memory goes away under the exception. And AbortTest()
    // would leave the latencies to the next test, which would take them for its own.
    (void)mlperf::logging::GlobalLogger().GetLatenciesBlocking(series_issued_);
    mlperf::AbortTest();
    throw TestAborted();
  }
  // No read-modify-write: LoadGen's thread is the only writer.
  issued_.store(issued_.load(std::memory_order_relaxed) + samples.size(),
                std::memory_order_relaxed);
  series_issued_ += samples.size();
  const Status status = session_.submit(as_samples(samples));
  if (!status.ok()) fail(as_samples(samples), status);
}

Status Sut::prepare(uint32_t slots, uint32_t max_batch) {
  responses_.clear();
  for (uint32_t slot = 0; slot < slots; ++slot) responses_.emplace_back(max_batch);
  return {};
}

void Sut::respond(uint32_t slot, std::span<const Response> responses) noexcept {
  mlperf::QuerySampleResponse* out = responses_[slot].data();
  for (size_t i = 0; i < responses.size(); ++i) {
    out[i].id = responses[i].id;
    out[i].data = reinterpret_cast<uintptr_t>(responses[i].data);
    out[i].size = responses[i].bytes;
  }
  mlperf::QuerySamplesComplete(out, responses.size());
}

void Sut::fail(std::span<const Sample> samples, const Status& why) noexcept {
  note_failure(why);
  if (why.code() == Code::kTimedOut) left_behind_.store(true, std::memory_order_release);
  // An Offline query may hold millions: some at a time, without memory of its own.
  while (!samples.empty()) {
    mlperf::QuerySampleResponse empty[kFailedAtOnce];
    const size_t count = std::min(samples.size(), kFailedAtOnce);
    for (size_t i = 0; i < count; ++i) empty[i] = {samples[i].id, 0, 0};
    mlperf::QuerySamplesComplete(empty, count);
    samples = samples.subspan(count);
  }
}

void Sut::abort() noexcept {
  aborted_.store(true, std::memory_order_release);
  note_failure(Status(Code::kCancelled, "the test was aborted"));
  session_.flush();
}

void Sut::stop() noexcept {
  const Status status = session_.stop();
  if (status.ok()) return;
  if (status.code() == Code::kTimedOut) left_behind_.store(true, std::memory_order_release);
  note_failure(status);
}

void Sut::note_failure(const Status& why) noexcept {
  const std::lock_guard lock(mutex_);
  if (failure_.ok()) failure_ = why;
}

Status Sut::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

Qsl::Qsl(Workload& workload, Sut& sut, std::string name, uint64_t performance_count)
    : workload_(workload),
      sut_(sut),
      name_(std::move(name)),
      performance_count_(performance_count > 0 ? performance_count : workload.total_samples()) {}

void Qsl::LoadSamplesToRam(const std::vector<mlperf::QuerySampleIndex>& samples) {
  if (sut_.keeps_samples()) return;
  const Status status =
      workload_.load({reinterpret_cast<const uint64_t*>(samples.data()), samples.size()});
  // The queries that follow will fail one by one; the run then says why.
  if (!status.ok()) sut_.note_failure(status);
}

void Qsl::UnloadSamplesFromRam(const std::vector<mlperf::QuerySampleIndex>& samples) {
  if (sut_.keeps_samples()) return;
  workload_.unload({reinterpret_cast<const uint64_t*>(samples.data()), samples.size()});
}

}  // namespace qaickit
