#include "batch/slot_table.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "support/fake_device.h"

namespace qaickit {
namespace {

using test::echo_program;
using test::fake_slots;

TEST(SlotTable, HandsOutEachSlotOnce) {
  for (const size_t per_activation : {1u, 3u, 64u}) {
    const auto slots = fake_slots(echo_program(), 2, per_activation);
    EXPECT_EQ(slots->activations(), 2u);
    EXPECT_EQ(slots->size(), 2 * per_activation);
    std::set<uint32_t> seen;
    while (Slot* slot = slots->try_acquire_any()) {
      EXPECT_TRUE(seen.insert(slot->index).second);
      EXPECT_EQ(slot->activation, slot->index / per_activation);
      EXPECT_EQ(&(*slots)[slot->index], slot);
    }
    EXPECT_EQ(seen.size(), slots->size());
    EXPECT_FALSE(slots->idle(0));
    EXPECT_FALSE(slots->all_free());
    EXPECT_FALSE(slots->wait_unused(0));
    for (const uint32_t index : seen) slots->release((*slots)[index]);
    EXPECT_TRUE(slots->idle(1));
    EXPECT_TRUE(slots->all_free());
    EXPECT_TRUE(slots->wait_unused(0));
  }
}

TEST(SlotTable, ActivationsAreApart) {
  const auto slots = fake_slots(echo_program(), 2, 1);
  Slot* const first = slots->try_acquire(0);
  EXPECT_EQ(slots->try_acquire(0), nullptr);
  EXPECT_EQ(slots->acquire(0, 1000), nullptr);
  Slot* const second = slots->try_acquire_any();
  EXPECT_EQ(second->activation, 1u);
  slots->release(*first);
  slots->release(*second);
}

TEST(SlotTable, AcquireWaitsForARelease) {
  const auto slots = fake_slots(echo_program(), 1, 1);
  Slot* const slot = slots->try_acquire(0);
  std::thread waiter([&] { slots->release(*slots->acquire(0, UINT64_MAX)); });
  slots->release(*slot);
  waiter.join();
  EXPECT_TRUE(slots->wait_unused(UINT64_MAX));
}

TEST(SlotTable, GivenUpRunsAreNotInUse) {
  const auto slots = fake_slots(echo_program(), 1, 2);
  Slot* const first = slots->try_acquire(0);
  Slot* const second = slots->try_acquire(0);
  first->state = Slot::kRunning;
  EXPECT_FALSE(slots->wait_settled(0));
  EXPECT_TRUE(first->abandon(Slot::kRunning));
  EXPECT_FALSE(first->abandon(Slot::kRunning));
  EXPECT_TRUE(slots->wait_settled(0));
  EXPECT_TRUE(slots->any_abandoned());
  EXPECT_FALSE(slots->all_abandoned());
  EXPECT_FALSE(slots->wait_unused(0));  // the second
  slots->release(*second);
  EXPECT_TRUE(slots->wait_unused(0));
  EXPECT_FALSE(slots->all_free());
  EXPECT_FALSE(first->finish());
  slots->release(*first);
  EXPECT_TRUE(slots->all_free());
  EXPECT_FALSE(slots->any_abandoned());
}

// Unsynchronised writes to a slot by its holders: the hand-over is what orders them.
TEST(SlotTableStress, HandOverPublishesTheSlot) {
  const auto slots = fake_slots(echo_program(), 2, 2);
  constexpr uint32_t kPerThread = 3000;
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      for (uint32_t i = 0; i < kPerThread; ++i) {
        Slot* const slot =
            t % 2 ? slots->acquire(t / 2 % 2, UINT64_MAX) : slots->acquire_any(UINT64_MAX);
        ++slot->count;
        slots->release(*slot);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  uint32_t sum = 0;
  for (uint32_t i = 0; i < slots->size(); ++i) sum += (*slots)[i].count;
  EXPECT_EQ(sum, 6 * kPerThread);
}

}  // namespace
}  // namespace qaickit
