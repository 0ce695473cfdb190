#include "container/crc32c.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace qaickit {
namespace {

std::vector<std::byte> noise(size_t size) {
  std::vector<std::byte> data(size);
  uint32_t state = 1;
  for (std::byte& byte : data) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<std::byte>(state >> 24);
  }
  return data;
}

// RFC 3720, appendix B.4, and the customary check value.
TEST(Crc32c, PublishedVectors) {
  const std::string digits = "123456789";
  EXPECT_EQ(crc32c_blocks(as_byte_span(digits)), std::vector<uint32_t>{0xe3069283});
  EXPECT_EQ(~crc32c_portable(~0u, as_byte_span(digits)), 0xe3069283);
  EXPECT_EQ(crc32c_blocks(std::vector<std::byte>(32)), std::vector<uint32_t>{0x8a9136aa});
  EXPECT_EQ(crc32c_blocks(std::vector<std::byte>(32, std::byte{0xff})),
            std::vector<uint32_t>{0x62a8ab43});
  EXPECT_TRUE(crc32c_blocks({}).empty());
}

// Blocks in lanes, single blocks, a rest, pieces, and the path without the instruction.
TEST(Crc32c, AllPathsAgree) {
  const auto data = noise(6 * kCrcBlockBytes + 12345);
  const auto blocks = crc32c_blocks(data);
  ASSERT_EQ(blocks.size(), 7u);
  for (size_t i = 0; i < blocks.size(); ++i) {
    const size_t begin = i * kCrcBlockBytes;
    const size_t size = std::min(kCrcBlockBytes, data.size() - begin);
    EXPECT_EQ(blocks[i], ~crc32c_portable(~0u, Bytes(data).subspan(begin, size))) << i;
  }
  for (const size_t piece : {size_t{1000}, kCrcBlockBytes, size_t{5'000'000}}) {
    Crc32cBlocks pieces;
    for (size_t at = 0; at < data.size(); at += piece) {
      pieces.add(Bytes(data).subspan(at, std::min(piece, data.size() - at)));
    }
    EXPECT_EQ(pieces.finish(), blocks) << piece;
  }
}

}  // namespace
}  // namespace qaickit
