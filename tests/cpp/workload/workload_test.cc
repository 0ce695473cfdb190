#include "qaickit/workload.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <numeric>
#include <vector>

#include "support/answer_log.h"
#include "support/fake_device.h"

namespace qaickit {
namespace {

using test::echo_program;
using test::FakeExecObj;
using test::is_error;
using test::is_ok;
using test::samples_from;
using test::value_of;

// Keeps a copy of each answer.
struct Sink final : ResponseSink {
  Status prepare(uint32_t slots, uint32_t max_batch) override {
    this->slots = slots;
    this->max_batch = max_batch;
    return {};
  }
  void respond(uint32_t slot, std::span<const Response> responses) noexcept override {
    EXPECT_LT(slot, slots);
    EXPECT_LE(responses.size(), max_batch);
    for (const Response& r : responses) {
      const auto* data = static_cast<const std::byte*>(r.data);
      answers[r.id].assign(data, data + r.bytes);
    }
  }
  void fail(std::span<const Sample> samples, const Status& why) noexcept override {
    for (const Sample& sample : samples) failures[sample.id] = why;
  }
  template <class T>
  T answer(uint64_t id) const {
    T value{};
    EXPECT_EQ(answers.at(id).size(), sizeof value);
    std::memcpy(&value, answers.at(id).data(), sizeof value);
    return value;
  }

  uint32_t slots = 0;
  uint32_t max_batch = 0;
  std::map<uint64_t, std::vector<std::byte>> answers;
  std::map<uint64_t, Status> failures;
};

template <class T>
SampleArray array_of(const std::vector<T>& values) {
  return {values.data(), values.size() * sizeof(T)};
}

FakeExecObj exec_for(const ProgramSpec& program) {
  return FakeExecObj(program, std::make_shared<FakeExecObj::Behaviour>());
}

std::vector<uint64_t> indices_up_to(size_t count) {
  std::vector<uint64_t> indices(count);
  std::iota(indices.begin(), indices.end(), uint64_t{0});
  return indices;
}

std::vector<Sample> samples_of(std::vector<uint64_t> indices) {
  std::vector<Sample> samples;
  for (const uint64_t index : indices) samples.push_back({100 + index, index});
  return samples;
}

// A data set for an echo program: element j of sample i is 1000 * i + j.
std::vector<int64_t> data_set(size_t samples, size_t row) {
  std::vector<int64_t> values(samples * row);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<int64_t>(1000 * (i / row) + i % row);
  }
  return values;
}

// Element j of the row that the device would read.
int64_t input_at(const ExecObj& exec, size_t row, size_t row_elements, size_t j = 0) {
  int64_t value = 0;
  std::memcpy(&value, exec.input(0).data() + (row * row_elements + j) * sizeof value, sizeof value);
  return value;
}

class Gather : public ::testing::Test {
 protected:
  static constexpr size_t kRow = 600;  // x 8 bytes: above what is copied rather than bound
  static constexpr size_t kSamples = 10;
  static constexpr int32_t kBatch = 4;

  void SetUp() override {
    workload = value_of(Workload::create("raw", program, {array_of(values)}, sink));
    ASSERT_TRUE(is_ok(workload->prepare(1, kBatch)));
  }
  Status gather(const std::vector<Sample>& samples) { return workload->gather({samples, exec, 0}); }
  void expect_inputs(const std::vector<Sample>& samples) {
    for (size_t row = 0; row < samples.size(); ++row) {
      const auto first = static_cast<int64_t>(1000 * samples[row].index);
      EXPECT_EQ(input_at(exec, row, kRow), first);
      EXPECT_EQ(input_at(exec, row, kRow, kRow - 1), first + static_cast<int64_t>(kRow) - 1);
    }
  }

  ProgramSpec program = echo_program(kBatch, kRow);
  std::vector<int64_t> values = data_set(kSamples, kRow);
  Sink sink;
  FakeExecObj exec = exec_for(program);
  std::byte* const own = exec.input(0).data();
  std::unique_ptr<Workload> workload;
};

TEST_F(Gather, LoadedSamplesArePinnedUntilTheyGo) {
  std::vector<size_t> pinned;
  auto token = std::make_shared<int>();
  workload->pin_with([&](std::span<std::byte> memory) {
    pinned.push_back(memory.size());
    return token;
  });
  ASSERT_TRUE(is_ok(workload->load(indices_up_to(3))));
  EXPECT_EQ(pinned, std::vector<size_t>{3 * kRow * sizeof(int64_t)});
  EXPECT_EQ(token.use_count(), 2);
  workload->unload(indices_up_to(3));
  EXPECT_EQ(token.use_count(), 1);
  ASSERT_TRUE(is_ok(workload->load(indices_up_to(2))));
  EXPECT_EQ(token.use_count(), 2);
  workload.reset();
  EXPECT_EQ(token.use_count(), 1);
}

TEST_F(Gather, BindsWhatLiesSideBySide) {
  EXPECT_EQ(workload->total_samples(), kSamples);
  ASSERT_TRUE(is_ok(workload->load(indices_up_to(kSamples))));
  ASSERT_TRUE(is_ok(gather(samples_of({0, 1, 2, 3}))));
  std::byte* const block = exec.input(0).data();
  EXPECT_NE(block, own);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % 64, 0u);
  expect_inputs(samples_of({0, 1, 2, 3}));
  ASSERT_TRUE(is_ok(gather(samples_of({5, 6, 7, 8}))));
  EXPECT_EQ(exec.input(0).data(), block + 5 * kRow * sizeof(int64_t));  // not a byte was copied
  expect_inputs(samples_of({5, 6, 7, 8}));
}

TEST_F(Gather, BindsInTheOrderOfTheLoad) {
  ASSERT_TRUE(is_ok(workload->load(std::vector<uint64_t>{7, 3, 9, 1})));
  ASSERT_TRUE(is_ok(gather(samples_of({7, 3, 9, 1}))));
  EXPECT_NE(exec.input(0).data(), own);
  expect_inputs(samples_of({7, 3, 9, 1}));
  ASSERT_TRUE(is_ok(gather(samples_of({1, 9, 3, 7}))));
  EXPECT_EQ(exec.input(0).data(), own);
  expect_inputs(samples_of({1, 9, 3, 7}));
}

TEST_F(Gather, CopiesScatteredSamples) {
  ASSERT_TRUE(is_ok(workload->load(indices_up_to(kSamples))));
  ASSERT_TRUE(is_ok(gather(samples_of({4, 5, 6, 7}))));  // leaves them bound
  for (const auto& indices :
       std::vector<std::vector<uint64_t>>{{0, 2, 4, 6}, {3, 2, 1, 0}, {5, 5, 5, 5}, {8, 9, 0, 1}}) {
    ASSERT_TRUE(is_ok(gather(samples_of(indices))));
    EXPECT_EQ(exec.input(0).data(), own);
    expect_inputs(samples_of(indices));
  }
}

// The device reads a whole batch: a part-filled one is bound only where the block has the rest.
TEST_F(Gather, PartFilledBatch) {
  ASSERT_TRUE(is_ok(workload->load(indices_up_to(kSamples))));
  ASSERT_TRUE(is_ok(gather(samples_of({6, 7}))));
  EXPECT_NE(exec.input(0).data(), own);
  expect_inputs(samples_of({6, 7}));
  for (const auto& indices : std::vector<std::vector<uint64_t>>{{7, 8, 9}, {9}}) {
    ASSERT_TRUE(is_ok(gather(samples_of(indices))));
    EXPECT_EQ(exec.input(0).data(), own);
    expect_inputs(samples_of(indices));
  }
}

TEST_F(Gather, FewerSamplesLoadedThanABatchHolds) {
  ASSERT_TRUE(is_ok(workload->load(std::vector<uint64_t>{2, 3})));
  ASSERT_TRUE(is_ok(gather(samples_of({2, 3}))));
  EXPECT_EQ(exec.input(0).data(), own);
  expect_inputs(samples_of({2, 3}));
}

TEST_F(Gather, SampleThatIsNotLoadedIsAnError) {
  const auto refused = [&](uint64_t index) {
    return is_error(gather(samples_of({index})), Code::kFailedPrecondition, std::to_string(index),
                    "not loaded");
  };
  EXPECT_TRUE(refused(0));
  ASSERT_TRUE(is_ok(workload->load(std::vector<uint64_t>{1, 2, 3, 4})));
  EXPECT_TRUE(is_ok(gather(samples_of({1}))));
  EXPECT_TRUE(refused(0));
  EXPECT_TRUE(refused(kSamples));
  EXPECT_TRUE(refused(UINT64_MAX));
  workload->unload({});
  EXPECT_TRUE(refused(1));
}

TEST_F(Gather, LoadReplacesWhatWasLoaded) {
  ASSERT_TRUE(is_ok(workload->load(std::vector<uint64_t>{0, 1, 2, 3})));
  ASSERT_TRUE(is_ok(workload->load(std::vector<uint64_t>{6, 7, 8, 9})));
  ASSERT_TRUE(is_ok(gather(samples_of({6, 7, 8, 9}))));
  expect_inputs(samples_of({6, 7, 8, 9}));
  EXPECT_FALSE(gather(samples_of({0})).ok());
  EXPECT_TRUE(is_error(workload->load(std::vector<uint64_t>{kSamples}), Code::kInvalidArgument,
                       "sample 10 does not exist", "has 10"));
}

TEST(GatherSmall, ShortRowsAreCopied) {
  const ProgramSpec program = echo_program(2, 4);
  const auto values = data_set(4, 4);
  Sink sink;
  const auto workload = value_of(Workload::create("raw", program, {array_of(values)}, sink));
  ASSERT_TRUE(is_ok(workload->prepare(1, 2)));
  ASSERT_TRUE(is_ok(workload->load(indices_up_to(4))));
  FakeExecObj exec = exec_for(program);
  std::byte* const own = exec.input(0).data();
  ASSERT_TRUE(is_ok(workload->gather({samples_of({2, 3}), exec, 0})));
  EXPECT_EQ(exec.input(0).data(), own);
  EXPECT_EQ(input_at(exec, 0, 4), 2000);
  EXPECT_EQ(input_at(exec, 1, 4, 3), 3003);
}

TEST(Raw, OneOutputIsAnsweredInPlace) {
  const ProgramSpec program = echo_program(2, 3);
  const auto values = data_set(4, 3);
  Sink sink;
  const auto workload = value_of(Workload::create("raw", program, {array_of(values)}, sink));
  ASSERT_TRUE(is_ok(workload->prepare(3, 2)));
  EXPECT_EQ(sink.slots, 3u);
  EXPECT_EQ(sink.max_batch, 2u);
  ASSERT_TRUE(is_ok(workload->load(indices_up_to(4))));
  FakeExecObj exec = exec_for(program);
  const auto samples = samples_of({1, 3});
  ASSERT_TRUE(is_ok(workload->gather({samples, exec, 2})));
  ASSERT_TRUE(is_ok(exec.run()));
  workload->scatter({samples, exec, 2});
  using Row = std::array<int64_t, 3>;
  EXPECT_EQ(sink.answer<Row>(101), (Row{1000, 1001, 1002}));
  EXPECT_EQ(sink.answer<Row>(103), (Row{3000, 3001, 3002}));
}

TEST(Raw, SeveralOutputsAreJoined) {
  ProgramSpec program = echo_program(2, 1);
  program.outputs.push_back({"z", DType::kUInt8, {2, 3}});
  const auto values = data_set(2, 1);
  Sink sink;
  const auto workload = value_of(Workload::create("raw", program, {array_of(values)}, sink));
  ASSERT_TRUE(is_ok(workload->prepare(1, 2)));
  FakeExecObj exec = exec_for(program);
  const int64_t y[] = {7, 8};
  const uint8_t z[] = {1, 2, 3, 4, 5, 6};
  std::memcpy(exec.output(0).data(), y, sizeof y);
  std::memcpy(exec.output(1).data(), z, sizeof z);
  workload->scatter({samples_of({0, 1}), exec, 0});
  ASSERT_EQ(sink.answers[101].size(), 11u);
  EXPECT_EQ(std::memcmp(sink.answers[101].data(), &y[1], 8), 0);
  EXPECT_EQ(std::memcmp(sink.answers[101].data() + 8, &z[3], 3), 0);
  EXPECT_EQ(std::memcmp(sink.answers[100].data() + 8, &z[0], 3), 0);
}

TEST(Raw, FailuresAreHandedOn) {
  const auto values = data_set(2, 4);
  Sink sink;
  const auto workload = value_of(Workload::create("raw", echo_program(), {array_of(values)}, sink));
  workload->fail(samples_of({1}), Status(Code::kTimedOut, "late"));
  EXPECT_EQ(sink.failures.at(101).code(), Code::kTimedOut);
}

// Two samples with the scores 1 3 2 and 9 9 4: the classes 1 and 0 (the first of equals).
template <class T>
class Classification : public ::testing::Test {};

template <class T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<float>() {
  return DType::kFloat32;
}
template <>
constexpr DType dtype_of<int8_t>() {
  return DType::kInt8;
}
template <>
constexpr DType dtype_of<uint8_t>() {
  return DType::kUInt8;
}
template <>
constexpr DType dtype_of<int32_t>() {
  return DType::kInt32;
}
template <>
constexpr DType dtype_of<int64_t>() {
  return DType::kInt64;
}

using ClassTypes = ::testing::Types<float, int8_t, uint8_t, int32_t, int64_t>;
TYPED_TEST_SUITE(Classification, ClassTypes);

template <class T>
void expect_classes(std::vector<int64_t> dims, const std::vector<T>& output, float first,
                    float second) {
  ProgramSpec program = echo_program(2, 1);
  program.outputs = {{"scores", dtype_of<T>(), std::move(dims)}};
  const auto values = data_set(2, 1);
  Sink sink;
  const auto workload =
      value_of(Workload::create("classification", program, {array_of(values)}, sink));
  ASSERT_TRUE(is_ok(workload->prepare(1, 2)));
  FakeExecObj exec = exec_for(program);
  std::memcpy(exec.output(0).data(), output.data(), output.size() * sizeof(T));
  workload->scatter({samples_of({0, 1}), exec, 0});
  EXPECT_EQ(sink.answer<float>(100), first);
  EXPECT_EQ(sink.answer<float>(101), second);
}

TYPED_TEST(Classification, TakesTheHighestScore) {
  expect_classes<TypeParam>({2, 3}, {1, 3, 2, 9, 9, 4}, 1, 0);
}

TYPED_TEST(Classification, TakesAClassAsItIs) { expect_classes<TypeParam>({2}, {5, 100}, 5, 100); }

TEST(ClassificationSigned, NegativeScoresAndClasses) {
  expect_classes<float>({2, 2}, {-2, -1, -1, -2}, 1, 0);
  expect_classes<int8_t>({2, 2}, {-128, 127, 127, -128}, 1, 0);
  expect_classes<int64_t>({2, 1}, {-1, 7}, 0, 7);
}

Status create_status(std::string_view kind, const ProgramSpec& program,
                     std::vector<SampleArray> arrays) {
  Sink sink;
  return Workload::create(kind, program, std::move(arrays), sink).status();
}

TEST(WorkloadCreate, RefusesWhatDoesNotFit) {
  const std::vector<int64_t> values(8);
  const SampleArray two = array_of(values);  // samples of 4 elements
  const ProgramSpec program = echo_program();
  EXPECT_TRUE(is_error(create_status("detect", program, {two}), Code::kInvalidArgument, "'detect'",
                       "classification", "raw"));
  EXPECT_TRUE(is_error(create_status("raw", program, {}), Code::kInvalidArgument,
                       "expected samples for 1 inputs ('x'), got 0"));
  EXPECT_TRUE(is_error(create_status("raw", program, {two, two}), Code::kInvalidArgument, "got 2"));
  EXPECT_TRUE(is_error(create_status("raw", program, {{values.data(), 40}}), Code::kInvalidArgument,
                       "'x'", "multiple of 32 bytes", "got 40"));
  EXPECT_TRUE(is_error(create_status("raw", program, {{values.data(), 0}}), Code::kInvalidArgument,
                       "got 0"));
}

TEST(WorkloadCreate, InputsMustHaveAsManySamples) {
  const std::vector<int64_t> values(12);
  ProgramSpec program = echo_program();
  program.inputs.push_back({"mask", DType::kInt64, {1, 4}});
  EXPECT_TRUE(is_error(create_status("raw", program, {{values.data(), 96}, {values.data(), 64}}),
                       Code::kInvalidArgument, "'mask' has 2", "'x' has 3"));
}

TEST(WorkloadCreate, ProgramMustSuit) {
  const std::vector<int64_t> values(4);
  ProgramSpec program = echo_program();
  program.outputs[0].dtype = DType::kFloat16;
  EXPECT_TRUE(is_error(create_status("classification", program, {array_of(values)}),
                       Code::kInvalidArgument, "'y' is float16", "expected float32"));
  program.outputs[0].dims = {1, 0};
  EXPECT_TRUE(is_error(create_status("classification", program, {array_of(values)}),
                       Code::kInvalidArgument, "'y'", "no scores"));
  program.outputs.clear();
  EXPECT_TRUE(is_error(create_status("raw", program, {array_of(values)}), Code::kInvalidArgument,
                       "no outputs"));
  program = echo_program();
  program.inputs[0].dims = {1, 0};
  EXPECT_TRUE(is_error(create_status("raw", program, {array_of(values)}), Code::kInvalidArgument,
                       "'x' holds no data"));
  program.inputs.clear();
  EXPECT_TRUE(is_error(create_status("raw", program, {}), Code::kInvalidArgument, "no inputs"));
}

TEST(WorkloadCreate, EachTensorHasARowForEachSample) {
  const std::vector<int64_t> values(12);
  ProgramSpec program = echo_program(2, 6);
  program.outputs[0].dims = {3};
  EXPECT_TRUE(is_error(create_status("raw", program, {array_of(values)}), Code::kInvalidArgument,
                       "'y' is [3]: expected 2 rows"));
  program = echo_program(2, 6);
  program.inputs[0].dims = {};
  EXPECT_TRUE(is_error(create_status("raw", program, {array_of(values)}), Code::kInvalidArgument,
                       "'x' is []"));
}

TEST(WorkloadCreate, EveryKindIsListed) {
  const std::vector<float> values(4);
  ProgramSpec program = echo_program();
  program.inputs = {{"x", DType::kFloat32, {1, 4}}};
  program.outputs = {{"y", DType::kFloat32, {1, 4}}};
  for (const std::string_view kind : Workload::kinds()) {
    EXPECT_TRUE(is_ok(create_status(kind, program, {array_of(values)})));
  }
}

// Through a whole session, with rows that are bound and rows that are copied.
TEST(WorkloadSession, AnswersAreTheSamplesOwn) {
  for (const size_t row : {4u, 600u}) {
    for (const char* async : {"0", "1"}) {
      struct Counting final : ResponseSink {
        Status prepare(uint32_t, uint32_t) override { return {}; }
        void respond(uint32_t, std::span<const Response> responses) noexcept override {
          for (const Response& r : responses) {
            int64_t first = -1;
            std::memcpy(&first, r.data, sizeof first);
            if (first != static_cast<int64_t>(r.id % 50 * 1000)) wrong.fetch_add(1);
          }
          answered.fetch_add(responses.size());
          answered.notify_all();
        }
        void fail(std::span<const Sample>, const Status&) noexcept override { wrong.fetch_add(1); }
        std::atomic<size_t> answered{0};
        std::atomic<size_t> wrong{0};
      } sink;
      const ProgramSpec program = echo_program(8, static_cast<int64_t>(row));
      const auto values = data_set(50, row);
      const auto workload = value_of(Workload::create("raw", program, {array_of(values)}, sink));
      ASSERT_TRUE(is_ok(workload->load(indices_up_to(50))));
      const auto session = test::open_null(program, {{"async", async}}, 2);
      ASSERT_TRUE(is_ok(session->start(*workload, {})));
      auto samples = samples_from(0, 10'000);
      for (Sample& sample : samples) sample.index = sample.id % 50;
      ASSERT_TRUE(is_ok(session->submit(samples)));
      for (size_t seen = 0; seen < samples.size(); seen = sink.answered) sink.answered.wait(seen);
      ASSERT_TRUE(is_ok(session->stop()));
      EXPECT_EQ(sink.wrong, 0u);
    }
  }
}

}  // namespace
}  // namespace qaickit
