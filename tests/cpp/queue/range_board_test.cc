#include "queue/range_board.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace qaickit {
namespace {

TEST(RangeBoard, StartsDoneAndEmpty) {
  RangeBoard<int> board;
  EXPECT_TRUE(board.done());
  EXPECT_TRUE(board.empty());
  EXPECT_EQ(board.remaining(), 0u);
  EXPECT_TRUE(board.claim(10).empty());
}

TEST(RangeBoard, ClaimsPartsInOrder) {
  const std::vector<int> items{0, 1, 2, 3, 4, 5, 6};
  RangeBoard<int> board;
  board.offer(items);
  EXPECT_FALSE(board.done());
  EXPECT_EQ(board.remaining(), 7u);
  EXPECT_TRUE(board.claim(0).empty());
  const auto first = board.claim(3);
  EXPECT_EQ(first.data(), items.data());
  EXPECT_EQ(first.size(), 3u);
  const auto rest = board.claim(SIZE_MAX);
  EXPECT_EQ(rest.data(), items.data() + 3);
  EXPECT_EQ(rest.size(), 4u);
  EXPECT_TRUE(board.empty());
  EXPECT_FALSE(board.done());
  EXPECT_FALSE(board.release(4));  // in any order
  EXPECT_TRUE(board.release(3));
  EXPECT_TRUE(board.done());
}

TEST(RangeBoard, OneArrayAfterAnother) {
  RangeBoard<int> board;
  for (int round = 0; round < 100; ++round) {
    const std::vector<int> items(static_cast<size_t>(round % 3 + 1), round);
    board.offer(items);
    for (size_t i = 0; i < items.size(); ++i) {
      const auto part = board.claim(1);
      ASSERT_EQ(part.data(), items.data() + i);
      ASSERT_EQ(board.release(1), i + 1 == items.size());
    }
    ASSERT_TRUE(board.done());
  }
}

// Consumers claim at odd limits from generations of arrays, which are freed when done.
void contend(size_t consumers, std::vector<size_t> sizes, uint64_t generations) {
  RangeBoard<uint64_t> board;
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> claimed{0};
  std::atomic<uint64_t> sum{0};
  std::vector<std::thread> threads;
  for (size_t c = 0; c < consumers; ++c) {
    threads.emplace_back([&, c] {
      const size_t limits[] = {1, 3, 7, SIZE_MAX, 2 + c};
      for (size_t i = c; !stop.load(std::memory_order_relaxed); ++i) {
        const auto part = board.claim(limits[i % std::size(limits)]);
        if (part.empty()) {
          std::this_thread::yield();
          continue;
        }
        uint64_t part_sum = 0;
        for (const uint64_t value : part) part_sum += value;
        sum.fetch_add(part_sum, std::memory_order_relaxed);
        claimed.fetch_add(part.size(), std::memory_order_relaxed);
        board.release(part.size());
      }
    });
  }
  uint64_t offered = 0;
  uint64_t expected = 0;
  for (uint64_t g = 0; g < generations; ++g) {
    // New memory each time: a claim that mixes two generations reads freed memory.
    const size_t size = sizes[g % sizes.size()];
    const auto items = std::make_unique<uint64_t[]>(size);
    for (size_t i = 0; i < size; ++i) expected += items[i] = offered + i;
    offered += size;
    board.offer({items.get(), size});
    while (!board.done()) std::this_thread::yield();
    ASSERT_EQ(claimed.load(std::memory_order_relaxed), offered) << "after generation " << g;
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sum.load(), expected);
}

TEST(RangeBoardStress, SizeOne) { contend(3, {1}, 5'000); }
TEST(RangeBoardStress, OddSizes) { contend(3, {1, 2, 3, 17, 1, 101}, 3'000); }
TEST(RangeBoardStress, BigArrays) { contend(4, {50'000, 1, 9'999}, 30); }

}  // namespace
}  // namespace qaickit
