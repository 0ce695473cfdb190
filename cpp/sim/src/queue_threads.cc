#include "queue_threads.h"

#include <sys/prctl.h>

#include <algorithm>
#include <limits>
#include <string>

#include "base/cat.h"
#include "base/clock.h"
#include "host_half.h"
#include "machine.h"
#include "queue/spin.h"
#include "report.h"
#include "resets.h"
#include "shares.h"
#include "sleep.h"

namespace qaicsim {
namespace {

using qaickit::cat;
using qaickit::now_ns;

constexpr uint64_t kForever = std::numeric_limits<uint64_t>::max();
// An idle thread of a quick queue looks by itself so often: there, a busy one counts as looking.
constexpr uint64_t kLookNs = 20'000'000;
constexpr size_t kBacklog = 32;           // from which a quick queue wakes a second thread
constexpr uint64_t kSliceNs = 5'000'000;  // a sleeping run notices a reset after so long

thread_local const QAicQueue* current_queue = nullptr;
thread_local const QAicExecObj* current_exec = nullptr;
thread_local const QAicEvent* current_event = nullptr;

QAicExecObj* take_returned(QAicQueue& queue) {
  const std::lock_guard lock(queue.returned_mutex);
  QAicExecObj* exec = nullptr;
  if (!queue.returned.empty()) {
    exec = queue.returned.back();
    queue.returned.pop_back();
  }
  queue.has_returned.store(!queue.returned.empty(), std::memory_order_relaxed);
  return exec;
}

bool has_work(const QAicQueue& queue) noexcept {
  return !queue.ring.empty() || queue.has_returned.load(std::memory_order_acquire);
}

void complete(QAicExecObj& exec, QStatus status) noexcept {
  QAicProgram& program = *exec.program;
  QAicEvent* const event = exec.event;
  Card& card = *program.card;
  (status == QS_SUCCESS ? card.completed : card.failed).fetch_add(1, std::memory_order_relaxed);

  QAicEvent::Callback callbacks[QAicEvent::kMaxCallbacks];
  uint32_t num_callbacks = 0;
  exec.status.store(status, std::memory_order_relaxed);
  program.in_flight.fetch_sub(1, std::memory_order_seq_cst);
  exec.state.store(QAicExecObj::kCompleting, std::memory_order_relaxed);
  if (event) {
    while (event->lock.test_and_set(std::memory_order_acquire)) qaickit::cpu_relax();
    num_callbacks = event->num_callbacks;
    std::copy_n(event->callbacks, num_callbacks, callbacks);
    event->lock.clear(std::memory_order_release);
    event->status.store(status, std::memory_order_relaxed);
    // release: pairs with the acquire load of whoever waits, or claims it for the next run.
    event->state.store(QAicEvent::kDone, std::memory_order_release);
  }
  // release: likewise. From here on the exec object may be in flight again, so that only `users`
  // keeps it, and nothing of the run may be read from it.
  exec.state.store(QAicExecObj::kDone, std::memory_order_release);
  exec.done.notify_all();
  if (event) {
    event->done.notify_all();
    current_exec = &exec;
    current_event = event;
    for (uint32_t i = 0; i < num_callbacks; ++i) {
      callbacks[i].function(
          event, status == QS_SUCCESS ? QAIC_EVENT_DEVICE_COMPLETE : QAIC_EVENT_DEVICE_ERROR,
          callbacks[i].user);
    }
    current_exec = nullptr;
    current_event = nullptr;
    // release: pairs with the acquire load before it is deleted.
    event->users.fetch_sub(1, std::memory_order_release);
  }
  exec.users.fetch_sub(1, std::memory_order_release);
}

// Ends early where the device is lost.
void wait_until(const QAicExecObj& exec, uint64_t ns) noexcept {
  if (ns == 0) return;
  for (uint64_t now = now_ns(); now < ns && !is_lost(exec); now = now_ns()) {
    sleep_until(std::min(ns, now + kSliceNs));
  }
}

// Hands the run to the device, which may have no room for it; false when all tries have failed.
bool submit(const QAicExecObj& exec) noexcept {
  const QAicProgram& program = *exec.program;
  Card& card = *program.card;
  const FaultPlan* plan = Machine::get().plan(card);
  if (!plan || plan->submit == 0) return true;
  for (uint64_t i = 0; i <= program.submit_retries; ++i) {
    const uint64_t n = card.submits.fetch_add(1, std::memory_order_relaxed);
    if (!plan->draw(card.id, plan->submit, n) || is_lost(exec)) return true;
    const uint64_t end = now_ns() + program.submit_timeout_ns;
    for (uint64_t now = now_ns(); now < end && !is_lost(exec); now = now_ns()) {
      // Whoever releases the queue waits for this thread.
      if (exec.queue->closing.load(std::memory_order_relaxed)) return false;
      sleep_until(std::min(end, now + kSliceNs));
    }
  }
  return is_lost(exec);  // which is then what it ends with
}

void run(QAicExecObj& exec) noexcept {
  Card& card = *exec.program->card;
  QStatus status = QS_SUCCESS;
  const char* why = nullptr;
  std::string detail;
  if (exec.fault != Fault::kFlushed && !submit(exec)) {
    exec.fault = Fault::kNone;
    status = QS_TIMEDOUT;
    why = "the device had no room for the run in any of the tries (injected)";
  }
  switch (exec.fault) {
    case Fault::kLost:
      if (hold_back(card, &exec)) return;
      [[fallthrough]];
    case Fault::kFlushed:
      status = QS_DEV_ERROR;
      why = "a run that the device lost";
      break;
    case Fault::kError:
      status = QS_ERROR;
      why = "an injected error";
      break;
    case Fault::kReset:
    case Fault::kDie:
      if (!is_lost(exec)) fail_card(*exec.fault_card, exec.fault == Fault::kDie, "injected");
      break;
    case Fault::kNone:
    case Fault::kRefuse: break;
  }
  if (status == QS_SUCCESS && !is_lost(exec)) {
    why = compute(exec, &detail);
    if (why) status = QS_ERROR;
  }
  wait_until(exec, exec.limit_ns ? std::min(exec.finish_ns, exec.limit_ns) : exec.finish_ns);
  if (status == QS_SUCCESS && exec.limit_ns && std::max(now_ns(), exec.finish_ns) > exec.limit_ns) {
    status = QS_TIMEDOUT;
    why = "the run took longer than dataPathTimeoutMs";
  }
  if (is_lost(exec)) {
    status = QS_DEV_ERROR;
    why = card.status.load(std::memory_order_relaxed) != QDS_READY
              ? "the device failed during the run"
          : !shares_active(*exec.program) ? "a device of the mapping was lost during the run"
                                          : "the device was reset during the run";
  }
  if (why) {
    report(exec.context, QAIC_ERROR_EXECOBJ_RUNTIME,
           cat("simulated device ", card.id, ": program '", exec.program->name, "': ", why));
  }
  complete(exec, status);
}

// Waits for work; false when the queue has closed and is empty.
bool idle(QAicQueue& queue) noexcept {
  const auto ready = [&queue] { return has_work(queue); };
  // One at a time spins; more would only take the CPU from those who bring the work.
  if (queue.spin_ns > 0 && !queue.spinning.exchange(true, std::memory_order_relaxed)) {
    const bool found = qaickit::spin_until(ready, queue.spin_ns);
    queue.spinning.store(false, std::memory_order_relaxed);
    if (found) return true;
  }
  // acq_rel: pairs with wake(); either it sees this thread asleep, or the check below its work.
  queue.awake.fetch_sub(1, std::memory_order_acq_rel);
  const uint32_t key = queue.wake.prepare_wait();
  // acquire: pairs with the store in stop_threads(); what was pushed before it is visible.
  const bool closed = queue.closed.load(std::memory_order_acquire);
  if (ready() || closed) {
    queue.wake.cancel_wait();
  } else {
    queue.wake.wait(key, queue.quick ? kLookNs : kForever / 2);
  }
  queue.awake.fetch_add(1, std::memory_order_acq_rel);
  return ready() || !closed;
}

void serve(QAicQueue& queue) noexcept {
  current_queue = &queue;
  prctl(PR_SET_NAME, "qaicsim");
  prctl(PR_SET_TIMERSLACK, 1000);
  queue.awake.fetch_add(1, std::memory_order_acq_rel);
  QAicExecObj* exec = nullptr;
  for (;;) {
    if (queue.ring.try_pop(exec)) {
      run(*exec);
    } else if (queue.has_returned.load(std::memory_order_acquire)) {
      if ((exec = take_returned(queue))) run(*exec);
    } else if (!idle(queue)) {
      return;
    }
  }
}

}  // namespace

void start_threads(QAicQueue& queue, uint32_t count) {
  const Config& config = Machine::get().config();
  queue.quick = config.compute != Compute::kHostHalf && !config.has_latency();
  queue.spin_ns = config.spin_ns;
  queue.threads.reserve(count);
  for (uint32_t i = 0; i < count; ++i) queue.threads.emplace_back([&queue] { serve(queue); });
}

void stop_threads(QAicQueue& queue) {
  {
    const std::lock_guard lock(queue.card->mutex);
    queue.closing.store(true, std::memory_order_seq_cst);
  }
  // Of programs over several cards, on any.
  for (const QID id : Machine::get().ids()) {
    flush_lost(*Machine::get().card(id), [&](const QAicExecObj& e) { return e.queue == &queue; });
  }
  // Bounded: an enqueue tries no longer than push() does.
  while (queue.entering.load(std::memory_order_seq_cst) > 0) sleep_until(now_ns() + 20'000);
  // release: pairs with the acquire load in idle().
  queue.closed.store(true, std::memory_order_release);
  queue.wake.notify_all();
  for (std::thread& thread : queue.threads) thread.join();
  queue.threads.clear();
}

// Both wake-ups of an enqueue; see idle().
void wake(QAicQueue& queue) noexcept {
  if (!queue.quick) {
    queue.wake.notify_one();
    return;
  }
  // A read-modify-write, so that it is ordered after the push; acq_rel: pairs with idle().
  if (queue.awake.fetch_add(0, std::memory_order_acq_rel) == 0 || queue.ring.size() > kBacklog) {
    queue.wake.notify_one();
  }
}

bool on_thread_of(const QAicQueue* queue) noexcept {
  return queue ? current_queue == queue : current_queue != nullptr;
}

bool inside_run_of(const void* object) noexcept {
  return object && (current_exec == object || current_event == object);
}

}  // namespace qaicsim
