#include "enqueue.h"

#include <algorithm>
#include <thread>

#include "base/clock.h"
#include "host_half.h"
#include "machine.h"
#include "program_state.h"
#include "queue_threads.h"
#include "shares.h"
#include "sleep.h"

namespace qaicsim {
namespace {

using qaickit::now_ns;

constexpr uint32_t kPushTries = 2000;

// A run on the card's own account; both halves of the pair with deactivate() are seq_cst, so that
// either it sees the run or the run sees the deactivation.
QStatus enter_program(QAicProgram& program, uint32_t epoch) noexcept {
  program.in_flight.fetch_add(1, std::memory_order_seq_cst);
  const uint32_t active = program.active_epoch.load(std::memory_order_seq_cst);
  if (active == epoch) return QS_SUCCESS;
  program.in_flight.fetch_sub(1, std::memory_order_seq_cst);
  return active == 0 ? QS_INVAL : QS_DEV_ERROR;
}

uint64_t scaled(uint64_t ns, const FaultPlan* plan) noexcept {
  if (!plan) return ns;
  return static_cast<uint64_t>(static_cast<double>(ns) * plan->slow + plan->stall_us * 1000);
}

// When the run ends: an activation does one after the other; jitter comes after and lets them
// overtake.
uint64_t finish_time(QAicProgram& program, const FaultPlan* plan, uint64_t n) noexcept {
  const uint64_t jitter_ns = Machine::get().config().jitter_ns;
  const uint64_t service = scaled(program.service_ns, plan);
  if (service + jitter_ns == 0) return 0;
  const uint64_t now = now_ns();
  uint64_t busy = program.busy_until_ns.load(std::memory_order_relaxed);
  uint64_t end = 0;
  do {
    end = std::max(now, busy) + service;
  } while (!program.busy_until_ns.compare_exchange_weak(busy, end, std::memory_order_relaxed));
  if (jitter_ns == 0) return end;
  return end +
         scaled(static_cast<uint64_t>(unit(hash(77, n)) * static_cast<double>(jitter_ns)), plan);
}

// An enqueue on its way into the queue. Both halves of the pair with stop_threads() are seq_cst:
// either it sees this enqueue and waits for it, or the enqueue sees that the queue closes.
class Entry {
 public:
  explicit Entry(QAicQueue& queue) noexcept : queue_(queue) {
    queue_.entering.fetch_add(1, std::memory_order_seq_cst);
  }
  ~Entry() { queue_.entering.fetch_sub(1, std::memory_order_seq_cst); }
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;

  bool is_open() const noexcept { return !queue_.closing.load(std::memory_order_seq_cst); }

 private:
  QAicQueue& queue_;
};

// The exec object as it was before an enqueue that failed.
QStatus refuse(QAicExecObj& exec, uint32_t state, QStatus status) noexcept {
  exec.state.store(state, std::memory_order_release);
  exec.done.notify_all();
  return status;
}

bool claim(QAicExecObj& exec, uint32_t* before) noexcept {
  uint32_t state = exec.state.load(std::memory_order_acquire);
  for (;;) {
    if (state == QAicExecObj::kInFlight) return false;
    if (state == QAicExecObj::kCompleting) {
      std::this_thread::yield();
      state = exec.state.load(std::memory_order_acquire);
      // acquire: pairs with the release store of kDone; what the last run wrote is visible.
    } else if (exec.state.compare_exchange_weak(state, QAicExecObj::kInFlight,
                                                std::memory_order_acquire)) {
      *before = state;
      return true;
    }
  }
}

bool claim(QAicEvent& event) noexcept {
  uint32_t state = event.state.load(std::memory_order_relaxed);
  do {
    if (state == QAicEvent::kPending) return false;
  } while (
      !event.state.compare_exchange_weak(state, QAicEvent::kPending, std::memory_order_acquire));
  return true;
}

// A thread that the system has stopped in the middle of try_pop() makes a ring look full that is
// not, so this waits a little, as the driver of a card tries again.
bool push(QAicQueue& queue, QAicExecObj* exec) noexcept {
  for (uint32_t i = 0; i < kPushTries; ++i) {
    if (queue.ring.try_push(exec)) return true;
    if (i < kPushTries / 2) {
      std::this_thread::yield();
    } else {
      sleep_until(now_ns() + 100'000);
    }
  }
  return false;
}

// Draws what befalls the run, on the first of its cards that the plan hits; returns that plan.
const FaultPlan* choose_fault(QAicExecObj& exec) noexcept {
  const QAicProgram& program = *exec.program;
  exec.fault = Fault::kNone;
  exec.fault_card = program.card;
  const FaultPlan* plan = Machine::get().plan(*program.card);
  for (size_t i = 0; !plan && i < program.shares.size(); ++i) {
    exec.fault_card = program.shares[i]->card;
    plan = Machine::get().plan(*exec.fault_card);
  }
  if (plan) {
    Card& faulty = *exec.fault_card;
    const uint64_t n = faulty.draws.fetch_add(1, std::memory_order_relaxed) + 1;
    exec.fault = plan->draw(faulty.id, n);
  }
  return plan;
}

}  // namespace

QStatus enqueue(QAicQueue& queue, QAicExecObj& exec, QAicEvent* event) noexcept {
  QAicProgram& program = *exec.program;
  Card& card = *program.card;
  const Entry entry(queue);
  if (!entry.is_open()) return QS_INVAL;
  uint32_t before = 0;
  if (!claim(exec, &before)) return QS_BUSY;
  if (!exec.ready) return refuse(exec, before, QS_INVAL);
  if (exec.auto_activate && program.active_epoch.load(std::memory_order_relaxed) == 0) {
    const QStatus status = activate(program);
    if (status != QS_SUCCESS) return refuse(exec, before, status);
  }
  if (!exec.host) {
    const QStatus status = attach_host(exec);
    if (status != QS_SUCCESS) return refuse(exec, before, status);
  }
  // acquire: pairs with the increment by a reset.
  const uint32_t epoch = card.epoch.load(std::memory_order_acquire);
  if (card.status.load(std::memory_order_relaxed) != QDS_READY) {
    return refuse(exec, before, QS_DEV_ERROR);
  }
  if (const QStatus status = enter_program(program, epoch); status != QS_SUCCESS) {
    return refuse(exec, before, status);
  }
  const auto leave = [&](QStatus status) {
    program.in_flight.fetch_sub(1, std::memory_order_seq_cst);
    return refuse(exec, before, status);
  };
  if (!program.shares.empty()) {
    exec.share_changes = program.share_changes.load(std::memory_order_acquire);
    if (!shares_active(program)) return leave(QS_DEV_ERROR);
  }
  const FaultPlan* const plan = choose_fault(exec);
  if (exec.fault == Fault::kRefuse) {
    card.refused.fetch_add(1, std::memory_order_relaxed);
    return leave(QS_AGAIN);
  }
  if (event) {
    if (!claim(*event)) return leave(QS_BUSY);
    event->users.fetch_add(1, std::memory_order_relaxed);
  }
  exec.users.fetch_add(1, std::memory_order_relaxed);
  exec.queue = &queue;
  exec.event = event;
  exec.epoch = epoch;
  const uint64_t place = card.enqueued.fetch_add(1, std::memory_order_relaxed);
  exec.finish_ns = finish_time(program, plan, place);
  exec.limit_ns = program.run_timeout_ns ? now_ns() + program.run_timeout_ns : 0;
  if (!push(queue, &exec)) {
    card.enqueued.fetch_sub(1, std::memory_order_relaxed);
    if (event) {
      event->state.store(QAicEvent::kClear, std::memory_order_release);
      event->users.fetch_sub(1, std::memory_order_release);
    }
    exec.users.fetch_sub(1, std::memory_order_release);
    return leave(QS_AGAIN);
  }
  wake(queue);
  return QS_SUCCESS;
}

}  // namespace qaicsim
