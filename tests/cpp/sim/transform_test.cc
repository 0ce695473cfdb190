#include "transform.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "support/result.h"

namespace qaickit::test {
namespace {

using qaicsim::Transform;

IoFormat format(DType dtype, std::vector<int32_t> dims, float scale = 0, int32_t offset = 0) {
  IoFormat format;
  format.dtype = dtype;
  format.quantised = scale != 0;
  format.scale = scale != 0 ? scale : 1.0f;
  format.offset = offset;
  format.dims = std::move(dims);
  return format;
}

IoStep convert(IoFormat before, IoFormat after) {
  return {IoStep::Kind::kConvert, std::move(before), std::move(after), {}};
}

template <class To, class From>
std::vector<To> apply(Transform& transform, const std::vector<From>& from) {
  EXPECT_EQ(transform.from_bytes(), from.size() * sizeof(From));
  std::vector<To> to(transform.to_bytes() / sizeof(To));
  transform.apply(reinterpret_cast<const std::byte*>(from.data()), from.size() * sizeof(From),
                  reinterpret_cast<std::byte*>(to.data()));
  return to;
}

TEST(SimTransform, NothingToDo) {
  EXPECT_TRUE(value_of(Transform::undo({})).is_identity());
  const IoFormat f = format(DType::kFloat32, {2, 3});
  const IoStep steps[] = {{IoStep::Kind::kCopy, f, f, {}}, convert(f, f)};
  const Transform transform = value_of(Transform::undo(steps));
  EXPECT_TRUE(transform.is_identity());
  EXPECT_EQ(transform.from_bytes(), 24u);
}

TEST(SimTransform, QuantisationIsUndone) {
  const IoStep steps[] = {
      convert(format(DType::kFloat32, {4}), format(DType::kUInt8, {4}, 0.5f, 10))};
  Transform transform = value_of(Transform::undo(steps));
  EXPECT_EQ((apply<float, uint8_t>(transform, {10, 0, 255, 13})),
            (std::vector<float>{0, -5, 122.5f, 1.5f}));
}

TEST(SimTransform, NumbersAreRoundedAndStopAtTheBounds) {
  const IoStep steps[] = {
      convert(format(DType::kInt8, {7}, 2.0f, -3), format(DType::kFloat32, {7}))};
  Transform transform = value_of(Transform::undo(steps));
  // 1 / 2 and 3 / 2 are ties: to even.
  EXPECT_EQ((apply<int8_t, float>(transform, {0, 1, 3, -1000, 1e9f, NAN, 5.2f})),
            (std::vector<int8_t>{-3, -3, -1, -128, 127, 0, 0}));
}

TEST(SimTransform, WholeNumbersKeepAllTheirBits) {
  const IoStep narrow[] = {convert(format(DType::kInt32, {3}), format(DType::kInt64, {3}))};
  Transform transform = value_of(Transform::undo(narrow));
  EXPECT_EQ((apply<int32_t, int64_t>(transform, {-7, int64_t{1} << 40, INT64_MIN})),
            (std::vector<int32_t>{-7, INT32_MAX, INT32_MIN}));
  const IoStep wide[] = {convert(format(DType::kInt64, {2}), format(DType::kInt32, {2}))};
  transform = value_of(Transform::undo(wide));
  EXPECT_EQ((apply<int64_t, int32_t>(transform, {INT32_MIN, 5})),
            (std::vector<int64_t>{INT32_MIN, 5}));
}

// Every half there is, to float and back.
TEST(SimTransform, HalvesGoThereAndBack) {
  constexpr int32_t kAll = 65536;
  std::vector<uint16_t> all(kAll);
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
  const IoFormat half = format(DType::kFloat16, {kAll});
  const IoFormat full = format(DType::kFloat32, {kAll});
  const IoStep widen[] = {convert(full, half)};
  const IoStep narrow[] = {convert(half, full)};
  Transform there = value_of(Transform::undo(widen));
  Transform back = value_of(Transform::undo(narrow));
  const std::vector<float> wide = apply<float>(there, all);
  EXPECT_EQ(wide[0x3c00], 1.0f);
  EXPECT_EQ(wide[0x0001], 0x1p-24f);
  EXPECT_EQ(wide[0x7bff], 65504.0f);
  EXPECT_EQ(wide[0xfc00], -INFINITY);
  EXPECT_TRUE(std::isnan(wide[0x7c01]));
  const std::vector<uint16_t> again = apply<uint16_t>(back, wide);
  // Halfway between a half and the next: to the even one, and the largest to infinity.
  std::vector<float> between(wide);
  for (size_t i = 0; i < 0x7bff; ++i) between[i] = (wide[i] + wide[i + 1]) / 2;
  between[0x7bff] = 65520.0f;
  const std::vector<uint16_t> rounded = apply<uint16_t>(back, between);
  for (size_t i = 0; i < all.size(); ++i) {
    if (std::isnan(wide[i])) {
      EXPECT_EQ(again[i] & 0x7fff, 0x7e00) << i;
    } else {
      EXPECT_EQ(again[i], i);
    }
    if (i <= 0x7bff) {
      EXPECT_EQ(rounded[i], i % 2 == 0 ? i : i + 1) << i;
    }
  }
}

TEST(SimTransform, DimsGoBackToTheirPlaces) {
  // Dim i of the card's is dim shuffle[i] of the user's: [2, 3, 4] -> [4, 2, 3].
  IoStep step{IoStep::Kind::kTranspose,
              format(DType::kInt16, {2, 3, 4}),
              format(DType::kInt16, {4, 2, 3}),
              {2, 0, 1}};
  Transform transform = value_of(Transform::undo({&step, 1}));
  std::vector<int16_t> of_card(24);
  for (int16_t a = 0; a < 4; ++a) {
    for (int16_t b = 0; b < 2; ++b) {
      for (int16_t c = 0; c < 3; ++c) {
        of_card[static_cast<size_t>((a * 2 + b) * 3 + c)] =
            static_cast<int16_t>(100 * b + 10 * c + a);
      }
    }
  }
  const std::vector<int16_t> of_user = apply<int16_t>(transform, of_card);
  for (int16_t b = 0; b < 2; ++b) {
    for (int16_t c = 0; c < 3; ++c) {
      for (int16_t a = 0; a < 4; ++a) {
        EXPECT_EQ(of_user[static_cast<size_t>((b * 3 + c) * 4 + a)], 100 * b + 10 * c + a);
      }
    }
  }
}

TEST(SimTransform, SeveralStepsAreUndoneInReverse) {
  const IoFormat user = format(DType::kFloat32, {2, 3});
  const IoFormat quantised = format(DType::kInt8, {2, 3}, 0.5f);
  const IoFormat transposed = format(DType::kInt8, {3, 2}, 0.5f);
  const IoStep steps[] = {convert(user, quantised),
                          {IoStep::Kind::kTranspose, quantised, transposed, {1, 0}}};
  Transform transform = value_of(Transform::undo(steps));
  EXPECT_EQ((apply<float, int8_t>(transform, {0, 6, 2, 8, 4, 10})),
            (std::vector<float>{0, 1, 2, 3, 4, 5}));
  // What was not given is zero.
  const int8_t given[] = {2, 2};
  float to[6];
  transform.apply(reinterpret_cast<const std::byte*>(given), 2, reinterpret_cast<std::byte*>(to));
  EXPECT_EQ(to[0], 1);
  EXPECT_EQ(to[3], 1);
  EXPECT_EQ(to[1], 0);
}

TEST(SimTransform, WhatDoesNotFitIsRefused) {
  const IoFormat user = format(DType::kFloat32, {2, 3});
  const auto refused = [](IoStep step) { return Transform::undo({&step, 1}).status(); };
  IoFormat tiled = user;
  tiled.flat = false;
  EXPECT_TRUE(
      is_error(refused({IoStep::Kind::kRetile, user, user, {}}), Code::kUnsupported, "D32"));
  EXPECT_TRUE(is_error(refused(convert(user, tiled)), Code::kUnsupported, "D32"));
  EXPECT_TRUE(is_error(refused(convert(user, format(DType::kInt8, {7}))), Code::kDataLoss, "dims"));
  EXPECT_TRUE(is_error(refused(convert(user, format(DType::kInt8, {-2, -3}))), Code::kDataLoss));
  EXPECT_TRUE(is_error(refused(convert(format(DType::kInt8, {INT32_MAX, INT32_MAX, INT32_MAX}),
                                       format(DType::kInt8, {INT32_MAX, INT32_MAX, INT32_MAX}))),
                       Code::kDataLoss));
  const IoFormat turned = format(DType::kFloat32, {3, 2});
  for (const std::vector<int32_t>& shuffle :
       {std::vector<int32_t>{}, {0, 1}, {1, 1}, {1, 2}, {-1, 0}, {1, 0, 2}}) {
    EXPECT_TRUE(is_error(refused({IoStep::Kind::kTranspose, user, turned, shuffle}),
                         Code::kDataLoss, "transposition"));
  }
  const IoStep apart[] = {convert(user, user), convert(format(DType::kInt8, {5}), turned)};
  EXPECT_FALSE(Transform::undo(apart).ok());
}

}  // namespace
}  // namespace qaickit::test
