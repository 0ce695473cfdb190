#include "qaickit/status.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace qaickit {
namespace {

TEST(Status, SuccessIsEmpty) {
  const Status status;
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(status.code(), Code::kOk);
  EXPECT_EQ(status.message(), "");
  EXPECT_EQ(status.to_string(), "OK");
  EXPECT_TRUE(Status(Code::kOk, "ignored").ok());
}

TEST(Status, ErrorKeepsCodeAndMessage) {
  const Status status(Code::kTimedOut, "too slow");
  const Status copy = status;
  EXPECT_FALSE(copy.ok());
  EXPECT_EQ(copy.code(), Code::kTimedOut);
  EXPECT_EQ(copy.message(), "too slow");
  EXPECT_EQ(copy.to_string(), "TIMED_OUT: too slow");
}

TEST(Status, ContextComesFirst) {
  EXPECT_EQ(Status(Code::kNotFound, "b").with_context("a").to_string(), "NOT_FOUND: a: b");
  EXPECT_TRUE(Status().with_context("a").ok());
}

TEST(Status, EveryCodeHasItsOwnName) {
  std::vector<std::string_view> names;
  for (int code = 0; code <= static_cast<int>(Code::kInternal); ++code) {
    names.push_back(code_name(static_cast<Code>(code)));
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::unique(names.begin(), names.end()), names.end());
  EXPECT_EQ(code_name(static_cast<Code>(200)), "INTERNAL");
}

TEST(Result, HoldsValueOrStatus) {
  const Result<std::string> value(std::string("x"));
  EXPECT_TRUE(value.ok());
  EXPECT_EQ(*value, "x");
  EXPECT_TRUE(value.status().ok());
  const Result<std::string> error(Status(Code::kNotFound, "gone"));
  EXPECT_FALSE(error.ok());
  EXPECT_EQ(error.status().code(), Code::kNotFound);
}

// The value type may itself be made from a Status.
TEST(Result, OfMoveOnlyType) {
  Result<std::unique_ptr<int>> result(std::make_unique<int>(7));
  const std::unique_ptr<int> moved = std::move(result).value();
  EXPECT_EQ(*moved, 7);
}

Status fail_if(bool fail) { return fail ? Status(Code::kClosed, "asked to") : Status(); }
Result<int> seven_unless(bool fail) {
  QAICKIT_RETURN_IF_ERROR(fail_if(fail));
  return 7;
}
Result<int> sum_of(bool fail_second) {
  QAICKIT_ASSIGN_OR_RETURN(const int first, seven_unless(false));
  QAICKIT_ASSIGN_OR_RETURN(const int second, seven_unless(fail_second));
  return first + second;
}

TEST(Result, MacrosPassErrorsOn) {
  EXPECT_EQ(*sum_of(false), 14);
  EXPECT_EQ(sum_of(true).status().code(), Code::kClosed);
}

}  // namespace
}  // namespace qaickit
