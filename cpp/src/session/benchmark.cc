#include "session/benchmark.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <vector>

#include "base/clock.h"
#include "queue/event_count.h"

namespace qaickit {
namespace {

constexpr double kRoundSeconds = 0.05;     // how often a timed benchmark looks at the clock
constexpr uint64_t kWaitNs = 100'000'000;  // bound of one sleep

// Each sample is one run of an ExecObj; nothing is gathered or scattered.
class CountingHandler final : public BatchHandler {
 public:
  CountingHandler(std::span<const ConstBuffer> inputs, size_t set) : inputs_(inputs), set_(set) {}

  Status prepare(uint32_t, uint32_t) override { return {}; }
  Status gather(const Batch& batch) noexcept override {
    if (set_ != RunShape::kBySize) QAICKIT_RETURN_IF_ERROR(batch.exec.select_shapes(set_));
    for (size_t i = 0; i < inputs_.size(); ++i) {
      QAICKIT_RETURN_IF_ERROR(batch.exec.bind_input(i, inputs_[i].data));
    }
    return {};
  }
  void scatter(const Batch& batch) noexcept override { add(batch.samples.size()); }
  void fail(std::span<const Sample> samples, const Status& why) noexcept override {
    {
      const std::lock_guard lock(mutex_);
      if (failure_.ok()) failure_ = why;
    }
    add(samples.size());
  }

  void wait_for(uint64_t count) noexcept {
    while (!ended_.await([&] { return done_.load(std::memory_order_acquire) >= count; }, kWaitNs)) {
    }
  }
  Status failure() {
    const std::lock_guard lock(mutex_);
    return failure_;
  }

 private:
  void add(size_t count) noexcept {
    // release: pairs with the acquire load in wait_for().
    done_.fetch_add(count, std::memory_order_release);
    ended_.notify_all();
  }

  const std::span<const ConstBuffer> inputs_;
  const size_t set_;
  std::atomic<uint64_t> done_{0};
  EventCount ended_;
  std::mutex mutex_;  // failures only
  Status failure_;
};

}  // namespace

Result<BenchmarkResult> run_benchmark(Session& session, uint32_t slots, uint64_t inferences,
                                      double seconds, std::span<const ConstBuffer> inputs,
                                      size_t set) {
  CountingHandler handler(inputs, set);
  BatchPolicy policy;
  policy.max_batch = 1;
  policy.caller_runs = CallerRuns::kNever;
  QAICKIT_RETURN_IF_ERROR(session.start(handler, policy));

  const uint64_t start = now_ns();
  auto elapsed = [&] { return static_cast<double>(now_ns() - start) * 1e-9; };
  uint64_t done = 0;
  uint64_t round = inferences > 0 ? inferences : slots;
  std::vector<Sample> samples;
  Status status;
  while (status.ok() && (inferences > 0 ? done < inferences : elapsed() < seconds)) {
    const uint64_t count = std::min<uint64_t>(round, 1 << 20);
    samples.resize(count);
    status = session.submit(samples);
    if (!status.ok()) break;
    handler.wait_for(done + count);
    done += count;
    status = handler.failure();
    if (inferences > 0) {
      round = inferences - done;
    } else {
      const double rate = static_cast<double>(done) / std::max(elapsed(), 1e-9);
      const double left = std::max(seconds - elapsed(), 0.0);
      round =
          std::max<uint64_t>(slots, static_cast<uint64_t>(rate * std::min(kRoundSeconds, left)));
    }
  }
  const BenchmarkResult result{done, elapsed()};
  const Status stopped = session.stop();
  if (!status.ok()) return status;
  if (!stopped.ok()) return stopped;
  return result;
}

}  // namespace qaickit
