#include "container/text.h"

#include <gtest/gtest.h>

namespace qaickit {
namespace {

TEST(Text, WellFormedUtf8) {
  for (const char* text : {"", "input_ids", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                           "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(is_utf8(text)) << printable(text);
  }
}

TEST(Text, MalformedUtf8) {
  for (const char* text :
       {"\x80", "\xc3", "\xc0\xaf", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xe2\x82", "\xe2\x28\xa1", "\xc3\xc3"}) {
    EXPECT_FALSE(is_utf8(text)) << printable(text);
  }
}

TEST(Text, PrintableNeverHoldsRawBytes) {
  EXPECT_EQ(printable("ids"), "'ids'");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "'a\\x00b'");
  EXPECT_EQ(printable("\x1b[31m'\\\xff"), "'\\x1b[31m\\x27\\x5c\\xff'");
  EXPECT_EQ(printable(std::string(5000, 'x')), "'" + std::string(100, 'x') + "...'");
}

}  // namespace
}  // namespace qaickit
