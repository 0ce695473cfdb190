#include <gtest/gtest.h>

#include "qaickit/qpc.h"
#include "qpc_bytes.h"
#include "support/result.h"

namespace qaickit {
namespace {

using namespace test;

ProgramSpec batches() {
  ProgramSpec program;
  program.name = "batches";
  program.inputs = {
      {"a", DType::kFloat32, {4, 2}}, {"b", DType::kInt8, {4}}, {"k", DType::kInt8, {3}}};
  program.outputs = {{"c", DType::kFloat32, {4, 5}}, {"d", DType::kFloat32, {7}}};
  program.inputs[0].partial = program.inputs[1].partial = true;
  return program;
}

Result<RunShape> match(const ProgramSpec& program, const std::vector<std::vector<int64_t>>& dims) {
  return match_shapes(program, std::vector<std::span<const int64_t>>(dims.begin(), dims.end()));
}

TEST(Shapes, WithoutAllowedShapesThereIsOneSet) {
  const ProgramSpec program = batches();
  EXPECT_EQ(program.num_shape_sets(), 1u);
  EXPECT_EQ(program.default_shape_set(), 0u);
  EXPECT_EQ(program.bytes(0, 3), 80u);
  const RunShape shape = value_of(match(program, {{4, 2}, {4}, {3}}));
  EXPECT_EQ(shape.set, 0u);
  EXPECT_EQ(shape.rows, 0);
}

TEST(Shapes, PartOfABatchCutsWhatHasTheBatchsFirstDim) {
  const ProgramSpec program = batches();
  const RunShape shape = value_of(match(program, {{3, 2}, {3}, {3}}));
  EXPECT_EQ(shape.rows, 3);
  EXPECT_EQ(run_dims(program, shape, 0), (std::vector<int64_t>{3, 2}));
  EXPECT_EQ(run_dims(program, shape, 2), (std::vector<int64_t>{3}));
  EXPECT_EQ(run_dims(program, shape, 3), (std::vector<int64_t>{3, 5}));
  EXPECT_EQ(run_dims(program, shape, 4), (std::vector<int64_t>{7}));
  EXPECT_EQ(run_bytes(program, shape, 3), 60u);
  EXPECT_EQ(run_bytes(program, shape, 4), 28u);
}

TEST(Shapes, WhatFitsNoneIsToldWithWhatWould) {
  ProgramSpec program = batches();
  const std::string message = std::string(match(program, {{5, 2}, {5}, {3}}).status().message());
  EXPECT_EQ(message,
            "No matching dimension found: got 'a' [5, 2], 'b' [5], 'k' [3]; allowed are 'a' [4, "
            "2], 'b' [4], 'k' [3]. A smaller first dim is allowed for 'a', 'b'");
  for (const auto& dims :
       std::vector<std::vector<std::vector<int64_t>>>{{{0, 2}, {0}, {3}},  // no samples
                                                      {{3, 2}, {2}, {3}},  // not the same number
                                                      {{3, 2}, {4}, {3}},  // one whole
                                                      {{3, 1}, {3}, {3}},  // another dim
                                                      {{3}, {3}, {3}},     // another rank
                                                      {{4, 2}, {4}, {2}},  // not partial
                                                      {{4, 2}, {}, {3}}}) {
    EXPECT_EQ(match(program, dims).status().code(), Code::kInvalidArgument);
  }
  program.allowed_shapes = {{{1, 2}, {1}, {3}, {1, 5}, {7}}, {{4, 2}, {4}, {3}, {4, 5}, {7}}};
  EXPECT_NE(match(program, {{5, 2}, {5}, {3}})
                .status()
                .message()
                .find("'a' [1, 2], 'b' [1], 'k' [3]; or 'a' [4, 2]"),
            std::string_view::npos);
}

TEST(Shapes, ASetOfItsOwnComesBeforeAPartOfAnother) {
  ProgramSpec program = batches();
  program.allowed_shapes = {{{4, 2}, {4}, {3}, {4, 5}, {7}}, {{1, 2}, {1}, {3}, {1, 5}, {6}}};
  EXPECT_EQ(program.default_shape_set(), 0u);
  EXPECT_EQ(value_of(match(program, {{1, 2}, {1}, {3}})).set, 1u);
  const RunShape part = value_of(match(program, {{2, 2}, {2}, {3}}));
  EXPECT_EQ(part.set, 0u);
  EXPECT_EQ(part.rows, 2);
}

}  // namespace
}  // namespace qaickit
