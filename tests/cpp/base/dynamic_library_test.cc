#include "base/dynamic_library.h"

#include <gtest/gtest.h>

#include "support/result.h"

namespace qaickit {
namespace {

using test::is_error;
using test::value_of;

TEST(DynamicLibrary, OpensTheFirstThatLoads) {
  const std::vector<std::string> candidates{"/nonexistent/libc.so", "libc.so.6", "libm.so.6"};
  const DynamicLibrary library = value_of(DynamicLibrary::open_first(candidates, "libc"));
  EXPECT_EQ(library.path(), "libc.so.6");
  EXPECT_NE(library.symbol("malloc"), nullptr);
  EXPECT_EQ(library.symbol("qaickit_has_no_such_symbol"), nullptr);
}

TEST(DynamicLibrary, ErrorListsEachPathAndWhy) {
  const std::vector<std::string> candidates{"/nonexistent/a.so", "/proc/version"};
  const Status status = DynamicLibrary::open_first(candidates, "Thing").status();
  EXPECT_TRUE(is_error(status, Code::kUnavailable, "Thing could not be loaded", "/nonexistent/a.so",
                       "No such file", "/proc/version"));
}

TEST(DynamicLibrary, ErrorWithoutCandidatesSaysSo) {
  EXPECT_TRUE(is_error(DynamicLibrary::open_first({}, "Thing").status(), Code::kUnavailable,
                       "Thing could not be loaded", "no file of that name"));
}

}  // namespace
}  // namespace qaickit
