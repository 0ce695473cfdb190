#include "session/benchmark.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <vector>

#include "base/clock.h"
#include "queue/event_count.h"

namespace qaickit {
namespace {

constexpr double kRoundSeconds = 0.025;    // how often it looks at the clock and tells of itself
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
  void scatter(const Batch& batch) noexcept override {
    well_.fetch_add(batch.samples.size(), std::memory_order_relaxed);
    add(batch.samples.size());
  }
  void fail(std::span<const Sample> samples, const Status& why) noexcept override {
    {
      const std::lock_guard lock(mutex_);
      if (failure_.ok()) failure_ = why;
    }
    add(samples.size());
  }

  // Until `count` have ended, or `progress` has had enough: then false.
  bool wait_for(uint64_t count, const BenchmarkProgress& progress) {
    // seq_cst, here and in add(): this thread sets the target and then reads the count, a worker
    // does the opposite; one of the two must see the other.
    target_.store(count, std::memory_order_seq_cst);
    while (!ended_.await([&] { return done_.load(std::memory_order_seq_cst) >= count; }, kWaitNs)) {
      if (progress && !progress(well())) return false;
    }
    return !progress || progress(well());
  }
  // Those that ended well.
  uint64_t well() const noexcept { return well_.load(std::memory_order_relaxed); }
  Status failure() {
    const std::lock_guard lock(mutex_);
    return failure_;
  }

 private:
  void add(size_t count) noexcept {
    const uint64_t done = done_.fetch_add(count, std::memory_order_seq_cst) + count;
    // Who waits is woken for the last one, not for each.
    if (done >= target_.load(std::memory_order_seq_cst)) ended_.notify_all_ordered();
  }

  const std::span<const ConstBuffer> inputs_;
  const size_t set_;
  std::atomic<uint64_t> done_{0};
  std::atomic<uint64_t> target_{0};  // of wait_for()
  std::atomic<uint64_t> well_{0};
  EventCount ended_;
  std::mutex mutex_;  // failures only
  Status failure_;
};

}  // namespace

Result<BenchmarkResult> run_benchmark(Session& session, uint32_t slots, uint64_t inferences,
                                      double seconds, std::span<const ConstBuffer> inputs,
                                      size_t set, const BenchmarkProgress& progress) {
  CountingHandler handler(inputs, set);
  BatchPolicy policy;
  policy.max_batch = 1;
  policy.caller_runs = CallerRuns::kNever;
  QAICKIT_RETURN_IF_ERROR(session.start(handler, policy));

  const uint64_t start = now_ns();
  auto elapsed = [&] { return static_cast<double>(now_ns() - start) * 1e-9; };
  uint64_t submitted = 0;
  bool wanted = true;
  std::vector<Sample> samples;
  Status status;
  while (wanted && (inferences > 0 ? submitted < inferences : elapsed() < seconds)) {
    // A round is on its way while the one before it ends, so that no worker runs dry.
    const double rate = static_cast<double>(handler.well()) / std::max(elapsed(), 1e-9);
    const double left = std::max(seconds - elapsed(), 0.0);
    const double round = rate * (inferences > 0 ? kRoundSeconds : std::min(kRoundSeconds, left));
    uint64_t count = std::clamp<uint64_t>(static_cast<uint64_t>(round), slots, 1 << 20);
    if (inferences > 0) count = std::min(count, inferences - submitted);
    samples.resize(count);
    status = session.submit(samples);
    if (!status.ok()) break;
    wanted = handler.wait_for(submitted, progress);
    submitted += count;
    status = handler.failure();
    if (!status.ok()) break;
  }
  if (wanted && status.ok()) {
    wanted = handler.wait_for(submitted, progress);
    status = handler.failure();
  }
  const BenchmarkResult result{handler.well(), elapsed()};
  const Status stopped = session.stop();
  if (!status.ok()) return status;
  if (!stopped.ok()) return stopped;
  return result;
}

}  // namespace qaickit
