#include "container/sha256.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "container/byte_range.h"
#include "container/text.h"

namespace qaickit {
namespace {

struct Vector {
  std::string message;
  const char* digest;
};

// The examples that NIST publishes with FIPS 180-4.
const Vector kVectors[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnop"
     "q"
     "rsmnopqrstnopqrstu",
     "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
    {std::string(1000000, 'a'), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
};

TEST(Sha256, NistVectors) {
  for (const Vector& vector : kVectors) {
    EXPECT_EQ(to_hex(sha256(as_byte_span(vector.message))), vector.digest);
    EXPECT_EQ(to_hex(sha256_portable(as_byte_span(vector.message))), vector.digest);
  }
}

// Every length around the block limits, and every alignment, on both paths.
TEST(Sha256, PathsAgree) {
  std::string text;
  for (int i = 0; i < 400; ++i) text += static_cast<char>(i * 31 + i / 7);
  const Bytes bytes = as_byte_span(text);
  for (size_t length = 0; length < 300; ++length) {
    const Bytes part = bytes.subspan(length % 16, length);
    EXPECT_EQ(sha256(part), sha256_portable(part)) << length;
  }
}

TEST(Sha256, PiecesMakeTheWhole) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += static_cast<char>(i * 17 + i / 5);
  const Bytes bytes = as_byte_span(text);
  for (const size_t piece : {1, 3, 63, 64, 65, 128, 200, 999}) {
    for (const bool portable : {false, true}) {
      Sha256 hash(portable);
      for (size_t at = 0; at < bytes.size(); at += piece) {
        hash.add(bytes.subspan(at, std::min(piece, bytes.size() - at)));
        hash.add({});
      }
      EXPECT_EQ(hash.finish(), sha256(bytes)) << piece;
    }
  }
}

}  // namespace
}  // namespace qaickit
