#include "resets.h"

#include "base/cat.h"
#include "machine.h"
#include "report.h"
#include "shares.h"

namespace qaicsim {
namespace {

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

size_t flush_lost(Card& card, const std::function<bool(const QAicExecObj&)>& which) {
  const std::lock_guard lock(card.mutex);
  return std::erase_if(card.lost, [&](QAicExecObj* exec) {
    if (!which(*exec)) return false;
    give_back(exec);
    return true;
  });
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
      qaickit::cat("simulated device ", card.id, dies ? " died (" : " was reset (", why, ")"));
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

}  // namespace qaicsim
