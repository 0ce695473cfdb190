#include "shares.h"

#include <algorithm>

#include "base/cat.h"
#include "machine.h"
#include "report.h"
#include "resets.h"

namespace qaicsim {
namespace {

using qaickit::cat;

void release(QAicProgram& program, Share& share) {
  const std::lock_guard lock(share.card->mutex);
  const uint32_t active = share.active_epoch.exchange(0, std::memory_order_relaxed);
  if (active != 0 && active == share.card->epoch.load(std::memory_order_relaxed)) {
    share.card->nsp_used -= program.cores;
    --share.card->active;
  }
}

QStatus reserve(QAicProgram& program, Share& share, std::string* why) {
  Card& card = *share.card;
  const std::lock_guard lock(card.mutex);
  const uint32_t epoch = card.epoch.load(std::memory_order_relaxed);
  if (card.status.load(std::memory_order_relaxed) != QDS_READY) {
    *why = "the device is not ready";
    return QS_DEV_ERROR;
  }
  if (share.loaded_epoch != epoch) {
    share.loaded_epoch = epoch;
    ++card.loaded;
    card.loaded_bytes += program.qpc->qpc->file_bytes();
  }
  if (program.cores > card.nsp_total - card.nsp_used) {
    *why = cat("needs ", program.cores, " NSPs, free are ", card.nsp_total - card.nsp_used, " of ",
               card.nsp_total);
    return QS_NOSPC;
  }
  card.nsp_used += program.cores;
  ++card.active;
  share.active_epoch.store(epoch, std::memory_order_relaxed);
  return QS_SUCCESS;
}

}  // namespace

QStatus activate_shares(QAicProgram& program) {
  for (const auto& share : program.shares) {
    if (share->is_active()) continue;
    std::string why;
    if (const QStatus status = reserve(program, *share, &why); status != QS_SUCCESS) {
      report(program.context, QAIC_ERROR_PROGRAM_RUNTIME_ACTIVATION_FAILED,
             cat("simulated device ", share->card->id, " of the mapping: program '", program.name,
                 "': ", why));
      deactivate_shares(program);
      return status;
    }
    // release: pairs with the acquire loads of those who compare; runs from before are lost, and
    // keep nobody waiting.
    program.busy_until_ns.store(0, std::memory_order_relaxed);
    program.share_changes.fetch_add(1, std::memory_order_release);
  }
  return QS_SUCCESS;
}

void deactivate_shares(QAicProgram& program) {
  for (const auto& share : program.shares) release(program, *share);
}

void unload_shares(QAicProgram& program) {
  for (const auto& share : program.shares) {
    const std::lock_guard lock(share->card->mutex);
    if (share->loaded_epoch == share->card->epoch.load(std::memory_order_relaxed)) {
      --share->card->loaded;
      share->card->loaded_bytes -= program.qpc->qpc->file_bytes();
    }
    share->loaded_epoch = 0;
  }
}

bool shares_active(const QAicProgram& program) noexcept {
  return std::ranges::all_of(program.shares, [](const auto& share) { return share->is_active(); });
}

bool is_card_of(const QAicProgram& program, const Card* card) noexcept {
  return program.card == card ||
         std::ranges::any_of(program.shares, [card](const auto& s) { return s->card == card; });
}

void flush_partners(const Card& card) {
  for (const QID id : Machine::get().ids()) {
    Card& other = *Machine::get().card(id);
    if (&other == &card) continue;
    (void)flush_lost(other,
                     [&](const QAicExecObj& exec) { return is_card_of(*exec.program, &card); });
  }
}

}  // namespace qaicsim
