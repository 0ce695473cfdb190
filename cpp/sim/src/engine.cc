#include "engine.h"

#include <sys/prctl.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <limits>

#include "base/cat.h"
#include "base/clock.h"
#include "device/cpu/cpu_backend.h"
#include "queue/spin.h"
#include "shares.h"

namespace qaicsim {
namespace {

using qaickit::cat;
using qaickit::now_ns;

constexpr uint64_t kForever = std::numeric_limits<uint64_t>::max();
// An idle thread of a quick queue looks by itself so often: there, a busy one counts as looking.
constexpr uint64_t kLookNs = 20'000'000;
constexpr uint32_t kPushTries = 2000;
constexpr size_t kBacklog = 32;           // from which a quick queue wakes a second thread
constexpr uint64_t kSliceNs = 5'000'000;  // a sleeping run notices a reset after so long

thread_local const QAicQueue* current_queue = nullptr;
thread_local const QAicExecObj* current_exec = nullptr;
thread_local const QAicEvent* current_event = nullptr;

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

void sleep_until(uint64_t ns) noexcept {
  const timespec at{static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr);
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

void give_back(QAicExecObj* exec) {
  QAicQueue& queue = *exec->queue;
  exec->fault = Fault::kFlushed;
  {
    const std::lock_guard lock(queue.returned_mutex);
    queue.returned.push_back(exec);
    // release: pairs with the acquire load in has_work().
    queue.has_returned.store(true, std::memory_order_release);
  }
  queue.wake.notify_all();
}

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

// The device, or one of them, was reset since the enqueue.
bool is_lost(const QAicExecObj& exec) noexcept {
  const QAicProgram& program = *exec.program;
  if (exec.epoch != program.card->epoch.load(std::memory_order_acquire)) return true;
  return !program.shares.empty() &&
         (!shares_active(program) ||
          exec.share_changes != program.share_changes.load(std::memory_order_acquire));
}

// False: the run completes after all, since its device or queue is going.
bool hold_back(Card& card, QAicExecObj* exec) {
  const std::lock_guard lock(card.mutex);
  if (is_lost(*exec)) return false;
  if (exec->queue->closing.load(std::memory_order_relaxed)) return false;
  card.lost.push_back(exec);
  card.lost_count.fetch_add(1, std::memory_order_relaxed);
  return true;
}

void copy_in(QAicExecObj& exec) {
  for (const size_t i : exec.copied) {
    const QAicExecObj::Slot& slot = exec.slots[i];
    if (!slot.is_input) continue;
    const std::span<std::byte> own = exec.host->input(i);
    const auto* data = reinterpret_cast<const std::byte*>(slot.data);
    const size_t given = data ? slot.size : 0;
    if (!exec.transforms[i].is_identity()) {
      exec.transforms[i].apply(data, given, own.data());
      continue;
    }
    const size_t whole = std::min(given, own.size());
    if (whole > 0) std::memcpy(own.data(), data, whole);
    if (own.size() > whole) std::memset(own.data() + whole, 0, own.size() - whole);
  }
}

void copy_out(QAicExecObj& exec) {
  for (const size_t i : exec.copied) {
    const QAicExecObj::Slot& slot = exec.slots[i];
    if (slot.is_input || !slot.data) continue;
    const std::span<const std::byte> own = exec.host->output(i - exec.host->num_inputs());
    exec.transforms[i].apply(own.data(), own.size(), reinterpret_cast<std::byte*>(slot.data));
  }
}

const char* compute(QAicExecObj& exec, std::string* detail) noexcept {
  switch (Machine::get().config().compute) {
    case Compute::kNothing: return nullptr;
    case Compute::kEcho: {
      size_t out = 0;
      while (out < exec.slots.size() && exec.slots[out].is_input) ++out;
      for (size_t in = 0; in < exec.slots.size() && exec.slots[in].is_input; ++in, ++out) {
        if (out == exec.slots.size()) break;
        const QAicExecObj::Slot& from = exec.slots[in];
        const QAicExecObj::Slot& to = exec.slots[out];
        if (from.data && to.data) std::memcpy(to.data, from.data, std::min(from.size, to.size));
      }
      return nullptr;
    }
    case Compute::kHostHalf: break;
  }
  std::unique_lock<std::mutex> turn;
  qaickit::Status status;
  if (!exec.program->retained.empty()) {
    turn = std::unique_lock(exec.program->retained_mutex);
    status = bind_retained(exec);
  }
  copy_in(exec);
  if (status.ok()) status = exec.host->run();
  if (status.ok()) {
    copy_out(exec);
    keep_retained(exec);
    return nullptr;
  }
  *detail = status.to_string();
  return detail->c_str();
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

void forget_all(Card& card) {
  card.nsp_used = 0;
  card.loaded = 0;
  card.active = 0;
  card.loaded_bytes = 0;
  card.resets.fetch_add(1, std::memory_order_relaxed);
  // release: pairs with the acquire loads by epoch's readers.
  card.epoch.fetch_add(1, std::memory_order_acq_rel);
  for (QAicExecObj* exec : card.lost) give_back(exec);
  card.lost.clear();
}

}  // namespace

Machine& Machine::get() {
  static Machine* const machine = new Machine;
  return *machine;
}

Machine::Machine() { make_cards(); }

void Machine::make_cards() {
  config_ = read_config();
  cards_.clear();
  for (uint32_t i = 0; i < config_.devices; ++i) {
    const uint32_t nsps = config_.nsps[std::min<size_t>(i, config_.nsps.size() - 1)];
    cards_.push_back(std::make_unique<Card>(static_cast<QID>(i), nsps));
  }
  if (!set_faults(config_.faults)) {
    std::fprintf(stderr,
                 "qaicsim: QAICKIT_SIM_FAULTS is '%s', which is not as qaicsim.h says; no "
                 "faults\n",
                 config_.faults.c_str());
    set_faults("");
  }
}

void Machine::reload() { make_cards(); }

Card* Machine::card(QID id) const noexcept {
  if (id < 0 || static_cast<size_t>(id) >= cards_.size()) return nullptr;
  const auto& visible = config_.visible;
  if (!visible.empty() && std::ranges::find(visible, id) == visible.end()) return nullptr;
  return cards_[static_cast<size_t>(id)].get();
}

std::vector<QID> Machine::ids() const {
  std::vector<QID> ids;
  for (const auto& card : cards_) {
    if (this->card(card->id)) ids.push_back(card->id);
  }
  return ids;
}

bool Machine::set_faults(std::string_view spec) {
  const std::optional<FaultPlan> plan = parse_faults(spec);
  if (!plan) return false;
  const std::lock_guard lock(mutex_);
  for (const auto& card : cards_) card->draws.store(0, std::memory_order_relaxed);
  if (spec.empty()) {
    plan_.store(nullptr, std::memory_order_release);
  } else {
    plans_.push_back(std::make_unique<const FaultPlan>(*plan));
    // release: pairs with the acquire load in plan().
    plan_.store(plans_.back().get(), std::memory_order_release);
  }
  return true;
}

const FaultPlan* Machine::plan(const Card& card) const noexcept {
  const FaultPlan* plan = plan_.load(std::memory_order_acquire);
  return plan && plan->hits(card.id) ? plan : nullptr;
}

void log(QAicContext* context, QLogLevel level, std::string_view text) {
  const std::string line = cat("qaicsim: ", text);
  if (Machine::get().config().log) std::fprintf(stderr, "%s\n", line.c_str());
  if (context && context->log && level >= context->log_level.load(std::memory_order_relaxed)) {
    context->log(level, line.c_str(), context->log_user);
  }
}

void report(QAicContext* context, QAicErrorType type, std::string_view text) {
  log(context, QL_ERROR, text);
  if (!context->error) return;
  const std::string line(text);
  context->error(context->id, line.c_str(), type, nullptr, 0, context->error_user);
}

void fail_card(Card& card, bool dies, std::string_view why) {
  {
    const std::lock_guard lock(card.mutex);
    card.dead = card.dead || dies;
    card.status.store(QDS_ERROR, std::memory_order_relaxed);
    forget_all(card);
  }
  flush_partners(card);
  log(nullptr, QL_ERROR,
      cat("simulated device ", card.id, dies ? " died (" : " was reset (", why, ")"));
}

void reset_card(Card& card) {
  {
    const std::lock_guard lock(card.mutex);
    card.dead = false;
    card.status.store(QDS_READY, std::memory_order_relaxed);
    forget_all(card);
  }
  flush_partners(card);
}

bool revive_card(Card& card) {
  const std::lock_guard lock(card.mutex);
  if (card.dead) return false;
  card.status.store(QDS_READY, std::memory_order_relaxed);
  return true;
}

QStatus load(QAicProgram& program) {
  Card& card = *program.card;
  const FaultPlan* plan = Machine::get().plan(card);
  const std::string who = cat("simulated device ", card.id, ": program '", program.name, "'");
  const std::lock_guard host_lock(program.host_mutex);
  bool fails = false;
  {
    const std::lock_guard lock(card.mutex);
    const uint32_t epoch = card.epoch.load(std::memory_order_relaxed);
    if (program.loaded_epoch.load(std::memory_order_relaxed) == epoch) return QS_SUCCESS;
    if (card.status.load(std::memory_order_relaxed) != QDS_READY) return QS_DEV_ERROR;
    program.active_epoch.store(0, std::memory_order_seq_cst);
    program.loaded_epoch.store(0, std::memory_order_relaxed);
    fails = plan && plan->draw(card.id, plan->load, ++card.rare_draws);
  }
  if (fails) {
    report(program.context, QAIC_ERROR_PROGRAM_RUNTIME_LOAD_FAILED,
           cat(who, ": load failed (injected)"));
    return QS_ERROR;
  }
  if (Machine::get().config().compute == Compute::kHostHalf) {
    const std::lock_guard lock(program.qpc->mutex);
    program.host = program.qpc->host.lock();
    if (!program.host) {
      const auto device = qaickit::create_cpu(0);
      auto loaded = device.ok()
                        ? (*device)->load(program.qpc->qpc, {})
                        : qaickit::Result<std::shared_ptr<qaickit::Program>>(device.status());
      if (!loaded.ok()) {
        report(program.context, QAIC_ERROR_PROGRAM_RUNTIME_LOAD_FAILED,
               cat(who, " cannot be simulated: ", loaded.status().message()));
        return QS_ERROR;
      }
      program.host = *loaded;
      program.qpc->host = program.host;
    }
  }
  const std::lock_guard lock(card.mutex);
  if (card.status.load(std::memory_order_relaxed) != QDS_READY) return QS_DEV_ERROR;
  program.loaded_epoch.store(card.epoch.load(std::memory_order_relaxed), std::memory_order_relaxed);
  ++card.loaded;
  card.loaded_bytes += program.qpc->qpc->file_bytes();
  return QS_SUCCESS;
}

QStatus unload(QAicProgram& program) {
  Card& card = *program.card;
  const std::lock_guard host_lock(program.host_mutex);
  uint32_t loaded = 0;
  {
    const std::lock_guard lock(card.mutex);
    const uint32_t epoch = card.epoch.load(std::memory_order_relaxed);
    if (program.active_epoch.load(std::memory_order_relaxed) == epoch) return QS_BUSY;
    loaded = program.loaded_epoch.exchange(0, std::memory_order_relaxed);
    if (loaded == epoch) {
      --card.loaded;
      card.loaded_bytes -= program.qpc->qpc->file_bytes();
    }
    program.active_epoch.store(0, std::memory_order_seq_cst);
  }
  program.host.reset();
  // Its own after a reset of the first card, too. Never two cards' mutexes at once.
  deactivate_shares(program);
  unload_shares(program);
  return loaded == 0 ? QS_INVAL : QS_SUCCESS;
}

// On the first of its cards.
static QStatus activate_first(QAicProgram& program) {
  Card& card = *program.card;
  const FaultPlan* plan = Machine::get().plan(card);
  const std::string who = cat("simulated device ", card.id, ": program '", program.name, "'");
  std::string fault;
  QStatus status = QS_SUCCESS;
  {
    const std::lock_guard lock(card.mutex);
    const uint32_t epoch = card.epoch.load(std::memory_order_relaxed);
    if (program.loaded_epoch.load(std::memory_order_relaxed) != epoch) return QS_DEV_ERROR;
    if (program.active_epoch.load(std::memory_order_relaxed) == epoch) return QS_SUCCESS;
    const uint32_t cores = program.group ? 0 : program.cores;  // a group has reserved them
    if (cores > card.nsp_total - card.nsp_used) {
      fault = cat(who, " needs ", cores, " NSPs, free are ", card.nsp_total - card.nsp_used, " of ",
                  card.nsp_total, "; deactivate a program or compile for fewer cores");
      status = QS_NOSPC;
    } else if (plan && plan->draw(card.id, plan->activation, ++card.rare_draws)) {
      fault = cat(who, ": activation failed half way (injected)");
      status = QS_DEV_ERROR;
    } else {
      card.nsp_used += cores;
      ++card.active;
      program.active_epoch.store(epoch, std::memory_order_seq_cst);
    }
  }
  if (status != QS_SUCCESS) {
    report(program.context, QAIC_ERROR_PROGRAM_RUNTIME_ACTIVATION_FAILED, fault);
  } else {
    clear_retained(program);
  }
  return status;
}

QStatus activate(QAicProgram& program) {
  if (const QStatus status = load(program); status != QS_SUCCESS) return status;
  if (const QStatus status = activate_shares(program); status != QS_SUCCESS) return status;
  const QStatus status = activate_first(program);
  if (status != QS_SUCCESS) deactivate_shares(program);
  return status;
}

QStatus deactivate(QAicProgram& program) {
  Card& card = *program.card;
  const uint32_t active = program.active_epoch.exchange(0, std::memory_order_seq_cst);
  if (active == 0) return QS_INVAL;
  const auto of_program = [&](const QAicExecObj& exec) { return exec.program == &program; };
  if (flush_lost(card, of_program) > 0 && !on_thread_of(nullptr)) {
    const uint64_t end = now_ns() + 2'000'000'000;
    while (program.in_flight.load(std::memory_order_seq_cst) > 0 && now_ns() < end) {
      sleep_until(now_ns() + 50'000);
    }
  }
  {
    const std::lock_guard lock(card.mutex);
    if (program.in_flight.load(std::memory_order_seq_cst) > 0) {
      program.active_epoch.store(active, std::memory_order_seq_cst);
      return QS_BUSY;
    }
    if (active == card.epoch.load(std::memory_order_relaxed)) {
      if (!program.group) card.nsp_used -= program.cores;
      --card.active;
    }
  }
  deactivate_shares(program);
  return QS_SUCCESS;
}

QStatus attach_host(QAicExecObj& exec) {
  if (exec.host || Machine::get().config().compute != Compute::kHostHalf) return QS_SUCCESS;
  std::shared_ptr<qaickit::Program> host;
  {
    const std::lock_guard lock(exec.program->host_mutex);
    host = exec.program->host;
  }
  if (!host) return QS_SUCCESS;  // not loaded
  auto activation = host->activate();
  auto made = activation.ok()
                  ? (*activation)->create_exec_obj()
                  : qaickit::Result<std::unique_ptr<qaickit::ExecObj>>(activation.status());
  if (!made.ok()) {
    report(exec.context, QAIC_ERROR_EXECOBJ_CREATION, made.status().message());
    return QS_ERROR;
  }
  exec.host = std::move(made).value();
  return bind_host(exec);
}

QStatus bind_host(QAicExecObj& exec) {
  exec.copied.clear();
  if (!exec.host || !exec.ready) return QS_SUCCESS;
  const auto set = exec.shape < 0 ? exec.program->qpc->qpc->program().default_shape_set()
                                  : static_cast<size_t>(exec.shape);
  if (const qaickit::Status status = exec.host->select_shapes(set); !status.ok()) {
    report(exec.context, QAIC_ERROR_EXECOBJ_RUNTIME, status.message());
    return QS_ERROR;
  }
  const size_t num_inputs = exec.host->num_inputs();
  for (size_t i = 0; i < exec.slots.size(); ++i) {
    const QAicExecObj::Slot& slot = exec.slots[i];
    const bool is_users = exec.transforms[i].is_identity();
    // What is kept has memory of its own, which is bound anew for each run.
    const bool kept = is_retained(*exec.program, i) && (!slot.is_input || !slot.data);
    const bool in_place = is_users && slot.data && slot.size == slot.full_size && !kept;
    uint8_t* const data = in_place ? slot.data : nullptr;
    const qaickit::Status bound = slot.is_input ? exec.host->bind_input(i, data)
                                                : exec.host->bind_output(i - num_inputs, data);
    if (!bound.ok()) {
      report(exec.context, QAIC_ERROR_EXECOBJ_RUNTIME, bound.message());
      return QS_ERROR;
    }
    if (!is_users) {
      const size_t own =
          slot.is_input ? exec.host->input(i).size() : exec.host->output(i - num_inputs).size();
      const Transform& transform = exec.transforms[i];
      if (own != (slot.is_input ? transform.to_bytes() : transform.from_bytes())) {
        report(exec.context, QAIC_ERROR_EXECOBJ_RUNTIME,
               cat("buffer ", i, " has ", own,
                   " bytes in the host half, and not as many as the QPC ", "describes"));
        return QS_ERROR;
      }
    }
    const bool copied = slot.is_input ? !in_place && !kept : !is_users;
    if (copied) exec.copied.push_back(i);
  }
  return QS_SUCCESS;
}

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
  exec.fault = Fault::kNone;
  exec.fault_card = &card;
  const FaultPlan* plan = Machine::get().plan(card);
  for (size_t i = 0; !plan && i < program.shares.size(); ++i) {
    exec.fault_card = program.shares[i]->card;
    plan = Machine::get().plan(*exec.fault_card);
  }
  if (plan) {
    Card& faulty = *exec.fault_card;
    const uint64_t n = faulty.draws.fetch_add(1, std::memory_order_relaxed) + 1;
    exec.fault = plan->draw(faulty.id, n);
    if (exec.fault == Fault::kRefuse) {
      card.refused.fetch_add(1, std::memory_order_relaxed);
      return leave(QS_AGAIN);
    }
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

size_t flush_lost(Card& card, const std::function<bool(const QAicExecObj&)>& which) {
  const std::lock_guard lock(card.mutex);
  return std::erase_if(card.lost, [&](QAicExecObj* exec) {
    if (!which(*exec)) return false;
    give_back(exec);
    return true;
  });
}

bool on_thread_of(const QAicQueue* queue) noexcept {
  return queue ? current_queue == queue : current_queue != nullptr;
}

bool inside_run_of(const void* object) noexcept {
  return object && (current_exec == object || current_event == object);
}

}  // namespace qaicsim
