#include "device/wheel_library.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "container/scratch.h"
#include "qaickit/device.h"
#include "support/environment.h"

namespace qaickit {
namespace {

using test::Environment;
using test::Scratch;

constexpr const char* kOverride = "QAICKIT_TEST_WHEEL_LIBRARY";

// A directory with `package/lib` that holds files of these names.
std::string package_dir(const Scratch& scratch, const std::string& dir,
                        const std::vector<std::string>& names) {
  std::filesystem::create_directories(scratch.path(dir + "/package/lib"));
  for (const std::string& name : names) scratch.write(dir + "/package/lib/" + name, {});
  return scratch.path(dir);
}

std::vector<std::string> candidates() {
  return wheel_library_candidates(kOverride, "package/lib", "libx.so", {"libx.so.1", "libx.so"});
}

TEST(WheelLibrary, OverrideStandsAlone) {
  const Environment environment(kOverride, "/some/where/libx.so");
  EXPECT_EQ(candidates(), std::vector<std::string>{"/some/where/libx.so"});
}

TEST(WheelLibrary, EmptyOverrideIsNone) {
  const Environment environment(kOverride, "");
  EXPECT_EQ(candidates().size(), 2u);
}

TEST(WheelLibrary, LoaderNamesComeLast) {
  const Environment environment(kOverride, nullptr);
  const Environment no_venv("VIRTUAL_ENV", nullptr);
  EXPECT_EQ(candidates(), (std::vector<std::string>{"libx.so.1", "libx.so"}));
}

TEST(WheelLibrary, NewestVersionFirstAndNothingElse) {
  const Scratch scratch;
  const Environment environment(kOverride, nullptr);
  const std::string dir = package_dir(
      scratch, "site", {"libx.so.1.9.0", "libx.so.1.10.2", "libx.so", "libxy.so", "libx.so_old"});
  add_package_dir(dir);
  add_package_dir(dir);  // listed once all the same
  add_package_dir(scratch.path("is not there"));
  const std::vector<std::string> found = candidates();
  ASSERT_EQ(found.size(), 5u);
  EXPECT_EQ(found[0], dir + "/package/lib/libx.so.1.10.2");
  EXPECT_EQ(found[1], dir + "/package/lib/libx.so.1.9.0");
  EXPECT_EQ(found[2], dir + "/package/lib/libx.so");
}

TEST(WheelLibrary, FindsTheActiveVirtualEnvironment) {
  const Scratch scratch;
  const Environment environment(kOverride, nullptr);
  const std::string dir = package_dir(scratch, "venv/lib/python3.99/site-packages", {"libx.so.2"});
  const Environment venv("VIRTUAL_ENV", scratch.path("venv").c_str());
  EXPECT_EQ(candidates().front(), dir + "/package/lib/libx.so.2");
}

}  // namespace
}  // namespace qaickit
