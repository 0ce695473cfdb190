#include "batch/pool.h"

#include <algorithm>
#include <system_error>

#include "base/cat.h"
#include "base/clock.h"
#include "base/keep_for_ever.h"
#include "batch/pool_core.h"

namespace qaickit {
namespace {

constexpr uint64_t kRetryNs = 10'000'000;        // bound of one sleep while waiting for room
constexpr uint64_t kCancelNs = 100'000'000;      // for runs to end once asked to
constexpr uint32_t kTimeEvery = 16;              // of the runs on callers' threads, one in so many
constexpr uint32_t kMaxQueueCapacity = 1 << 20;  // 32 MB

// Counts a submit() call for as long as it lasts.
class Submitting {
 public:
  explicit Submitting(PoolCore& core) noexcept : core_(core) {
    // seq_cst: stop() stores its flag and then reads the count; this thread does the opposite.
    core_.submitters.fetch_add(1, std::memory_order_seq_cst);
  }
  ~Submitting() {
    // release: pairs with the acquire load in stop(); what was pushed is visible to its drain.
    core_.submitters.fetch_sub(1, std::memory_order_release);
    if (core_.stopping.load(std::memory_order_relaxed)) core_.drained.notify_all();
  }

 private:
  PoolCore& core_;
};

// An idle activation of a synchronous device is right here: no hop to a worker and back.
bool run_on_caller(PoolCore& core, std::span<const Sample> samples) noexcept {
  const size_t max_batch = core.policy.max_batch;
  const size_t batches = (samples.size() + max_batch - 1) / max_batch;
  if (!core.caller_may_run(batches) || !core.ring.empty() || !core.board.empty()) return false;
  Slot* slot = core.slots->try_acquire_any();
  if (!slot) return false;
  const bool timed = core.policy.caller_runs == CallerRuns::kAuto &&
                     core.caller_runs.fetch_add(1, std::memory_order_relaxed) % kTimeEvery == 0;
  const uint64_t start = timed ? now_ns() : 0;
  slot->claim_rest = samples;
  while (!slot->claim_rest.empty()) {
    slot->take(std::min(max_batch, slot->claim_rest.size()));
    // Given up by stop(), which has answered the rest too.
    if (!core.run_sync(*slot, true)) break;
  }
  if (timed) core.note_batch_ns((now_ns() - start) / batches);
  core.slots->release(*slot);
  return true;
}

void push(PoolCore& core, std::span<const Sample> samples) noexcept {
  const bool delayed = core.policy.max_delay_ns > 0;
  const uint64_t arrival_ns = delayed ? now_ns() : 0;
  for (size_t i = 0; i < samples.size(); ++i) {
    const QueuedSample queued{samples[i], arrival_ns};
    while (!core.ring.try_push(queued)) {
      core.work.notify_all();
      core.more.notify_all();
      core.space.await(
          [&] {
            return core.ring.size() < core.ring.capacity() ||
                   core.stopping.load(std::memory_order_acquire);
          },
          kRetryNs);
      if (core.stopping.load(std::memory_order_acquire)) {
        return core.fail_waiting(samples.subspan(i));
      }
    }
  }
  // seq_cst: see Worker::wait_for_more(). A batch that waits for more comes first; its worker
  // wakes another one for what does not fit.
  if (delayed && core.forming.fetch_add(0, std::memory_order_seq_cst) > 0) {
    if (core.ring.size() >= core.wanted.load(std::memory_order_relaxed)) core.more.notify_all();
  } else {
    samples.size() == 1 ? core.work.notify_one() : core.work.notify_all();
  }
}

void offer(PoolCore& core, std::span<const Sample> samples) noexcept {
  // acquire: pairs with the release store below; one producer owns the board at a time.
  while (core.offering.exchange(true, std::memory_order_acquire)) {
    core.space.await([&] { return !core.offering.load(std::memory_order_relaxed); }, kRetryNs);
  }
  core.board.offer(samples);
  core.work.notify_all();
  while (!core.board.done()) {
    core.space.await([&] { return core.board.done(); }, kRetryNs);
    core.work.notify_all();
  }
  core.offering.store(false, std::memory_order_release);
  core.space.notify_all();
}

}  // namespace

Pool::Pool(std::shared_ptr<PoolCore> core) : core_(std::move(core)) {}

Result<std::unique_ptr<Pool>> Pool::start(std::shared_ptr<SlotTable> slots, bool async_device,
                                          std::shared_ptr<void> keep_alive, BatchHandler& handler,
                                          const BatchPolicy& policy) {
  if (policy.max_batch == 0 || policy.queue_capacity == 0 ||
      policy.queue_capacity > kMaxQueueCapacity) {
    return Status(
        Code::kInvalidArgument,
        cat("max_batch must be at least 1, queue_capacity from 1 to ", kMaxQueueCapacity));
  }
  QAICKIT_RETURN_IF_ERROR(handler.prepare(slots->size(), policy.max_batch));
  for (uint32_t i = 0; i < slots->size(); ++i) {
    (*slots)[i].samples = AlignedArray<Sample>(policy.max_batch);
    (*slots)[i].stats.reset(policy.max_batch);
    (*slots)[i].foreign_bindings = true;  // whatever an earlier handler left bound
    (*slots)[i].claim_rest = {};          // of a run that an earlier stop() gave up on
    (*slots)[i].claimed = 0;
  }
  auto core = std::make_shared<PoolCore>(std::move(slots), async_device, std::move(keep_alive),
                                         handler, policy);
  std::unique_ptr<Pool> pool(new Pool(core));
  for (uint32_t a = 0; a < core->slots->activations(); ++a) {
    try {
      core->live_workers.fetch_add(1, std::memory_order_relaxed);
      pool->threads_.emplace_back(serve_activation, core, a);
    } catch (const std::system_error& error) {
      core->live_workers.fetch_sub(1, std::memory_order_relaxed);
      return Status(Code::kResourceExhausted,
                    cat("cannot start the worker of activation ", a, ": ", error.what()));
    }
  }
  return pool;
}

Pool::~Pool() { (void)stop(); }

Status Pool::submit(std::span<const Sample> samples) noexcept {
  PoolCore& core = *core_;
  const Submitting submitting(core);
  // seq_cst: see Submitting.
  if (core.stopping.load(std::memory_order_seq_cst)) {
    return Status(Code::kClosed, "the session is stopped");
  }
  if (samples.empty() || run_on_caller(core, samples)) return {};
  if (samples.size() <= core.ring.capacity()) {
    push(core, samples);
  } else {
    offer(core, samples);
  }
  return {};
}

void Pool::flush() noexcept {
  if (core_->policy.max_delay_ns == 0) return;
  // release: pairs with the acquire load in Worker::wait_for_more().
  core_->flushed_ns.store(now_ns(), std::memory_order_release);
  core_->more.notify_all();
}

uint32_t Pool::abandon_running(const Status& why) noexcept {
  uint32_t count = 0;
  for (uint32_t i = 0; i < core_->slots->size(); ++i) {
    // Before the thread can come back and take itself off.
    core_->left_behind.fetch_add(1, std::memory_order_relaxed);
    if (core_->abandon((*core_->slots)[i], why)) {
      ++count;
    } else {
      core_->left_behind.fetch_sub(1, std::memory_order_relaxed);
    }
  }
  return count;
}

Status Pool::stop() noexcept {
  if (stopped_) return {};
  stopped_ = true;
  PoolCore& core = *core_;
  const uint64_t bound = core.policy.close_timeout_ns;
  uint32_t stuck = 0;
  const Status closed(Code::kClosed, "the session was stopped before the sample ran");
  // Threads of a synchronous device's stuck runs will not come back; nobody waits for them.
  // acquire: pairs with the releases in serve_activation() and ~Submitting(). The threads are
  // counted first: one that comes back in between must not stand for one that is at work.
  auto quiet = [&] {
    const uint32_t threads = core.live_workers.load(std::memory_order_acquire) +
                             core.submitters.load(std::memory_order_acquire);
    return threads <= (core.async ? 0 : core.left_behind.load(std::memory_order_acquire));
  };
  // Submitters may still be pushing or offering: drain until they have left.
  auto drain_for = [&](uint64_t ns) {
    const uint64_t start = now_ns();
    for (;;) {
      core.drain(closed);
      const uint64_t spent = now_ns() - start;
      if (quiet() || spent >= ns) break;
      core.drained.await(quiet, std::min(ns - spent, kRetryNs));
    }
    const uint64_t spent = now_ns() - start;
    core.slots->wait_settled(spent < ns ? ns - spent : 0);
  };

  core.stopping.store(true, std::memory_order_seq_cst);  // seq_cst: see Submitting
  core.work.notify_all();
  core.more.notify_all();
  core.space.notify_all();
  core.retired.notify_all();
  drain_for(bound);
  if (!quiet() || !core.slots->wait_settled(0)) {
    for (uint32_t i = 0; i < core.slots->size(); ++i) {
      Slot& slot = (*core.slots)[i];
      if (slot.state.load(std::memory_order_acquire) == Slot::kRunning) slot.exec->cancel();
    }
    drain_for(kCancelNs);
    const Status why(Code::kClosed, cat("the device did not end the run within ", bound / 1'000'000,
                                        " ms of stop()"));
    // A worker between two runs is in our own code and gets to its end, or to another run. So is
    // a completion that answers.
    do {
      stuck += abandon_running(why);
      drain_for(kRetryNs);
    } while (!quiet() || !core.slots->wait_settled(0));
  }
  core.drain(closed);

  for (std::thread& thread : threads_) {
    core.async || stuck == 0 ? thread.join() : thread.detach();
  }
  threads_.clear();
  // A caller or a completion that comes back after all must find its core.
  if (stuck > 0 || core.slots->any_abandoned()) keep_for_ever(core_);
  if (stuck == 0) return {};
  return Status(Code::kTimedOut, cat(stuck, " runs were still in the device ", bound / 1'000'000,
                                     " ms after stop(); their samples were answered as closed"));
}

BatchStats Pool::stats() const {
  const SlotTable& slots = *core_->slots;
  BatchStats stats;
  stats.samples_failed = core_->failed_waiting.load(std::memory_order_relaxed);
  stats.activation_batches.resize(slots.activations());
  stats.lost_activations = slots.lost_activations();
  for (uint32_t i = 0; i < slots.size(); ++i) {
    const SlotStats& from = slots[i].stats;
    stats.samples_ok += from.samples_ok.load(std::memory_order_relaxed);
    stats.samples_failed += from.samples_failed.load(std::memory_order_relaxed);
    stats.caller_batches += from.caller_batches.load(std::memory_order_relaxed);
    const auto& sizes = from.sizes();
    if (stats.batch_sizes.size() < sizes.size()) stats.batch_sizes.resize(sizes.size());
    for (size_t n = 0; n < sizes.size(); ++n) {
      const uint64_t batches = sizes[n].load(std::memory_order_relaxed);
      stats.batch_sizes[n] += batches;
      stats.batches += batches;
      stats.activation_batches[slots[i].activation] += batches;
    }
  }
  return stats;
}

}  // namespace qaickit
