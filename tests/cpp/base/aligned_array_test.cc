#include "base/aligned_array.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>

namespace qaickit {
namespace {

TEST(AlignedArray, IsAlignedAndZeroed) {
  for (const size_t size : {1u, 127u, 128u, 129u, 4097u}) {
    const AlignedBuffer buffer(size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % kBufferAlignment, 0u);
    EXPECT_EQ(buffer.size(), size);
    EXPECT_TRUE(
        std::all_of(buffer.begin(), buffer.end(), [](std::byte b) { return b == std::byte{0}; }));
  }
}

TEST(AlignedArray, OfNothingHasAnAddress) {
  const AlignedBuffer buffer(0);
  EXPECT_NE(buffer.data(), nullptr);
  EXPECT_EQ(buffer.size(), 0u);
}

TEST(AlignedArray, MovesWithoutCopying) {
  AlignedArray<int> a(8);
  int* const data = a.data();
  data[7] = 3;
  AlignedArray<int> b = std::move(a);
  EXPECT_EQ(b.data(), data);
  AlignedArray<int> c(16);
  c = std::move(b);
  EXPECT_EQ(c.data(), data);
  EXPECT_EQ(c.size(), 8u);
  EXPECT_EQ(c[7], 3);
}

TEST(AlignedArray, SizeThatOverflowsIsRefused) {
  EXPECT_THROW(AlignedArray<uint64_t>{SIZE_MAX / 4}, std::bad_alloc);
  EXPECT_THROW(AlignedArray<std::byte>{SIZE_MAX}, std::bad_alloc);
}

}  // namespace
}  // namespace qaickit
