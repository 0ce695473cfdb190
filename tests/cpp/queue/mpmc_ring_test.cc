#include "queue/mpmc_ring.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace qaickit {
namespace {

TEST(MpmcRing, CapacityIsAPowerOfTwo) {
  EXPECT_EQ(MpmcRing<int>(0).capacity(), 2u);
  EXPECT_EQ(MpmcRing<int>(2).capacity(), 2u);
  EXPECT_EQ(MpmcRing<int>(5).capacity(), 8u);
}

TEST(MpmcRing, FullAndEmpty) {
  MpmcRing<int> ring(4);
  int value = -1;
  EXPECT_TRUE(ring.empty());
  EXPECT_FALSE(ring.try_pop(value));
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(ring.try_push(i));
  EXPECT_FALSE(ring.try_push(4));
  EXPECT_EQ(ring.size(), 4u);
  EXPECT_FALSE(ring.empty());
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(ring.try_pop(value));
    EXPECT_EQ(value, i);
  }
  EXPECT_FALSE(ring.try_pop(value));
  EXPECT_TRUE(ring.empty());
  EXPECT_EQ(ring.size(), 0u);
}

// Many laps at every fill level: a cell must become free again for the right position only.
TEST(MpmcRing, LapsInOrder) {
  for (size_t fill = 1; fill <= 8; ++fill) {
    MpmcRing<uint64_t> ring(8);
    uint64_t pushed = 0;
    uint64_t popped = 0;
    while (popped < 1000) {
      while (ring.size() < fill) ASSERT_TRUE(ring.try_push(pushed++));
      uint64_t value = 0;
      ASSERT_TRUE(ring.try_pop(value));
      ASSERT_EQ(value, popped++);
    }
  }
}

// Every value comes out once, and those of one producer in their order for each consumer.
void contend(size_t capacity, uint64_t producers, uint64_t consumers, uint64_t per_producer) {
  MpmcRing<uint64_t> ring(capacity);
  std::vector<std::atomic<uint8_t>> seen(producers * per_producer);
  std::atomic<uint64_t> left{seen.size()};
  std::atomic<uint64_t> disorder{0};
  std::vector<std::thread> threads;
  for (uint64_t p = 0; p < producers; ++p) {
    threads.emplace_back([&, p] {
      for (uint64_t i = 0; i < per_producer; ++i) {
        while (!ring.try_push(p * per_producer + i)) std::this_thread::yield();
      }
    });
  }
  for (uint64_t c = 0; c < consumers; ++c) {
    threads.emplace_back([&] {
      std::vector<int64_t> last(producers, -1);
      while (left.load(std::memory_order_relaxed) > 0) {
        uint64_t value = 0;
        if (!ring.try_pop(value)) {
          std::this_thread::yield();
          continue;
        }
        left.fetch_sub(1, std::memory_order_relaxed);
        seen[value].fetch_add(1, std::memory_order_relaxed);
        auto& newest = last[value / per_producer];
        const auto position = static_cast<int64_t>(value % per_producer);
        if (position <= newest) disorder.fetch_add(1);
        newest = position;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < seen.size(); ++i) ASSERT_EQ(seen[i].load(), 1u) << "value " << i;
  EXPECT_EQ(disorder.load(), 0u);
  EXPECT_TRUE(ring.empty());
}

TEST(MpmcRingStress, SmallestRing) { contend(2, 3, 3, 20'000); }
TEST(MpmcRingStress, OneProducer) { contend(64, 1, 4, 50'000); }
TEST(MpmcRingStress, OneConsumer) { contend(64, 4, 1, 20'000); }
TEST(MpmcRingStress, ManyOfBoth) { contend(1024, 4, 4, 20'000); }

// What the producer wrote before is visible after: the ring is the only synchronisation.
TEST(MpmcRingStress, PublishesMemory) {
  MpmcRing<int*> ring(4);
  constexpr int kCount = 20'000;
  std::vector<int> memory(kCount, 0);
  std::thread producer([&] {
    for (int& value : memory) {
      value = 1;
      while (!ring.try_push(&value)) std::this_thread::yield();
    }
  });
  int sum = 0;
  for (int received = 0; received < kCount;) {
    int* value = nullptr;
    if (!ring.try_pop(value)) {
      std::this_thread::yield();
      continue;
    }
    sum += *value;
    ++received;
  }
  producer.join();
  EXPECT_EQ(sum, kCount);
}

}  // namespace
}  // namespace qaickit
