#include "machine.h"

#include <algorithm>
#include <cstdio>

namespace qaicsim {

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

}  // namespace qaicsim
