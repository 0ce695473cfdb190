#include <gtest/gtest.h>

#include <algorithm>

#include "subject.h"

namespace qaickit::test {
namespace {

// A backend without a row here would be one that nobody tests.
TEST(Conformance, EveryBackendHasARow) {
  for (const Backend& backend : backends()) {
    EXPECT_TRUE(std::any_of(subjects().begin(), subjects().end(), [&](const Subject& s) {
      return s.backend == backend.name;
    })) << backend.name;
  }
}

}  // namespace
}  // namespace qaickit::test
