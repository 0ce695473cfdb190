#include "base/affinity.h"

#include <gtest/gtest.h>

#include <thread>

#include "support/result.h"

namespace qaickit {
namespace {

using test::is_error;
using test::is_ok;

TEST(Affinity, PinsToAnAllowedCpu) {
  const std::vector<int> cpus = allowed_cpus();
  ASSERT_FALSE(cpus.empty());
  std::thread([&] {
    EXPECT_TRUE(is_ok(pin_this_thread(cpus.back())));
    EXPECT_EQ(allowed_cpus(), std::vector<int>{cpus.back()});
  }).join();
  EXPECT_EQ(allowed_cpus(), cpus);
}

TEST(Affinity, CpuThatDoesNotExistIsAnErrorAndNothingElse) {
  const std::vector<int> cpus = allowed_cpus();
  EXPECT_TRUE(is_error(pin_this_thread(-1), Code::kInvalidArgument, "-1"));
  EXPECT_TRUE(is_error(pin_this_thread(1 << 20), Code::kInvalidArgument));
  EXPECT_FALSE(pin_this_thread(1023).ok());
  EXPECT_EQ(allowed_cpus(), cpus);
}

}  // namespace
}  // namespace qaickit
