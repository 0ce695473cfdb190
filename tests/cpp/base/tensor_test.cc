#include "qaickit/tensor.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <vector>

#include "support/result.h"

namespace qaickit {
namespace {

using test::is_error;

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

TEST(DType, NamesRoundTrip) {
  for (int i = 0; i <= static_cast<int>(DType::kBool); ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_EQ(dtype_from_name(dtype_name(dtype)), dtype);
    EXPECT_GE(dtype_bytes(dtype), 1u);
  }
  EXPECT_EQ(dtype_bytes(DType::kBFloat16), 2u);
  EXPECT_EQ(dtype_bytes(DType::kUInt64), 8u);
  EXPECT_EQ(dtype_from_name("float"), std::nullopt);
  EXPECT_EQ(dtype_from_name(""), std::nullopt);
}

TEST(CheckedBytes, MultipliesDims) {
  const auto bytes = [](std::vector<int64_t> dims) { return *checked_bytes(dims, 4); };
  EXPECT_EQ(bytes({}), 4u);
  EXPECT_EQ(bytes({2, 3}), 24u);
  EXPECT_EQ(bytes({2, 0, 3}), 0u);
}

TEST(CheckedBytes, RefusesWhatCannotBeAddressed) {
  const auto status = [](std::vector<int64_t> dims) { return checked_bytes(dims, 8).status(); };
  EXPECT_TRUE(is_error(status({2, -1}), Code::kInvalidArgument, "[2, -1]"));
  EXPECT_TRUE(is_error(status({kMax, 3}), Code::kInvalidArgument, "too large"));
  EXPECT_TRUE(is_error(status({kMax, 2, 0}), Code::kInvalidArgument));
}

TEST(TensorSpec, BytesAreZeroWhenDimsAreNotValid) {
  EXPECT_EQ((TensorSpec{"x", DType::kFloat16, {2, 8}}.bytes()), 32u);
  EXPECT_EQ((TensorSpec{"x", DType::kFloat16, {}}.bytes()), 2u);
  EXPECT_EQ((TensorSpec{"x", DType::kFloat16, {-2}}.bytes()), 0u);
  EXPECT_EQ((TensorSpec{"x", DType::kFloat64, {kMax, 4}}.bytes()), 0u);
}

TEST(TensorSpec, NamesForMessages) {
  const std::vector<TensorSpec> specs{{"a", DType::kBool, {}}, {"b", DType::kBool, {}}};
  EXPECT_EQ(names_of(specs), "'a', 'b'");
  EXPECT_EQ(names_of({}), "none");
}

}  // namespace
}  // namespace qaickit
