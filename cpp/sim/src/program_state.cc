#include "program_state.h"

#include <string>

#include "base/cat.h"
#include "base/clock.h"
#include "device/cpu/cpu_backend.h"
#include "machine.h"
#include "queue_threads.h"
#include "report.h"
#include "resets.h"
#include "retained.h"
#include "shares.h"
#include "sleep.h"

namespace qaicsim {
namespace {

using qaickit::cat;
using qaickit::now_ns;

// On the first of its cards.
QStatus activate_first(QAicProgram& program) {
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
      // What a reset ended keeps nobody waiting; published by the store below.
      program.busy_until_ns.store(0, std::memory_order_relaxed);
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

}  // namespace

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

}  // namespace qaicsim
