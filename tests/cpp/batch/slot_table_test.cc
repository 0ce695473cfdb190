#include "batch/slot_table.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
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

// How often this thread has gone to sleep.
long sleeps() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nvcsw;
}

// Waking all of them for one slot costs each a switch to the CPU and back.
TEST(SlotTable, AReleaseWakesOneWaiter) {
  constexpr long kWaiters = 6;
  const auto slots = fake_slots(echo_program(), 1, 1);
  Slot* slot = slots->try_acquire(0);
  std::atomic<long> slept{0};
  std::atomic<Slot*> taken{nullptr};
  std::vector<std::thread> waiters;
  for (long i = 0; i < kWaiters; ++i) {
    waiters.emplace_back([&] {
      const long before = sleeps();
      Slot* const got = slots->acquire_any(UINT64_MAX);
      slept.fetch_add(sleeps() - before);
      taken.store(got);
    });
  }
  // So that they sleep; those that do not yet make the test weaker, not wrong.
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  for (long i = 0; i < kWaiters; ++i) {
    slots->release(*slot);
    while (!(slot = taken.exchange(nullptr))) std::this_thread::yield();
  }
  for (std::thread& waiter : waiters) waiter.join();
  slots->release(*slot);
  // Once each; if all were woken each time, 6 + 5 + 4 + 3 + 2 + 1 times.
  EXPECT_LT(slept.load(), 2 * kWaiters);
}

// Each kind has a wake-up of its own: one does not swallow the other's.
TEST(SlotTable, ThoseWhoWantAnyActivationAndThoseWhoWantOneAreBothWoken) {
  const auto slots = fake_slots(echo_program(), 2, 1);
  for (int i = 0; i < 200; ++i) {
    Slot* const first = slots->try_acquire(0);
    Slot* const second = slots->try_acquire(1);
    std::thread one([&] { slots->release(*slots->acquire(1, UINT64_MAX)); });
    std::thread any([&] { slots->release(*slots->acquire_any(UINT64_MAX)); });
    slots->release(*(i % 2 ? first : second));
    slots->release(*(i % 2 ? second : first));
    one.join();
    any.join();
  }
  EXPECT_TRUE(slots->all_free());
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

TEST(SlotTable, LostActivationsAreHandedOutOnlyWhenAllAre) {
  const auto slots = fake_slots(echo_program(), 2, 1);
  slots->mark_lost(0);
  slots->mark_lost(0);
  EXPECT_EQ(slots->lost_activations(), 1u);
  Slot* const slot = slots->try_acquire_any();
  EXPECT_EQ(slot->activation, 1u);
  EXPECT_EQ(slots->try_acquire_any(), nullptr);
  slots->mark_lost(1);
  EXPECT_TRUE(slots->all_lost());
  Slot* const lost = slots->try_acquire_any();
  ASSERT_NE(lost, nullptr);
  EXPECT_EQ(lost->activation, 0u);
  slots->release(*slot);
  slots->release(*lost);
}

TEST(SlotTable, NamesAreForMessages) {
  const auto slots = fake_slots(echo_program(), 2, 1);
  EXPECT_EQ(slots->name(1), "activation 1");
  slots->set_names({"card:0: activation 0", "card:1: activation 0"}, "card:0, card:1");
  EXPECT_EQ(slots->name(1), "card:1: activation 0");
  EXPECT_EQ(slots->device_names(), "card:0, card:1");
}

// Exactly one of the two gives the slot back: the completion, or whoever asked the device.
TEST(SlotTable, ARunThatIsCancelledEndsOnce) {
  test::FakeExecObj::Behaviour behaviour;
  Slot* running = nullptr;
  bool lets_go = true;
  behaviour.cancel = [&](test::FakeExecObj&) {
    if (!lets_go) return;
    EXPECT_FALSE(running->end_given_up());
  };
  const auto slots = fake_slots(echo_program(), 1, 1, behaviour);
  running = slots->try_acquire(0);
  running->state = Slot::kRunning;
  ASSERT_TRUE(running->abandon(Slot::kRunning, Slot::kCancelling));
  EXPECT_FALSE(running->finish_to_answer());
  EXPECT_TRUE(running->cancel());
  EXPECT_EQ(running->state, Slot::kIdle);

  lets_go = false;
  running->state = Slot::kRunning;
  ASSERT_TRUE(running->abandon(Slot::kRunning, Slot::kCancelling));
  EXPECT_FALSE(running->cancel());
  EXPECT_TRUE(slots->any_abandoned());
  EXPECT_TRUE(running->end_given_up());  // late
  EXPECT_EQ(running->state, Slot::kIdle);
  slots->release(*running);
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
