#include "batch/slot_table.h"

#include <algorithm>

#include "base/cat.h"

namespace qaickit {
namespace {

// How long a worker waits for more than one slot. A quick device frees many in that time, and each
// costs less than a wake-up; a slow one is worth a wake-up for each.
constexpr uint64_t kRefillNs = 50'000;

uint32_t state_of(const std::unique_ptr<Slot>& slot) noexcept {
  return slot->state.load(std::memory_order_acquire);
}
bool is_abandoned(const std::unique_ptr<Slot>& slot) noexcept {
  return state_of(slot) == Slot::kAbandoned;
}

}  // namespace

SlotTable::SlotTable(std::vector<std::vector<std::unique_ptr<ExecObj>>> exec_objs)
    : masks_(exec_objs.size()) {
  for (uint32_t a = 0; a < exec_objs.size(); ++a) {
    const auto count = static_cast<uint32_t>(exec_objs[a].size());
    masks_[a].first = size();
    masks_[a].all = count == 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
    masks_[a].refill = static_cast<int>(count + 1) / 2;
    masks_[a].free.store(masks_[a].all, std::memory_order_relaxed);
    for (uint32_t b = 0; b < count; ++b) {
      auto slot = std::make_unique<Slot>();
      slot->exec = std::move(exec_objs[a][b]);
      slot->default_shapes = slot->exec->shape_set();
      slot->index = size();
      slot->activation = a;
      slot->bit = b;
      slots_.push_back(std::move(slot));
    }
  }
}

std::string SlotTable::name(uint32_t activation) const {
  return activation < names_.size() ? names_[activation] : cat("activation ", activation);
}

Slot* SlotTable::try_acquire(uint32_t activation) noexcept {
  Mask& mask = masks_[activation];
  uint64_t free = mask.free_bits();
  while (free != 0) {
    // seq_cst: a tensor-level run takes a bit and then reads the session's closed flag, close()
    // does the opposite; one of the two must see the other. As acquire it pairs with release().
    if (mask.free.compare_exchange_weak(free, free & (free - 1), std::memory_order_seq_cst,
                                        std::memory_order_relaxed)) {
      return slots_[mask.first + static_cast<uint32_t>(std::countr_zero(free))].get();
    }
  }
  return nullptr;
}

Slot* SlotTable::try_acquire_any() noexcept {
  const bool any = all_lost();
  for (uint32_t a = 0; a < activations(); ++a) {
    if (!any && lost(a)) continue;
    if (Slot* slot = try_acquire(a)) return slot;
  }
  return nullptr;
}

void SlotTable::mark_lost(uint32_t activation) noexcept {
  if (masks_[activation].lost.exchange(true, std::memory_order_relaxed)) return;
  lost_.fetch_add(1, std::memory_order_relaxed);
}

Slot* SlotTable::acquire(uint32_t activation, uint64_t timeout_ns) noexcept {
  if (Slot* slot = try_acquire(activation)) return slot;
  Mask& mask = masks_[activation];
  mask.refilled.await([&] { return mask.is_refilled(mask.free_bits()); },
                      std::min(timeout_ns, kRefillNs));
  Slot* slot = nullptr;
  mask.freed.await([&] { return (slot = try_acquire(activation)) != nullptr; }, timeout_ns);
  return slot;
}

Slot* SlotTable::acquire_any(uint64_t timeout_ns) noexcept {
  Slot* slot = try_acquire_any();
  if (!slot) freed_.await([&] { return (slot = try_acquire_any()) != nullptr; }, timeout_ns);
  return slot;
}

void SlotTable::release(Slot& slot) noexcept {
  Mask& mask = masks_[slot.activation];
  // seq_cst: see EventCount, notify_*_ordered(). As release it pairs with try_acquire().
  const uint64_t bit = uint64_t{1} << slot.bit;
  const uint64_t free = mask.free.fetch_or(bit, std::memory_order_seq_cst) | bit;
  if (mask.is_refilled(free)) mask.refilled.notify_all_ordered();
  // One of each kind: whoever wakes takes the slot, or it is taken, and then released once more.
  mask.freed.notify_one_ordered();
  freed_.notify_one_ordered();
  unused_.notify_all_ordered();
}

template <class State>
bool SlotTable::none_held(State&& is) const noexcept {
  return std::all_of(masks_.begin(), masks_.end(), [&](const Mask& mask) {
    uint64_t held = mask.all & ~mask.free_bits();
    for (; held != 0; held &= held - 1) {
      if (is(state_of(slots_[mask.first + static_cast<uint32_t>(std::countr_zero(held))]))) {
        return false;
      }
    }
    return true;
  });
}

bool SlotTable::wait_unused(uint64_t timeout_ns) noexcept {
  return unused_.await(
      [&] { return none_held([](uint32_t state) { return state != Slot::kAbandoned; }); },
      timeout_ns);
}

bool SlotTable::wait_settled(uint64_t timeout_ns) noexcept {
  return unused_.await(
      [&] {
        return none_held(
            [](uint32_t state) { return state == Slot::kRunning || state == Slot::kAnswering; });
      },
      timeout_ns);
}

bool SlotTable::all_free() const noexcept {
  return std::all_of(masks_.begin(), masks_.end(),
                     [](const Mask& mask) { return mask.free_bits() == mask.all; });
}

bool SlotTable::any_abandoned() const noexcept {
  return std::any_of(slots_.begin(), slots_.end(), is_abandoned);
}

bool SlotTable::all_abandoned() const noexcept {
  return std::all_of(slots_.begin(), slots_.end(), is_abandoned);
}

}  // namespace qaickit
