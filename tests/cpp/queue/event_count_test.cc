#include "queue/event_count.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace qaickit {
namespace {

constexpr uint64_t kForEver = UINT64_MAX;

TEST(EventCount, TimesOut) {
  EventCount event;
  const uint64_t start = now_ns();
  EXPECT_FALSE(event.await([] { return false; }, 2'000'000));
  EXPECT_GE(now_ns() - start, 2'000'000u);
  EXPECT_FALSE(event.await([] { return false; }, 0));
}

TEST(EventCount, DoesNotSleepWhenReady) {
  EventCount event;
  EXPECT_TRUE(event.await([] { return true; }, 0));
  EXPECT_TRUE(event.await([] { return true; }, kForEver));
  int calls = 0;
  EXPECT_TRUE(event.await([&] { return ++calls == 2; }, kForEver));  // true after prepare_wait()
}

TEST(EventCount, SpinFindsItBeforeSleeping) {
  EventCount event;
  int calls = 0;
  EXPECT_TRUE(event.await([&] { return ++calls > 100; }, kForEver, 10'000'000'000));
}

TEST(EventCount, NotifyBetweenPrepareAndWaitIsNotLost) {
  EventCount event;
  const uint32_t key = event.prepare_wait();
  event.notify_one();
  event.wait(key, kForEver);  // returns at once
}

TEST(EventCount, NotifyOneWakesOne) {
  EventCount event;
  std::atomic<int> permits{0};
  std::atomic<int> woken{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      event.await(
          [&] {
            int have = permits.load();
            return have > 0 && permits.compare_exchange_strong(have, have - 1);
          },
          kForEver);
      woken.fetch_add(1);
    });
  }
  for (int i = 0; i < 3; ++i) {
    permits.fetch_add(1);
    event.notify_one();
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(woken.load(), 3);
  EXPECT_EQ(permits.load(), 0);
}

// Two threads hand a turn to and fro with nothing but unbounded waits: a lost wake-up hangs.
TEST(EventCountStress, PingPongLosesNoWakeUp) {
  EventCount event;
  std::atomic<uint32_t> turn{0};
  constexpr uint32_t kTurns = 20'000;
  auto player = [&](uint32_t parity) {
    for (uint32_t t = parity; t < kTurns; t += 2) {
      // relaxed: the event alone must make the other's write visible.
      event.await([&] { return turn.load(std::memory_order_relaxed) == t; }, kForEver);
      turn.store(t + 1, std::memory_order_relaxed);
      event.notify_all();
    }
  };
  std::thread other(player, 1);
  player(0);
  other.join();
  EXPECT_EQ(turn.load(), kTurns);
}

// The same by notifications that only read, for which the condition is seq_cst on both sides.
TEST(EventCountStress, OrderedPingPongLosesNoWakeUp) {
  EventCount event;
  std::atomic<uint32_t> turn{0};
  constexpr uint32_t kTurns = 20'000;
  auto player = [&](uint32_t parity) {
    for (uint32_t t = parity; t < kTurns; t += 2) {
      event.await([&] { return turn.load(std::memory_order_seq_cst) == t; }, kForEver);
      turn.fetch_add(1, std::memory_order_seq_cst);
      event.notify_one_ordered();
    }
  };
  std::thread other(player, 1);
  player(0);
  other.join();
  EXPECT_EQ(turn.load(), kTurns);
}

// Many waiters on many conditions; every token is taken although each push wakes one only.
TEST(EventCountStress, ProducersAndConsumers) {
  EventCount event;
  std::atomic<int64_t> tokens{0};
  std::atomic<int64_t> taken{0};
  constexpr int64_t kTokens = 40'000;
  constexpr int kThreads = 4;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      auto take = [&] {
        int64_t have = tokens.load(std::memory_order_relaxed);
        while (have > 0) {
          if (tokens.compare_exchange_weak(have, have - 1)) return true;
        }
        return false;
      };
      while (taken.load() < kTokens) {
        if (event.await([&] { return taken.load() >= kTokens || take(); }, kForEver) &&
            taken.load() < kTokens && taken.fetch_add(1) + 1 == kTokens) {
          event.notify_all();
        }
      }
    });
  }
  for (int64_t i = 0; i < kTokens; ++i) {
    tokens.fetch_add(1, std::memory_order_relaxed);
    event.notify_one();
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken.load(), kTokens);
}

}  // namespace
}  // namespace qaickit
