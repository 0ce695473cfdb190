#include "qaickit/rt.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <numeric>
#include <set>
#include <thread>

#include "base/cat.h"
#include "container/scratch.h"
#include "support/programs.h"
#include "support/result.h"

namespace qaickit::rt {
namespace {

using namespace test;

ExecObject::Data data_of(std::vector<int64_t> values) {
  Buffer buffer = Buffer::allocate(values.size() * 8);
  std::copy(values.begin(), values.end(), reinterpret_cast<int64_t*>(buffer.data));
  return {buffer, std::nullopt};
}

std::span<const int64_t> values_of(const Buffer& buffer) {
  return {reinterpret_cast<const int64_t*>(buffer.data), buffer.size / 8};
}

// The null device answers with a copy of the input.
std::shared_ptr<Context> null_context() { return value_of(Context::create({}, "null")); }

std::shared_ptr<Program> null_program(const ProgramSpec& spec, ProgramProperties properties = {}) {
  return value_of(
      Program::create(null_context(), std::nullopt, make_qpc(spec), std::move(properties)));
}

TEST(RtExecObject, RunsOnAQueueAndHandsOutWhatItMade) {
  Queue queue(4);
  const auto exec = value_of(ExecObject::create(null_program(echo_program())));
  EXPECT_EQ(exec->wait().code(), Code::kFailedPrecondition);
  EXPECT_EQ(exec->data().status().code(), Code::kFailedPrecondition);
  for (int64_t n = 0; n < 5; ++n) {
    ASSERT_TRUE(is_ok(exec->set_data({data_of({n, 1, 2, 3}), data_of({0, 0, 0, 0})})));
    ASSERT_TRUE(is_ok(queue.enqueue(exec)));
    ASSERT_TRUE(is_ok(exec->wait()));
    const auto made = value_of(exec->data());
    EXPECT_EQ(values_of(made[1])[0], n);
    EXPECT_EQ(values_of(made[1])[3], 3);
  }
}

TEST(RtExecObject, WhatDoesNotFitIsToldByTheRun) {
  const auto exec = value_of(ExecObject::create(null_program(echo_program())));
  EXPECT_TRUE(
      is_error(exec->set_data(std::vector{data_of({1})}), Code::kInvalidArgument, "2 bind"));
  EXPECT_TRUE(is_error(exec->set_data({{2, data_of({1})}}), Code::kInvalidArgument, "binding 2"));
  ASSERT_TRUE(is_ok(exec->set_data({data_of({1, 2}), data_of({0, 0, 0, 0})})));
  EXPECT_TRUE(
      is_error(exec->run(), Code::kInvalidArgument, "No matching dimension found", "x [1, 4]"));
  EXPECT_FALSE(exec->data().ok());
  ASSERT_TRUE(is_ok(exec->set_data({{}, data_of({0, 0, 0, 0})})));
  EXPECT_TRUE(is_error(exec->run(), Code::kInvalidArgument, "'x' was not given"));
}

TEST(RtExecObject, DimsPickAnAllowedShape) {
  ProgramSpec spec = echo_program(1, 6);
  spec.allowed_shapes = {{{1, 6}, {1, 6}}, {{2, 3}, {2, 3}}, {{1, 2}, {1, 2}}};
  const auto exec = value_of(ExecObject::create(null_program(spec)));
  ExecObject::Data x = data_of({7, 8});
  ExecObject::Data y = data_of({0, 0, 0, 0, 0, 0});  // large enough for all
  x.dims = y.dims = {1, 2};
  ASSERT_TRUE(is_ok(exec->set_data({x, y})));
  ASSERT_TRUE(is_ok(exec->run()));
  const auto made = value_of(exec->data());
  ASSERT_EQ(made[1].size, 16u);  // as the dims say
  EXPECT_EQ(values_of(made[1])[1], 8);
  x.dims = {2, 1};
  ASSERT_TRUE(is_ok(exec->set_data({x, y})));
  EXPECT_TRUE(is_error(exec->run(), Code::kInvalidArgument, "No matching dimension found"));
}

TEST(RtExecObject, APartialInputComputesOnZerosBehindIt) {
  ProgramSpec spec = echo_program(4, 1);
  spec.inputs[0].partial = true;
  const auto exec = value_of(ExecObject::create(null_program(spec)));
  ASSERT_TRUE(is_ok(exec->set_data({data_of({5, 6}), data_of({1, 1, 1, 1})})));
  ASSERT_TRUE(is_ok(exec->run()));
  const auto made = value_of(exec->data());
  EXPECT_EQ(std::vector<int64_t>(values_of(made[1]).begin(), values_of(made[1]).end()),
            (std::vector<int64_t>{5, 6, 0, 0}));
}

// s is copied to s_RetainedState only when x says nothing new: the echo of input 1 is output 1.
TEST(RtProgram, KeepsWhatIsRetainedBetweenRuns) {
  ProgramSpec spec;
  spec.name = "keeps";
  spec.inputs = {{"x", DType::kInt64, {2}}, {"s", DType::kInt64, {2}}};
  spec.outputs = {{"s_RetainedState", DType::kInt64, {2}}, {"y", DType::kInt64, {2}}};
  const auto program = null_program(spec);
  const auto writer = value_of(ExecObject::create(program));
  const auto reader = value_of(ExecObject::create(program));
  // Output 0 echoes x into the state, output 1 echoes what the state was.
  int64_t before = 0;
  for (int64_t n = 1; n < 6; ++n) {
    const auto& exec = n % 2 == 0 ? writer : reader;
    ASSERT_TRUE(is_ok(exec->set_data({data_of({n, -n}), {}, {}, data_of({9, 9})})));
    ASSERT_TRUE(is_ok(exec->run()));
    const auto made = value_of(exec->data());
    EXPECT_EQ(made[2].size, 0u);
    EXPECT_EQ(values_of(made[3])[0], before);
    before = n;
  }
  // Given and asked for, and kept all the same.
  ASSERT_TRUE(is_ok(
      reader->set_data({data_of({50, 50}), data_of({40, 40}), data_of({0, 0}), data_of({9, 9})})));
  ASSERT_TRUE(is_ok(reader->run()));
  EXPECT_EQ(values_of(value_of(reader->data())[2])[0], 50);
  EXPECT_EQ(values_of(value_of(reader->data())[3])[0], 40);
  ASSERT_TRUE(is_ok(reader->set_data({data_of({60, 60}), {}, {}, data_of({9, 9})})));
  ASSERT_TRUE(is_ok(reader->run()));
  EXPECT_EQ(values_of(value_of(reader->data())[3])[0], 50);
}

TEST(RtProgram, DeactivatedIsNoUseToItsExecObjects) {
  const auto program = null_program(echo_program());
  const auto exec = value_of(ExecObject::create(program));
  ASSERT_TRUE(is_ok(exec->set_data({data_of({1, 2, 3, 4}), data_of({0, 0, 0, 0})})));
  ASSERT_TRUE(is_ok(program->deactivate()));
  EXPECT_FALSE(program->deactivate().ok());
  EXPECT_TRUE(is_error(exec->run(), Code::kFailedPrecondition, "deactivated"));
  ASSERT_TRUE(is_ok(program->activate()));
  EXPECT_FALSE(exec->run().ok());  // belongs to the first activation
  EXPECT_TRUE(is_ok(program->unload()));
  EXPECT_FALSE(program->unload().ok());
}

TEST(RtProgram, MappingsAreDeviceIds) {
  for (const char* text : {"a", "0:", ":0", "0:-1", "0::1", "0:1:0", "99999999999"}) {
    ProgramProperties properties;
    properties.dev_mapping = text;
    EXPECT_TRUE(
        is_error(Program::create(null_context(), std::nullopt, make_qpc(echo_program()), properties)
                     .status(),
                 Code::kInvalidArgument, "devMapping"))
        << text;
  }
  ProgramProperties properties;
  properties.dev_mapping = "0:1:2";
  EXPECT_TRUE(is_ok(null_program(echo_program(), properties)->load()));
}

TEST(RtContext, DevicesOutsideItAreRefused) {
  const auto context = value_of(Context::create({1}, "null"));
  EXPECT_TRUE(is_ok(context->device(1).status()));
  EXPECT_TRUE(is_error(context->device(0).status(), Code::kNotFound, "device 0"));
  EXPECT_FALSE(Context::create({}, "no such backend").ok());
}

TEST(RtInferenceSet, SubmissionsFromManyThreadsComeBackByTheirIds) {
  constexpr uint64_t kThreads = 8;
  constexpr uint64_t kEach = 50;
  const auto set =
      value_of(InferenceSet::create(null_context(), make_qpc(echo_program()), 0, 2, 2, {}));
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t n = 0; n < kEach; ++n) {
        const uint64_t id = t * kEach + n;
        InferenceSet::Handle* const handle = value_of(set->available(0));
        if (!set->set_data(handle, {data_of({static_cast<int64_t>(id), 0, 0, 0}), {}}, {}).ok()) {
          ++wrong;
        }
        if (!set->submit(handle, id).ok()) ++wrong;
        InferenceSet::Handle* const done = value_of(set->completed_id(id));
        const auto made = done->exec->data();
        if (!made.ok() || values_of(made.value()[1])[0] != static_cast<int64_t>(id)) ++wrong;
        if (!set->put_back(done).ok()) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_TRUE(is_ok(set->wait_all()));
  EXPECT_EQ(value_of(set->completed()), nullptr);
}

TEST(RtInferenceSet, HandlesAreLimitedAndBelongToOneAtATime) {
  const auto set =
      value_of(InferenceSet::create(null_context(), make_qpc(echo_program()), 0, 1, 1, {}));
  InferenceSet::Handle* const handle = value_of(set->available(0));
  EXPECT_EQ(set->available(1000).status().code(), Code::kTimedOut);
  EXPECT_EQ(set->available(0, [] { return false; }).status().code(), Code::kCancelled);
  ASSERT_TRUE(is_ok(set->set_data(handle, {data_of({1, 2, 3, 4}), {}}, {})));
  ASSERT_TRUE(is_ok(set->submit(handle, 7)));
  EXPECT_FALSE(set->submit(handle, 8).ok());
  EXPECT_FALSE(set->set_data(handle, {data_of({1, 2, 3, 4}), {}}, {}).ok());
  EXPECT_EQ(value_of(set->completed()), handle);
  EXPECT_EQ(handle->id, 7u);
  ASSERT_TRUE(is_ok(set->put_back(handle)));
  EXPECT_FALSE(set->put_back(handle).ok());
  EXPECT_FALSE(InferenceSet::create(null_context(), make_qpc(echo_program()), 0, 0, 1, {}).ok());
}

TEST(RtInferenceSet, RunsOfAHandlesExecObjectAreNotTheSets) {
  auto set = value_of(InferenceSet::create(null_context(), make_qpc(echo_program()), 0, 1, 1, {}));
  InferenceSet::Handle* const handle = value_of(set->available(0));
  const std::shared_ptr<ExecObject> exec = handle->exec;
  ASSERT_TRUE(is_ok(exec->set_data({data_of({5, 1, 2, 3}), data_of({0, 0, 0, 0})})));
  ASSERT_TRUE(is_ok(exec->run()));
  EXPECT_EQ(value_of(set->completed()), nullptr);
  EXPECT_TRUE(is_ok(set->wait_all()));
  EXPECT_TRUE(is_ok(set->put_back(handle)));
  set.reset();
  ASSERT_TRUE(is_ok(exec->run()));
  EXPECT_EQ(values_of(value_of(exec->data())[1])[0], 5);
}

TEST(RtProgramGroup, RunsItsOwnProgramsWhileItIsEnabled) {
  const auto context = null_context();
  const auto group = value_of(ProgramGroup::create(context, 0, "both"));
  std::vector<std::shared_ptr<Program>> programs;
  for (int p = 0; p < 2; ++p) {
    programs.push_back(value_of(group->add_program(make_qpc(echo_program()), {})));
  }
  const auto exec = value_of(ExecObject::create(programs[1]));
  ASSERT_TRUE(is_ok(exec->set_data({data_of({5, 1, 2, 3}), data_of({0, 0, 0, 0})})));
  EXPECT_TRUE(is_error(group->enqueue(exec), Code::kFailedPrecondition, "enable()"));
  EXPECT_FALSE(group->disable(true, 0).ok());
  ASSERT_TRUE(is_ok(group->enable()));
  ASSERT_TRUE(is_ok(group->enqueue(exec)));
  ASSERT_TRUE(is_ok(exec->wait()));
  const auto stranger = value_of(ExecObject::create(value_of(
      Program::create(context, std::nullopt, make_qpc(echo_program()), ProgramProperties()))));
  EXPECT_TRUE(is_error(group->enqueue(stranger), Code::kInvalidArgument, "'both'"));
  // It becomes active again when it is run: its cores may have been another's meanwhile.
  ASSERT_TRUE(is_ok(programs[1]->deactivate()));
  ASSERT_TRUE(is_ok(group->enqueue(exec)));
  ASSERT_TRUE(is_ok(exec->wait()));
  EXPECT_EQ(values_of(value_of(exec->data())[1])[0], 5);
  ASSERT_TRUE(is_ok(group->disable(true, 0)));
  EXPECT_FALSE(group->enqueue(exec).ok());
}

TEST(RtBenchmarkSet, IsNotDisabledByACallback) {
  BenchmarkSet set(null_context(), make_qpc(echo_program()), 0, 1, 1, {}, {});
  ASSERT_TRUE(is_ok(set.enable()));
  std::atomic<int> refused{0};
  set.set_callback([&](const BenchmarkSet::Done&) {
    refused += set.disable().code() == Code::kFailedPrecondition;
  });
  EXPECT_TRUE(is_ok(set.run(3, 0)));
  EXPECT_EQ(refused, 3);
  set.set_callback({});
  EXPECT_EQ(set.run(0, 1000, [] { return false; }).code(), Code::kCancelled);
  EXPECT_TRUE(is_ok(set.disable()));
}

TEST(RtBenchmarkSet, CountsWhatItRuns) {
  std::atomic<uint64_t> told{0};
  BenchmarkSet set(null_context(), make_qpc(echo_program(2)), 0, 2, 3, {}, {});
  EXPECT_FALSE(set.run(5, 0).ok());
  ASSERT_TRUE(is_ok(set.enable()));
  set.set_callback([&](const BenchmarkSet::Done& done) {
    told += done.status.ok() && done.activation < 3 && done.exec->data().ok();
  });
  ASSERT_TRUE(is_ok(set.run(100, 0)));
  EXPECT_EQ(told, 100u);
  const auto counts = set.completed();
  EXPECT_EQ(counts.size(), 3u);
  EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), uint64_t{0}), 100u);
  EXPECT_EQ(set.last_stats().inferences, 100u);
  EXPECT_EQ(set.last_stats().batch_size, 2u);
  EXPECT_GT(set.last_stats().rate, 0);
  set.set_callback({});
  ASSERT_TRUE(is_ok(set.run(0, 0.02)));
  EXPECT_GE(set.last_stats().runtime_us, 20'000u);
  EXPECT_FALSE(set.run(0, 0).ok());
  ASSERT_TRUE(is_ok(set.disable()));
  EXPECT_FALSE(set.run(5, 0).ok());
}

TEST(RtBenchmarkSet, KeepsTheDataThatACallbackSets) {
  BenchmarkSet set(null_context(), make_qpc(echo_program()), 0, 1, 1, {{data_of({5, 0, 0, 0}), {}}},
                   {});
  ASSERT_TRUE(is_ok(set.enable()));
  std::vector<int64_t> seen;
  const auto look = [&](const BenchmarkSet::Done& done) {
    const auto made = value_of(done.exec->data());
    seen.push_back(values_of(made[1])[0]);
    const int64_t next = seen.back() + 1;
    ASSERT_TRUE(is_ok(done.exec->set_data({{0, data_of({next, 0, 0, 0})}})));
  };
  for (int round = 0; round < 2; ++round) {  // each run begins with the set's own
    seen.clear();
    set.set_callback(look);
    ASSERT_TRUE(is_ok(set.run(4, 0)));
    EXPECT_EQ(seen, (std::vector<int64_t>{5, 6, 7, 8}));
  }
}

TEST(RtBenchmarkSet, TellsStatisticsOfTheSamplesAskedFor) {
  BenchmarkSet set(null_context(), make_qpc(echo_program()), 0, 2, 2, {}, {});
  ASSERT_TRUE(is_ok(set.enable()));
  std::mutex mutex;
  std::set<std::pair<uint32_t, uint64_t>> told;
  set.set_stats_callback(
      [&](const std::string& text, uint64_t sample, const BenchmarkSet::Done& done) {
        const std::lock_guard lock(mutex);
        EXPECT_NE(text.find("\"scatter\""), std::string::npos);
        told.emplace(done.activation, sample);
      },
      1, 2, BenchmarkSet::StatsFormat::kJson);
  ASSERT_TRUE(is_ok(set.run(200, 0)));
  for (uint32_t a = 0; a < 2; ++a) {
    const uint64_t done = set.completed()[a];
    for (uint64_t n = 0; n < 4; ++n) {
      EXPECT_EQ(told.count({a, n}), (n == 1 || n == 2) && n < done ? 1u : 0u) << a << " " << n;
    }
  }
}

TEST(RtBenchmarkSet, RefusesSizesAndPropertiesThatAreNone) {
  for (const auto& [set_size, activations] : {std::pair(0u, 1u), {1u, 0u}, {1u << 20, 1u << 20}}) {
    BenchmarkSet set(null_context(), make_qpc(echo_program()), 0, set_size, activations, {}, {});
    EXPECT_TRUE(is_error(set.enable(), Code::kInvalidArgument, "setSize"));
  }
  SetProperties properties;
  properties.queue = QueueProperties{QueueProperties::kMultiThreaded, 0};
  BenchmarkSet set(null_context(), make_qpc(echo_program()), 0, 1, 1, {}, properties);
  EXPECT_TRUE(is_error(set.enable(), Code::kInvalidArgument, "numThreadsPerQueue"));
}

TEST(RtQueue, RunsOnlyWhatIsOfItsContextAndDevice) {
  const auto context = value_of(Context::create({0, 1}, "null"));
  const auto qpc = make_qpc(echo_program());
  const auto on = [&](int device) {
    return value_of(
        ExecObject::create(value_of(Program::create(context, device, qpc, ProgramProperties()))));
  };
  const auto queue = value_of(Queue::create(context, 1, {}));
  EXPECT_TRUE(is_error(queue->enqueue(on(0)), Code::kInvalidArgument, "device 1"));
  const auto stranger = value_of(ExecObject::create(null_program(echo_program())));
  EXPECT_TRUE(is_error(queue->enqueue(stranger), Code::kInvalidArgument, "context"));
  const auto exec = on(1);
  ASSERT_TRUE(is_ok(exec->set_data({data_of({1, 2, 3, 4}), data_of({0, 0, 0, 0})})));
  ASSERT_TRUE(is_ok(queue->enqueue(exec)));
  EXPECT_TRUE(is_ok(exec->wait()));
  EXPECT_TRUE(is_error(Queue::create(context, 2, {}).status(), Code::kNotFound, "device 2"));
  EXPECT_TRUE(is_error(Queue::create(context, 0, {7, 4}).status(), Code::kInvalidArgument, "7"));
  EXPECT_TRUE(
      is_error(Queue::create(context, 0, {1, 65}).status(), Code::kInvalidArgument, "1 to 64"));
  EXPECT_EQ(value_of(QueueProperties{QueueProperties::kSingleThreaded, 4}.threads()), 1u);
}

TEST(RtExecObject, TellsTheMomentsOfItsLastRun) {
  const auto exec = value_of(ExecObject::create(null_program(echo_program())));
  EXPECT_EQ(exec->times().ended, 0u);
  ASSERT_TRUE(is_ok(exec->set_data({data_of({1, 2, 3, 4}), data_of({0, 0, 0, 0})})));
  ASSERT_TRUE(is_ok(exec->run()));
  const RunTimes t = exec->times();
  EXPECT_GT(t.enqueued, 0u);
  EXPECT_TRUE(
      std::ranges::is_sorted(std::array{t.enqueued, t.started, t.gathered, t.computed, t.ended}));
  ASSERT_TRUE(is_ok(exec->set_data({data_of({1}), data_of({0, 0, 0, 0})})));
  EXPECT_FALSE(exec->run().ok());
  EXPECT_EQ(exec->times().ended, 0u);
}

std::vector<std::string> lines_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

TEST(RtProfiler, WritesWhatRanBetweenStartAndStop) {
  Scratch scratch;
  const std::filesystem::path dir = scratch.path("");
  const auto program = null_program(echo_program());
  const auto idle = null_program(echo_program());
  const auto exec = value_of(ExecObject::create(program));
  ASSERT_TRUE(is_ok(exec->set_data({data_of({1, 2, 3, 4}), data_of({0, 0, 0, 0})})));
  const auto profiler =
      value_of(Profiler::create({program, idle}, ProfileType::kLatency, "p", dir.string()));
  EXPECT_TRUE(is_error(profiler->stop(), Code::kFailedPrecondition, "not started"));
  const auto file = [&](const auto& of) {
    return dir / cat("p-program-", of->id(), "-latency.txt");
  };
  for (const size_t runs : {3u, 5u}) {  // started again, it begins anew
    ASSERT_TRUE(is_ok(exec->run()));
    ASSERT_TRUE(is_ok(profiler->start()));
    EXPECT_FALSE(profiler->start().ok());
    for (size_t n = 0; n < runs; ++n) ASSERT_TRUE(is_ok(exec->run()));
    ASSERT_TRUE(is_ok(profiler->stop()));
    EXPECT_EQ(lines_of(file(program)).size(), 5 + runs);
  }
  EXPECT_FALSE(std::filesystem::exists(file(idle)));
}

TEST(RtProfiler, RefusesWhatItCannotWriteTo) {
  Scratch scratch;
  const std::filesystem::path dir = scratch.path("");
  const auto program = null_program(echo_program());
  const auto made = [&](auto programs, const char* prefix, const std::string& directory) {
    return Profiler::create(programs, ProfileType::kTrace, prefix, directory).status();
  };
  using Programs = std::vector<std::shared_ptr<Program>>;
  const std::string here = dir.string();
  EXPECT_TRUE(is_error(made(Programs{}, "p", here), Code::kInvalidArgument, "program"));
  EXPECT_TRUE(is_error(made(Programs{program}, "a/b", here), Code::kInvalidArgument, "a/b"));
  EXPECT_TRUE(is_error(made(Programs{program}, "p", here + "/no"), Code::kNotFound, "/no"));
}

TEST(RtProfiler, RunsFromManyThreadsAreAllRecorded) {
  Scratch scratch;
  const std::filesystem::path dir = scratch.path("");
  constexpr size_t kThreads = 4;
  constexpr size_t kEach = 50;
  const auto program = null_program(echo_program());
  const auto profiler =
      value_of(Profiler::create({program}, ProfileType::kTrace, "p", dir.string()));
  ASSERT_TRUE(is_ok(profiler->start()));
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      const auto exec = value_of(ExecObject::create(program));
      for (size_t n = 0; n < kEach; ++n) {
        ASSERT_TRUE(is_ok(exec->set_data({data_of({1, 2, 3, 4}), data_of({0, 0, 0, 0})})));
        ASSERT_TRUE(is_ok(exec->run()));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(is_ok(profiler->stop()));
  size_t inferences = 0;
  for (const auto& line : lines_of(dir / cat("p-program-", program->id(), "-trace.json"))) {
    inferences += line.find("\"inference\":") != std::string::npos;
  }
  EXPECT_EQ(inferences, kThreads * kEach);
}

TEST(RtStatus, HasTheVendorsNumbers) {
  EXPECT_EQ(static_cast<int>(to_qstatus({})), 0);
  EXPECT_EQ(static_cast<int>(to_qstatus(Status(Code::kInvalidArgument, ""))), 6);
  EXPECT_EQ(static_cast<int>(to_qstatus(Status(Code::kResourceExhausted, ""))), 7);
  EXPECT_EQ(static_cast<int>(to_qstatus(Status(Code::kDeviceError, ""))), 300);
  EXPECT_EQ(static_cast<int>(to_qstatus(Status(Code::kInternal, ""))), 500);
}

}  // namespace
}  // namespace qaickit::rt
