#include "qaickit/session.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "container/scratch.h"
#include "support/answer_log.h"
#include "support/environment.h"
#include "support/programs.h"

namespace qaickit {
namespace {

using test::AnswerLog;
using test::echo_program;
using test::Environment;
using test::is_error;
using test::is_ok;
using test::make_qpc;
using test::open_null;
using test::samples_from;
using test::value_of;

const DeviceSettings kSync{};
const DeviceSettings kAsync{{"async", "1"}};
const DeviceSettings kEndless{{"latency_us", "1e9"}};

// One tensor-level call of an echo program.
Status run_echo(Session& session, int64_t value) {
  int64_t in[4] = {value, 2, 3, 4};
  int64_t out[4] = {};
  const ConstBuffer inputs[] = {{in, sizeof in}};
  const MutableBuffer outputs[] = {{out, sizeof out}};
  Status status = session.run(inputs, outputs);
  EXPECT_TRUE(!status.ok() || std::memcmp(in, out, sizeof in) == 0);
  return status;
}

Status open_status(const SessionOptions& options) {
  return Session::open(make_qpc(echo_program()), options).status();
}

SessionOptions null_options() {
  SessionOptions options;
  options.backend = "null";
  return options;
}

// Of a file whose weights nobody has looked at yet: refused as if it had been at once.
TEST(SessionOpen, RefusesDamagedWeights) {
  const test::Scratch scratch;
  const std::string path = scratch.path("damaged.bin");
  const std::vector<std::byte> weights(size_t{4} << 20, std::byte{3});
  const ProgramSpec program = echo_program();
  QpcContent content;
  content.program = program;
  content.onnx_model = as_byte_span("not a graph");
  content.weights = {weights};
  auto bytes = value_of(build_qpc(content));
  const auto write = [&] {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << as_text(bytes);
  };
  write();
  auto qpc = value_of(Qpc::open(path, WeightsCheck::kLater));
  EXPECT_FALSE(qpc->weights_checked());
  const auto session = value_of(Session::open(qpc, null_options()));
  EXPECT_TRUE(qpc->weights_checked());
  EXPECT_TRUE(is_ok(run_echo(*session, 1)));

  std::filesystem::remove(path);  // the one above is still mapped
  bytes[bytes.size() / 2] ^= std::byte{1};
  write();
  qpc = value_of(Qpc::open(path, WeightsCheck::kLater));
  EXPECT_EQ(Session::open(qpc, null_options()).status().to_string(),
            Qpc::open(path).status().to_string());
  EXPECT_FALSE(Qpc::open(path).ok());
  SessionOptions wrong = null_options();
  wrong.set_size = 0;
  EXPECT_TRUE(is_error(Session::open(qpc, wrong).status(), Code::kDataLoss, "MiB"));
}

TEST(SessionOpen, SaysWhatItRunsOn) {
  const auto session = open_null(echo_program(8));
  EXPECT_EQ(session->backend().name, "null");
  ASSERT_EQ(session->devices().size(), 1u);
  EXPECT_EQ(session->devices()[0].backend, "null");
  EXPECT_EQ(session->devices()[0].id, 0);
  EXPECT_EQ(session->precision(), "none");
  EXPECT_EQ(session->program().batch_size, 8);
}

TEST(SessionOpen, OptionsAreChecked) {
  auto options = null_options();
  options.num_activations = 0;
  EXPECT_TRUE(is_error(open_status(options), Code::kInvalidArgument, "test.bin", "num_activations",
                       "1 to"));
  options = null_options();
  options.set_size = 65;
  EXPECT_TRUE(is_error(open_status(options), Code::kInvalidArgument, "set_size is 65", "64"));
  options = null_options();
  options.threads_per_activation = 0;
  EXPECT_TRUE(is_error(open_status(options), Code::kInvalidArgument, "threads_per_activation"));
  options = null_options();
  options.backend = "gpu";
  EXPECT_TRUE(is_error(open_status(options), Code::kNotFound, "'gpu'"));
  options = null_options();
  options.device_ids = {1, 3, 1};
  EXPECT_TRUE(is_error(open_status(options), Code::kInvalidArgument, "device 1", "more than once"));
  options.device_ids = {0, -1};
  EXPECT_TRUE(is_error(open_status(options), Code::kNotFound, "-1"));
  options = null_options();
  options.device_settings = {{"speed", "9"}};
  EXPECT_TRUE(is_error(open_status(options), Code::kInvalidArgument, "null:0", "speed"));
}

TEST(SessionOpen, CapacityErrorNamesTheActivation) {
  auto options = null_options();
  options.num_activations = 3;
  options.device_settings = {{"max_activations", "2"}};
  EXPECT_TRUE(is_error(open_status(options), Code::kResourceExhausted, "test.bin",
                       "null:0: activation 2", "all 2"));
}

TEST(SessionOpen, SeveralDevices) {
  auto options = null_options();
  options.device_ids = {2, 0};
  options.num_activations = 2;
  const auto session = value_of(Session::open(make_qpc(echo_program()), options));
  ASSERT_EQ(session->devices().size(), 2u);
  EXPECT_EQ(session->devices()[0].id, 2);
  AnswerLog log(100);
  EXPECT_TRUE(is_ok(session->start(log, {})));
  EXPECT_EQ(log.slots(), 4u);
  EXPECT_TRUE(is_ok(session->submit(samples_from(0, 100))));
  log.wait_all();
  EXPECT_TRUE(is_ok(session->stop()));
  EXPECT_EQ(session->stats().activation_batches.size(), 4u);
  EXPECT_TRUE(log.each_once());
}

// A named backend is used or nothing is.
TEST(SessionOpen, UnavailableBackendDoesNotFallBack) {
  const Environment no_library("QAICKIT_ONNXRUNTIME_LIB", "/nonexistent/libonnxruntime.so");
  SessionOptions options;
  options.backend = "cpu";
  EXPECT_TRUE(is_error(open_status(options), Code::kUnavailable, "/nonexistent/libonnxruntime.so"));
  EXPECT_TRUE(is_error(open_status({}), Code::kUnavailable, "no device is usable"));
}

TEST(SessionRun, Echoes) {
  for (const auto& settings : {kSync, kAsync}) {
    const auto session = open_null(echo_program(), settings);
    for (int64_t i = 0; i < 20; ++i) EXPECT_TRUE(is_ok(run_echo(*session, i)));
  }
}

TEST(SessionRun, BuffersAreChecked) {
  const auto session = open_null(echo_program());
  int64_t data[4] = {};
  const auto run = [&](std::vector<ConstBuffer> inputs, std::vector<MutableBuffer> outputs) {
    return session->run(inputs, outputs);
  };
  EXPECT_TRUE(is_error(run({}, {{data, 32}}), Code::kInvalidArgument, "1 inputs ('x'), got 0"));
  EXPECT_TRUE(is_error(run({{data, 32}}, {{data, 32}, {data, 32}}), Code::kInvalidArgument,
                       "1 outputs ('y'), got 2"));
  EXPECT_TRUE(is_error(run({{data, 31}}, {{data, 32}}), Code::kInvalidArgument,
                       "input 'x': expected 32 bytes (int64 [1, 4]), got 31"));
  EXPECT_TRUE(is_error(run({{data, 32}}, {{data, 0}}), Code::kInvalidArgument, "output 'y'"));
  EXPECT_TRUE(is_error(run({{nullptr, 32}}, {{data, 32}}), Code::kInvalidArgument,
                       "input 'x' has no data"));
  EXPECT_TRUE(is_error(run({{data, 32}}, {{nullptr, 32}}), Code::kInvalidArgument,
                       "output 'y' has no data"));
}

TEST(SessionRun, TensorsOfNoBytesNeedNoData) {
  ProgramSpec program = echo_program();
  program.inputs.push_back({"none", DType::kFloat32, {0, 3}});
  program.batch_size = 1;
  for (const auto& settings : {kSync, kAsync}) {
    const auto session = open_null(program, settings);
    int64_t data[4] = {1, 2, 3, 4};
    int64_t out[4] = {};
    const ConstBuffer inputs[] = {{data, 32}, {nullptr, 0}};
    const MutableBuffer outputs[] = {{out, 32}};
    EXPECT_TRUE(is_ok(session->run(inputs, outputs)));
    EXPECT_EQ(out[3], 4);
  }
}

TEST(SessionRun, DeviceErrorIsReturned) {
  for (const char* async : {"0", "1"}) {
    const auto session = open_null(echo_program(), {{"fault_rate", "1"}, {"async", async}});
    EXPECT_TRUE(is_error(run_echo(*session, 1), Code::kDeviceError));
    EXPECT_TRUE(is_error(run_echo(*session, 1), Code::kDeviceError));  // the slot came back
  }
}

TEST(SessionRun, RefusedEnqueueIsReturned) {
  const auto session = open_null(echo_program(), {{"refuse_rate", "1"}, {"async", "1"}}, 1, 1);
  EXPECT_TRUE(is_error(run_echo(*session, 1), Code::kResourceExhausted));
  EXPECT_TRUE(is_error(run_echo(*session, 1), Code::kResourceExhausted));
}

TEST(SessionRunStress, ManyThreadsShareFewActivations) {
  for (const auto& settings : {kSync, kAsync}) {
    const auto session = open_null(echo_program(), settings, 2, 2);
    std::vector<std::thread> threads;
    for (int64_t t = 0; t < 6; ++t) {
      threads.emplace_back([&, t] {
        for (int64_t i = 0; i < 300; ++i) ASSERT_TRUE(is_ok(run_echo(*session, 1000 * t + i)));
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
}

// Tensor-level calls, the workers and their starting and stopping, all at once; a worker never
// writes to memory that a caller bound.
TEST(SessionRunStress, BesideStartSubmitStop) {
  for (const auto& settings : {kSync, kAsync}) {
    const auto session = open_null(echo_program(), settings, 2, 2);
    std::atomic<bool> done{false};
    std::vector<std::thread> threads;
    for (int64_t t = 0; t < 2; ++t) {
      threads.emplace_back([&, t] {
        for (int64_t i = 0; !done; ++i) ASSERT_TRUE(is_ok(run_echo(*session, -1000 * t - i)));
      });
    }
    for (int round = 0; round < 30; ++round) {
      AnswerLog log(500);
      BatchPolicy policy;
      policy.caller_runs = round % 2 ? CallerRuns::kIfIdle : CallerRuns::kNever;
      ASSERT_TRUE(is_ok(session->start(log, policy)));
      for (uint64_t id = 0; id < 500; id += 5) {
        ASSERT_TRUE(is_ok(session->submit(samples_from(id, 5))));
      }
      log.wait_all();
      EXPECT_TRUE(log.each_once());
      EXPECT_EQ(log.codes()[Code::kOk], 500u);
      ASSERT_TRUE(is_ok(session->stop()));
    }
    done = true;
    for (std::thread& thread : threads) thread.join();
  }
}

TEST(SessionStates, SubmitBeforeStart) {
  const auto session = open_null(echo_program());
  EXPECT_TRUE(
      is_error(session->submit(samples_from(0, 1)), Code::kFailedPrecondition, "not started"));
  session->flush();
  EXPECT_TRUE(is_ok(session->stop()));
  EXPECT_EQ(session->stats().batches, 0u);
}

TEST(SessionStates, StartTwice) {
  const auto session = open_null(echo_program());
  AnswerLog log(1);
  EXPECT_TRUE(is_ok(session->start(log, {})));
  EXPECT_TRUE(is_error(session->start(log, {}), Code::kFailedPrecondition, "already started"));
  const auto benchmark = session->benchmark(1, 0, {});
  EXPECT_TRUE(is_error(benchmark.status(), Code::kFailedPrecondition, "already started"));
  EXPECT_TRUE(is_ok(session->submit(samples_from(0, 1))));
  log.wait_all();
}

TEST(SessionStates, SubmitAfterStopAndRestart) {
  const auto session = open_null(echo_program());
  for (int round = 0; round < 3; ++round) {
    AnswerLog log(3);
    ASSERT_TRUE(is_ok(session->start(log, {})));
    ASSERT_TRUE(is_ok(session->submit(samples_from(0, 3))));
    log.wait_all();
    ASSERT_TRUE(is_ok(session->stop()));
    EXPECT_EQ(session->stats().samples_ok, 3u);  // of this round
    EXPECT_TRUE(is_error(session->submit(samples_from(0, 1)), Code::kClosed));
    EXPECT_TRUE(log.each_once());
  }
}

TEST(SessionStates, MaxBatch) {
  const auto session = open_null(echo_program(8));
  AnswerLog log(10, 8);
  BatchPolicy policy;
  policy.max_batch = 9;
  EXPECT_TRUE(is_error(session->start(log, policy), Code::kInvalidArgument, "max_batch is 9",
                       "batch of 8"));
  EXPECT_TRUE(is_ok(session->start(log, {})));  // 0: the program's
  EXPECT_EQ(log.max_batch(), 8u);
  EXPECT_TRUE(is_ok(session->stop()));
  policy.max_batch = 3;
  EXPECT_TRUE(is_ok(session->start(log, policy)));
  EXPECT_TRUE(is_ok(session->submit(samples_from(0, 10))));
  log.wait_all();
  EXPECT_TRUE(is_ok(session->stop()));
  EXPECT_EQ(session->stats().batch_sizes.size(), 4u);
  EXPECT_TRUE(log.each_once());
}

TEST(SessionStates, AfterClose) {
  const auto session = open_null(echo_program());
  AnswerLog log(1);
  ASSERT_TRUE(is_ok(session->start(log, {})));
  EXPECT_TRUE(is_ok(session->close()));
  EXPECT_TRUE(is_ok(session->close()));
  EXPECT_TRUE(is_error(run_echo(*session, 1), Code::kClosed));
  EXPECT_TRUE(is_error(session->submit(samples_from(0, 1)), Code::kClosed));
  EXPECT_TRUE(is_error(session->start(log, {}), Code::kClosed));
  EXPECT_TRUE(is_error(session->benchmark(1, 0, {}).status(), Code::kClosed));
  EXPECT_TRUE(is_ok(session->stop()));
  session->flush();
  EXPECT_EQ(session->program().name, "echo");
  EXPECT_EQ(log.answered(), 0u);
}

TEST(SessionStates, CloseAnswersWhatWaits) {
  const auto session = open_null(echo_program(), kEndless);
  AnswerLog log(20);
  BatchPolicy policy;
  policy.close_timeout_ns = 0;
  ASSERT_TRUE(is_ok(session->start(log, policy)));
  ASSERT_TRUE(is_ok(session->submit(samples_from(0, 20))));
  EXPECT_TRUE(is_ok(session->close()));
  EXPECT_TRUE(log.each_once());
  EXPECT_FALSE(log.codes().contains(Code::kOk));
}

// Threads that wait for an activation leave when the session closes.
TEST(SessionStates, CloseWhileCallersWait) {
  const auto session = open_null(echo_program(), {{"latency_us", "20000"}});
  std::vector<std::thread> threads;
  std::vector<Status> statuses(4);
  for (size_t t = 0; t < statuses.size(); ++t) {
    threads.emplace_back([&, t] { statuses[t] = run_echo(*session, 1); });
  }
  EXPECT_TRUE(is_ok(session->close()));
  for (std::thread& thread : threads) thread.join();
  for (const Status& status : statuses) {
    EXPECT_TRUE(status.ok() || status.code() == Code::kClosed) << status.to_string();
  }
}

TEST(SessionLoss, LateCompletionsAreTimedOutAndTheSessionClosesSoon) {
  const auto session = open_null(echo_program(), {{"async", "1"}, {"lost_rate", "1"}}, 2, 2);
  AnswerLog log(50);
  BatchPolicy policy;
  policy.exec_timeout_ns = 2'000'000;
  policy.close_timeout_ns = 3'600'000'000'000;
  ASSERT_TRUE(is_ok(session->start(log, policy)));
  ASSERT_TRUE(is_ok(session->submit(samples_from(0, 50))));
  log.wait_all();
  EXPECT_TRUE(log.each_once());
  EXPECT_EQ(log.codes()[Code::kTimedOut], 4u);
  EXPECT_EQ(log.codes()[Code::kDeviceError], 46u);
  EXPECT_TRUE(is_error(run_echo(*session, 1), Code::kDeviceError, "no ExecObj is left"));
  // What was given up once is not waited for again.
  EXPECT_TRUE(is_error(session->close(), Code::kTimedOut));
}

// Faults of every kind: each sample has one answer, and those with a result have their own.
TEST(SessionFaultsStress, EachSampleIsAnsweredOnce) {
  const DeviceSettings all[] = {
      {{"fault_rate", "0.2"}},
      {{"async", "1"}, {"fault_rate", "0.2"}, {"refuse_rate", "0.2"}},
      {{"async", "1"}, {"latency_us", "50"}, {"fault_rate", "0.1"}, {"lost_rate", "0.002"}},
  };
  for (const DeviceSettings& settings : all) {
    const auto session = open_null(echo_program(8), settings, 2, 16);
    AnswerLog log(6'000, 8);
    BatchPolicy policy;
    policy.queue_capacity = 64;
    policy.exec_timeout_ns = 20'000'000;
    ASSERT_TRUE(is_ok(session->start(log, policy)));
    std::vector<std::thread> threads;
    for (uint64_t t = 0; t < 2; ++t) {
      threads.emplace_back([&, t] {
        constexpr size_t kSizes[] = {1, 8, 5, 200, 3};
        for (uint64_t done = 0, i = 0; done < 3'000; ++i) {
          const size_t size = std::min<size_t>(kSizes[i % 5], 3'000 - done);
          ASSERT_TRUE(is_ok(session->submit(samples_from(t * 3'000 + done, size))));
          done += size;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    log.wait_all();
    EXPECT_TRUE(is_ok(session->stop()));
    EXPECT_TRUE(log.each_once());
    EXPECT_GT(log.codes()[Code::kOk], 0u);
    EXPECT_GT(log.codes()[Code::kDeviceError] + log.codes()[Code::kResourceExhausted], 0u);
    const BatchStats stats = session->stats();
    EXPECT_EQ(stats.samples_ok + stats.samples_failed, 6'000u);
    EXPECT_EQ(stats.samples_ok, log.codes()[Code::kOk]);
  }
}

TEST(SessionBenchmark, CountsRuns) {
  for (const auto& settings : {kSync, kAsync}) {
    const auto session = open_null(echo_program(4), settings, 2, 3);
    const auto result = value_of(session->benchmark(1234, 0, {}));
    EXPECT_EQ(result.inferences, 1234u);
    EXPECT_GT(result.seconds, 0);
    EXPECT_EQ(session->stats().batches, 1234u);
    EXPECT_EQ(session->stats().samples_ok, 1234u);
  }
}

TEST(SessionBenchmark, LastsAsLongAsAsked) {
  const auto session = open_null(echo_program(), {}, 2);
  const auto result = value_of(session->benchmark(0, 0.03, {}));
  EXPECT_GE(result.seconds, 0.03);
  EXPECT_GT(result.inferences, 0u);
  EXPECT_EQ(session->stats().samples_ok, result.inferences);
}

TEST(SessionBenchmark, UsesTheGivenInputs) {
  const auto session = open_null(echo_program());
  const int64_t data[4] = {5, 6, 7, 8};
  const ConstBuffer inputs[] = {{data, sizeof data}};
  EXPECT_EQ(value_of(session->benchmark(10, 0, inputs)).inferences, 10u);
  const ConstBuffer wrong[] = {{data, 8}};
  EXPECT_TRUE(is_error(session->benchmark(10, 0, wrong).status(), Code::kInvalidArgument, "'x'"));
  EXPECT_TRUE(is_error(session->benchmark(0, 0, {}).status(), Code::kInvalidArgument, "seconds"));
  EXPECT_TRUE(is_error(session->benchmark(0, -1, {}).status(), Code::kInvalidArgument));
  EXPECT_TRUE(is_ok(run_echo(*session, 9)));
}

TEST(SessionBenchmark, DeviceErrorEndsIt) {
  const auto session = open_null(echo_program(), {{"fault_rate", "1"}});
  EXPECT_TRUE(is_error(session->benchmark(1000, 0, {}).status(), Code::kDeviceError));
  EXPECT_TRUE(is_error(session->benchmark(0, 1e9, {}).status(), Code::kDeviceError));
}

TEST(SessionMetrics, AreRefusedWhereNobodyAskedForThem) {
  const auto session = open_null(echo_program());
  EXPECT_TRUE(is_error(session->metrics().status(), Code::kFailedPrecondition, "metrics"));
  EXPECT_TRUE(is_error(session->profile().status(), Code::kFailedPrecondition, "profile_runs"));
}

TEST(SessionMetrics, CountRunsButForTheFirstAndKeepTheStagesOfSome) {
  for (const char* async : {"0", "1"}) {
    SessionOptions options;
    options.backend = "null";
    options.device_settings = {{"latency_us", "2000"}, {"async", async}};
    options.profile_runs = 3;
    const auto session = value_of(Session::open(make_qpc(echo_program()), options));
    EXPECT_EQ(value_of(session->metrics()).runs, 0u);
    const std::vector<int64_t> x(4);
    std::vector<int64_t> y(4);
    const ConstBuffer in{x.data(), 32};
    const MutableBuffer out{y.data(), 32};
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(is_ok(session->run({&in, 1}, {&out, 1})));
    EXPECT_FALSE(session->run({&in, 1}, {}).ok());  // not an inference
    const RunMetrics metrics = value_of(session->metrics());
    EXPECT_EQ(metrics.runs, 4u);
    EXPECT_GE(metrics.min, 0.002);
    EXPECT_GE(metrics.max, metrics.p999);
    EXPECT_GE(metrics.p999, metrics.p50);
    EXPECT_GE(metrics.p50, metrics.min);
    EXPECT_NEAR(metrics.total, metrics.average * 4, 1e-9);
    const std::vector<RunProfile> profile = value_of(session->profile());
    ASSERT_EQ(profile.size(), 3u);
    for (const RunProfile& run : profile) {
      EXPECT_GE(run.device, 0.002);
      for (const double stage : {run.wait, run.gather, run.scatter}) {
        EXPECT_GE(stage, 0);
        EXPECT_LT(stage, 60);
      }
    }
  }
}

TEST(SessionRun, OnOneActivationAndTellsOfIt) {
  for (const char* async : {"0", "1"}) {
    SessionOptions options;
    options.backend = "null";
    options.num_activations = 3;
    options.device_settings = {{"latency_us", "2000"}, {"async", async}};
    const auto session = value_of(Session::open(make_qpc(echo_program()), options));
    const std::vector<int64_t> x(4);
    std::vector<int64_t> y(4);
    const ConstBuffer in{x.data(), 32};
    const MutableBuffer out{y.data(), 32};
    uint64_t last = 0;
    for (const uint32_t activation : {2u, 0u, 1u, 2u}) {
      RunProfile profile;
      ASSERT_TRUE(is_ok(session->run({&in, 1}, {&out, 1}, RunShape{}, {activation, &profile})));
      EXPECT_EQ(profile.activation, activation);
      EXPECT_GT(profile.start_ns, last);
      EXPECT_GE(profile.device, 0.002);
      last = profile.start_ns;
    }
    EXPECT_TRUE(is_error(session->run({&in, 1}, {&out, 1}, RunShape{}, {3, nullptr}),
                         Code::kInvalidArgument, "activation 3"));
  }
}

TEST(SessionBenchmark, IsEndedByItsProgress) {
  SessionOptions options;
  options.backend = "null";
  options.device_settings = {{"latency_us", "1000"}};
  const auto session = value_of(Session::open(make_qpc(echo_program()), options));
  uint64_t last = 0;
  const auto result =
      value_of(session->benchmark(1'000'000, 0, {}, RunShape::kBySize, [&](uint64_t inferences) {
        EXPECT_GE(inferences, last);
        last = inferences;
        return inferences < 5;
      }));
  EXPECT_GE(last, 5u);
  EXPECT_GE(result.inferences, last);
  EXPECT_LT(result.inferences, 1'000'000u);
  EXPECT_EQ(value_of(session->benchmark(7, 0, {})).inferences, 7u);
}

TEST(SessionMetrics, OfThreads) {
  SessionOptions options;
  options.backend = "null";
  options.num_activations = 2;
  options.metrics = true;
  const auto session = value_of(Session::open(make_qpc(echo_program()), options));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      const std::vector<int64_t> x(4);
      std::vector<int64_t> y(4);
      const ConstBuffer in{x.data(), 32};
      const MutableBuffer out{y.data(), 32};
      for (int i = 0; i < 250; ++i) EXPECT_TRUE(session->run({&in, 1}, {&out, 1}).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(value_of(session->metrics()).runs, 999u);
  EXPECT_TRUE(value_of(session->profile()).empty());
}

}  // namespace
}  // namespace qaickit
