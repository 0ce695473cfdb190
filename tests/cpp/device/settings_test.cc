#include "device/settings.h"

#include <gtest/gtest.h>

#include "support/result.h"

namespace qaickit {
namespace {

using test::is_error;
using test::is_ok;

TEST(Settings, ReadsNumbersAndFlags) {
  const DeviceSettings settings{{"a", "2.5"}, {"b", "1"}, {"c", "1e3"}};
  SettingsReader reader(settings);
  EXPECT_EQ(reader.number("a", 0, 0, 10), 2.5);
  EXPECT_TRUE(reader.flag("b", false));
  EXPECT_EQ(reader.number("c", 0, 0, 1e9), 1000);
  EXPECT_EQ(reader.number("d", 7, 0, 10), 7);
  EXPECT_TRUE(reader.flag("e", true));
  EXPECT_TRUE(is_ok(reader.finish()));
}

TEST(Settings, UnknownNameListsTheKnown) {
  const DeviceSettings settings{{"latency", "2"}};
  SettingsReader reader(settings);
  (void)reader.number("latency_us", 0, 0, 1);
  (void)reader.flag("async", false);
  EXPECT_TRUE(is_error(reader.finish(), Code::kInvalidArgument, "unknown device setting 'latency'",
                       "latency_us, async"));
}

TEST(Settings, NothingIsKnown) {
  const DeviceSettings settings{{"x", "2"}};
  const SettingsReader reader(settings);
  EXPECT_TRUE(is_error(reader.finish(), Code::kInvalidArgument, "'x'", "knows none"));
  EXPECT_TRUE(is_ok(SettingsReader({}).finish()));
}

// A program over several devices: not a name to be looked up, but something that only cards do.
TEST(Settings, AMappingNeedsCards) {
  const DeviceSettings settings{{"dev_mapping", "0:1"}};
  EXPECT_TRUE(is_error(SettingsReader(settings).finish(), Code::kUnsupported, "dev_mapping",
                       "several devices", "qaic"));
  SettingsReader reader(settings);
  EXPECT_EQ(reader.text("dev_mapping", ""), "0:1");
  EXPECT_TRUE(is_ok(reader.finish()));
}

class SettingsValue : public ::testing::TestWithParam<const char*> {};

TEST_P(SettingsValue, IsRefused) {
  const DeviceSettings settings{{"rate", GetParam()}};
  SettingsReader reader(settings);
  EXPECT_EQ(reader.number("rate", 0.5, 0, 1), 0.5);
  EXPECT_TRUE(
      is_error(reader.finish(), Code::kInvalidArgument, "rate", "number from 0 to 1", GetParam()));
}

INSTANTIATE_TEST_SUITE_P(All, SettingsValue,
                         ::testing::Values("", "x", "0.5x", " 0.5", "2", "-0.1", "nan", "inf",
                                           "1e999"));

// The first mistake is the one reported.
TEST(Settings, FirstErrorWins) {
  const DeviceSettings settings{{"a", "x"}, {"b", "y"}, {"z", "1"}};
  SettingsReader reader(settings);
  (void)reader.number("a", 0, 0, 1);
  (void)reader.number("b", 0, 0, 1);
  EXPECT_TRUE(is_error(reader.finish(), Code::kInvalidArgument, "device setting a"));
}

}  // namespace
}  // namespace qaickit
