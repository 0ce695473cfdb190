// Programs with several allowed shapes, on every backend.

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "qaickit/device.h"
#include "qaickit/session.h"
#include "subject.h"
#include "support/completions.h"
#include "support/onnx_bytes.h"
#include "support/programs.h"

namespace qaickit::test {
namespace {

// Copies of two inputs; the largest shape is the second of three.
ProgramSpec several_shapes() {
  ProgramSpec program;
  program.name = "several";
  program.inputs = {{"a", DType::kFloat32, {4, 6}}, {"b", DType::kInt64, {1, 3}}};
  program.outputs = {{"c", DType::kFloat32, {4, 6}}, {"d", DType::kInt64, {1, 3}}};
  program.allowed_shapes = {{{1, 6}, {1, 2}, {1, 6}, {1, 2}},
                            {{4, 6}, {1, 3}, {4, 6}, {1, 3}},
                            {{2, 3}, {1, 3}, {2, 3}, {1, 3}}};
  return program;
}

std::string open_graph(ProgramSpec program) {
  for (auto* specs : {&program.inputs, &program.outputs}) {
    for (TensorSpec& spec : *specs) std::ranges::fill(spec.dims, -1);
  }
  return echo_model(program);
}

std::vector<std::byte> pattern(size_t bytes, size_t seed) {
  std::vector<std::byte> data(bytes);
  for (size_t i = 0; i < bytes; ++i) data[i] = static_cast<std::byte>((seed * 31 + i * 7) % 127);
  return data;
}

class ShapesConformance : public ::testing::TestWithParam<Subject> {
 protected:
  void SetUp() override {
    const Backend* const backend = value_of(find_backend(GetParam().backend));
    const auto devices = backend->enumerate();
    if (devices.status().code() == Code::kUnavailable) {
      GTEST_SKIP() << devices.status().to_string();
    }
    device_ = value_of(backend->create(value_of(devices).at(0).id));
  }

  Result<std::shared_ptr<Program>> load(const ProgramSpec& spec, std::string_view graph) {
    ProgramOptions options;
    options.settings = GetParam().settings;
    return device_->load(make_qpc(spec, graph), options);
  }
  std::unique_ptr<ExecObj> exec_of(const ProgramSpec& spec) {
    const auto program = value_of(load(spec, open_graph(spec)));
    async_ = program->async();
    return value_of(value_of(program->activate())->create_exec_obj());
  }
  std::unique_ptr<Session> open(const ProgramSpec& spec) {
    SessionOptions options;
    options.backend = GetParam().backend;
    options.device_settings = GetParam().settings;
    return value_of(Session::open(make_qpc(spec, open_graph(spec)), options));
  }

  void expect_echo(ExecObj& exec, const ProgramSpec& spec, size_t set, size_t seed) const {
    for (size_t i = 0; i < exec.num_inputs(); ++i) {
      ASSERT_EQ(exec.input(i).size(), spec.bytes(set, i));
      ASSERT_EQ(exec.output(i).size(), spec.bytes(set, 2 + i));
      std::ranges::copy(pattern(exec.input(i).size(), seed + i), exec.input(i).begin());
      std::ranges::fill(exec.output(i), std::byte{0xee});
    }
    AwaitCompletion done;
    ASSERT_TRUE(is_ok(async_ ? exec.enqueue(done) : exec.run()));
    if (async_) {
      ASSERT_TRUE(is_ok(done.wait()));
    }
    for (size_t i = 0; i < exec.num_outputs(); ++i) {
      EXPECT_TRUE(std::ranges::equal(exec.output(i), pattern(exec.output(i).size(), seed + i)));
    }
  }

  std::shared_ptr<Device> device_;
  bool async_ = false;
};

TEST_P(ShapesConformance, StartsWithTheLargest) {
  const ProgramSpec spec = several_shapes();
  const auto exec = exec_of(spec);
  EXPECT_EQ(exec->shape_set(), 1u);
  expect_echo(*exec, spec, 1, 3);
}

TEST_P(ShapesConformance, EachSetRunsAndCanBeLeftAgain) {
  const ProgramSpec spec = several_shapes();
  const auto exec = exec_of(spec);
  for (const size_t set : {0u, 2u, 1u, 1u, 0u, 1u, 2u}) {
    ASSERT_TRUE(is_ok(exec->select_shapes(set)));
    EXPECT_EQ(exec->shape_set(), set);
    expect_echo(*exec, spec, set, set + 5);
  }
}

TEST_P(ShapesConformance, ASetThatIsNotThereIsRefusedAndChangesNothing) {
  const ProgramSpec spec = several_shapes();
  const auto exec = exec_of(spec);
  ASSERT_TRUE(is_ok(exec->select_shapes(2)));
  EXPECT_TRUE(is_error(exec->select_shapes(3), Code::kInvalidArgument, "3"));
  expect_echo(*exec, spec, 2, 9);
}

TEST_P(ShapesConformance, AnotherSetTakesBackWhatWasBound) {
  const ProgramSpec spec = several_shapes();
  const auto exec = exec_of(spec);
  const auto input = pattern(4 * 6 * 4, 1);
  std::vector<std::byte> output(input.size());
  ASSERT_TRUE(is_ok(exec->bind_input(0, input.data())));
  ASSERT_TRUE(is_ok(exec->bind_output(0, output.data())));
  ASSERT_TRUE(is_ok(exec->select_shapes(0)));
  EXPECT_NE(exec->input(0).data(), input.data());
  expect_echo(*exec, spec, 0, 2);
  EXPECT_EQ(output, std::vector<std::byte>(output.size()));
  // Bound memory is read in the new shape.
  ASSERT_TRUE(is_ok(exec->bind_input(0, input.data())));
  ASSERT_TRUE(is_ok(exec->bind_output(0, output.data())));
  AwaitCompletion done;
  ASSERT_TRUE(is_ok(async_ ? exec->enqueue(done) : exec->run()));
  if (async_) {
    ASSERT_TRUE(is_ok(done.wait()));
  }
  EXPECT_TRUE(std::equal(output.begin(), output.begin() + 24, input.begin()));
  EXPECT_EQ(output[24], std::byte{0});
}

TEST_P(ShapesConformance, AGraphThatCannotHaveAShapeIsRefused) {
  const Subject& subject = GetParam();
  if (!subject.computes ||
      subject.unsupported.contains("GraphThatIsNotWhatTheDescriptorSaysIsRefused")) {
    GTEST_SKIP() << "does not look at the graph when it loads";
  }
  ProgramSpec graph = several_shapes();
  // "a" and "c" stay as they are in the largest set.
  for (auto* specs : {&graph.inputs, &graph.outputs}) (*specs)[1].dims = {1, -1};
  EXPECT_TRUE(is_error(load(several_shapes(), echo_model(graph)).status(), Code::kDataLoss, "'a'",
                       "[1, 6]"));
}

TEST_P(ShapesConformance, ASessionPicksTheSetByTheSizes) {
  const ProgramSpec spec = several_shapes();
  const auto session = open(spec);
  for (size_t set = 0; set < 3; ++set) {
    const auto a = pattern(spec.bytes(set, 0), set + 1);
    const auto b = pattern(spec.bytes(set, 1), set + 2);
    std::vector<std::byte> c(a.size());
    std::vector<std::byte> d(b.size());
    const ConstBuffer in[] = {{a.data(), a.size()}, {b.data(), b.size()}};
    const MutableBuffer out[] = {{c.data(), c.size()}, {d.data(), d.size()}};
    ASSERT_TRUE(is_ok(session->run(in, out)));
    EXPECT_EQ(c, a);
    EXPECT_EQ(d, b);
    ASSERT_TRUE(is_ok(session->run(in, out, {set, 0})));
    EXPECT_EQ(value_of(session->benchmark(20, 0, in)).inferences, 20u);
    EXPECT_TRUE(
        is_error(session->run(in, out, {(set + 1) % 3, 0}), Code::kInvalidArgument, "expected"));
    EXPECT_TRUE(is_error(session->run(in, out, {3, 0}), Code::kInvalidArgument, "shape set 3"));
  }
  EXPECT_EQ(value_of(session->benchmark(20, 0, {})).inferences, 20u);
}

TEST_P(ShapesConformance, APartOfTheBatchComputesOnZerosBehindIt) {
  ProgramSpec spec;
  spec.name = "partial";
  spec.inputs = {{"a", DType::kFloat32, {4, 2}}, {"b", DType::kInt64, {3}}};
  spec.outputs = {{"c", DType::kFloat32, {4, 2}}, {"d", DType::kInt64, {3}}};
  spec.inputs[0].partial = true;
  const auto session = open(spec);
  const auto a = pattern(4 * 2 * 4, 1);
  const auto b = pattern(3 * 8, 2);
  for (const size_t rows : {1u, 3u, 4u, 2u}) {
    std::vector<std::byte> c(rows * 8);
    std::vector<std::byte> d(b.size());
    const ConstBuffer in[] = {{a.data(), rows * 8}, {b.data(), b.size()}};
    const MutableBuffer out[] = {{c.data(), c.size()}, {d.data(), d.size()}};
    const auto shape = RunShape{0, rows == 4 ? 0 : static_cast<int64_t>(rows)};
    ASSERT_TRUE(is_ok(session->run(in, out, shape)));
    EXPECT_TRUE(std::equal(c.begin(), c.end(), a.begin()));
    EXPECT_EQ(d, b);
  }
}

INSTANTIATE_TEST_SUITE_P(All, ShapesConformance, ::testing::ValuesIn(subjects()),
                         [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace qaickit::test
