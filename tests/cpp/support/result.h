#pragma once

#include <gtest/gtest.h>

#include <stdexcept>
#include <string_view>
#include <utility>

#include "qaickit/status.h"

namespace qaickit::test {

// The value, or the end of the test.
template <class T>
T value_of(Result<T> result) {
  if (!result.ok()) throw std::runtime_error(result.status().to_string());
  return std::move(result).value();
}

inline ::testing::AssertionResult is_ok(const Status& status) {
  if (status.ok()) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << status.to_string();
}

// An error of this code whose message holds all of `parts`.
template <class... Parts>
::testing::AssertionResult is_error(const Status& status, Code code, const Parts&... parts) {
  if (status.code() != code) {
    return ::testing::AssertionFailure()
           << "expected " << code_name(code) << ", got " << status.to_string();
  }
  for (const std::string_view part : {std::string_view(parts)..., std::string_view()}) {
    if (status.message().find(part) == std::string_view::npos) {
      return ::testing::AssertionFailure()
             << "expected '" << part << "' in: " << status.to_string();
    }
  }
  return ::testing::AssertionSuccess();
}

}  // namespace qaickit::test
