#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "objects.h"

namespace qaicsim {

// The cards and the fault plan; made at first use and never destroyed, since queue threads of a
// process that exits without releasing still use them.
class Machine {
 public:
  static Machine& get();

  const Config& config() const noexcept { return config_; }
  // Null: no such card, or not visible.
  Card* card(QID id) const noexcept;
  std::vector<QID> ids() const;
  bool set_faults(std::string_view spec);
  // Null: none.
  const FaultPlan* plan(const Card& card) const noexcept;
  // Only while nothing refers to a card.
  void reload();

 private:
  Machine();
  void make_cards();

  Config config_;
  std::vector<std::unique_ptr<Card>> cards_;
  std::atomic<const FaultPlan*> plan_{nullptr};
  std::mutex mutex_;
  std::vector<std::unique_ptr<const FaultPlan>> plans_;  // old ones too: threads may read them
};

}  // namespace qaicsim
