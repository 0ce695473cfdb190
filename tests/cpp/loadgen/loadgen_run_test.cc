// Whole LoadGen tests on the null device. ctest runs each in its own process.

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <thread>

#include "container/scratch.h"
#include "qaickit/loadgen.h"
#include "support/answer_log.h"
#include "support/programs.h"

namespace qaickit {
namespace {

using test::AnswerLog;
using test::is_error;
using test::is_ok;
using test::open_null;
using test::samples_from;
using test::Scratch;
using test::value_of;

constexpr uint64_t kMinute = 60'000;
constexpr size_t kClasses = 4;
constexpr size_t kSamples = 50;

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// The null device answers with its input: the class of a sample is its highest input.
ProgramSpec classifier(int32_t batch) {
  ProgramSpec program;
  program.name = "classifier";
  program.inputs = {{"x", DType::kFloat32, {batch, kClasses}}};
  program.outputs = {{"scores", DType::kFloat32, {batch, kClasses}}};
  program.batch_size = batch;
  return program;
}

#ifdef __SANITIZE_THREAD__
constexpr bool kSlowedDown = true;
#else
constexpr bool kSlowedDown = false;
#endif
constexpr const char* kLoggerHangs =
    "LoadGen's logger, which has data races of its own, can lose an entry and wait for it for ever "
    "when ThreadSanitizer slows it down";

class LoadgenRun : public ::testing::Test {
 protected:
  LoadgenRun() : data(kSamples * kClasses) {
    for (size_t i = 0; i < kSamples; ++i) data[i * kClasses + i % kClasses] = 1;
    options.output_dir = scratch.path("logs");
    options.min_duration_ms = 20;
    options.min_query_count = 50;
    options.target_qps = 2'000;
    std::filesystem::create_directory(options.output_dir);
    std::filesystem::current_path(scratch.path(""));
  }
  ~LoadgenRun() override { std::filesystem::current_path("/"); }

  Result<std::unique_ptr<LoadgenTest>> start(Session& session) {
    // The bound of a Server; of streams how many queries LoadGen makes beforehand.
    if (options.target_latency_ns == 0) {
      const bool is_long = options.scenario == Scenario::kServer || options.min_duration_ms > 1'000;
      options.target_latency_ns = is_long ? 100'000'000 : 1'000;
    }
    return LoadgenTest::start(session, "classification",
                              {{data.data(), data.size() * sizeof(float)}}, options);
  }
  std::string log(const std::string& name) const {
    return read_file(options.output_dir + "/mlperf_log_" + name);
  }
  // What the logs look like when they were closed in order.
  void expect_closed_logs() const {
    const std::string detail = log("detail.txt");
    ASSERT_FALSE(detail.empty());
    EXPECT_EQ(detail.back(), '\n');
    EXPECT_EQ(detail.compare(0, 8, ":::MLLOG"), 0);
    const std::string accuracy = log("accuracy.json");
    EXPECT_EQ(accuracy.front(), '[');
    EXPECT_NE(accuracy.find("\n]\n"), std::string::npos);
  }
  // A whole test, from start to its logs.
  void run(Session& session) {
    const auto test = value_of(start(session));
    ASSERT_TRUE(test->wait_ms(kMinute));
    EXPECT_TRUE(is_ok(test->result()));
    EXPECT_GE(test->samples_issued(), 50u);
    EXPECT_EQ(test->samples_done(), test->samples_issued());
    EXPECT_EQ(test->stats().samples_ok, test->samples_issued());
    EXPECT_EQ(test->stats().samples_failed, 0u);
    expect_closed_logs();
    std::istringstream detail(log("detail.txt"));
    for (std::string line; std::getline(detail, line);) {
      EXPECT_EQ(line.find("\"is_error\": true"), std::string::npos) << line;
    }
  }
  // Waits until the test is at work.
  static void wait_begun(const LoadgenTest& test) {
    while (test.samples_done() == 0) std::this_thread::yield();
  }

  Scratch scratch;
  std::vector<float> data;
  LoadgenOptions options;
};

struct Flavour {
  Scenario scenario;
  const char* name;
  int32_t batch;
  const char* async;
};

class LoadgenScenarios : public LoadgenRun, public ::testing::WithParamInterface<Flavour> {};

TEST_P(LoadgenScenarios, Performance) {
  const auto& [scenario, name, batch, async] = GetParam();
  options.scenario = scenario;
  options.batch.max_delay_ns = batch > 1 ? 100'000 : 0;
  const auto session = open_null(classifier(batch), {{"async", async}}, 2);
  run(*session);
  EXPECT_NE(log("summary.txt").find(std::string("Scenario : ") + name), std::string::npos);
  EXPECT_EQ(log("summary.txt").find("Mode     : AccuracyOnly"), std::string::npos);
}

// LoadGen's own accuracy log holds each sample's own class.
TEST_P(LoadgenScenarios, Accuracy) {
  const auto& [scenario, name, batch, async] = GetParam();
  options.scenario = scenario;
  options.mode = LoadgenMode::kAccuracy;
  options.performance_sample_count = 16;  // in four parts, the last one short
  const auto session = open_null(classifier(batch), {{"async", async}}, 2);
  run(*session);
  const std::string text = log("accuracy.json");
  const std::regex entry("\"qsl_idx\" ?: ?([0-9]+), ?\"data\" ?: ?\"([0-9A-F]+)\"");
  std::set<size_t> seen;
  for (std::sregex_iterator it(text.begin(), text.end(), entry), end; it != end; ++it) {
    const size_t index = std::stoul((*it)[1]);
    const auto expected = static_cast<float>(index % kClasses);
    std::ostringstream hex;
    unsigned char bytes[sizeof expected];
    std::memcpy(bytes, &expected, sizeof expected);
    for (const unsigned char byte : bytes) {
      hex << std::uppercase << std::hex << byte / 16 << byte % 16;
    }
    EXPECT_EQ((*it)[2], hex.str()) << "sample " << index;
    // MultiStream fills its last query with samples that it has had.
    EXPECT_TRUE(seen.insert(index).second || scenario == Scenario::kMultiStream) << index;
  }
  EXPECT_EQ(seen.size(), kSamples);
}

INSTANTIATE_TEST_SUITE_P(All, LoadgenScenarios,
                         ::testing::Values(Flavour{Scenario::kSingleStream, "SingleStream", 1, "0"},
                                           Flavour{Scenario::kMultiStream, "MultiStream", 8, "0"},
                                           Flavour{Scenario::kServer, "Server", 1, "0"},
                                           Flavour{Scenario::kServer, "Server", 4, "1"},
                                           Flavour{Scenario::kOffline, "Offline", 1, "0"},
                                           Flavour{Scenario::kOffline, "Offline", 8, "1"}),
                         [](const auto& info) {
                           return std::string(info.param.name) +
                                  (*info.param.async == '1' ? "Async" : "Sync");
                         });

TEST_F(LoadgenRun, SubmissionModeDoesBoth) {
  options.mode = LoadgenMode::kSubmission;
  const auto session = open_null(classifier(4));
  run(*session);
  EXPECT_NE(log("accuracy.json").find("qsl_idx"), std::string::npos);
  EXPECT_NE(log("summary.txt").find("Samples per second"), std::string::npos);
}

TEST_F(LoadgenRun, OneAfterAnotherInOneProcess) {
  if (kSlowedDown) GTEST_SKIP() << kLoggerHangs;
  const auto session = open_null(classifier(4));
  for (const Scenario scenario : {Scenario::kOffline, Scenario::kSingleStream}) {
    options.scenario = scenario;
    run(*session);
  }
}

class LoadgenAbort : public LoadgenRun, public ::testing::WithParamInterface<Scenario> {};

TEST_P(LoadgenAbort, EndsSoonAndClosesTheLogs) {
  options.scenario = GetParam();
  options.min_duration_ms = 10 * kMinute;
  options.target_qps = 200;
  const auto session = open_null(classifier(1), {{"latency_us", "500"}});
  {
    const auto test = value_of(start(*session));
    EXPECT_TRUE(is_error(test->result(), Code::kFailedPrecondition, "not ended"));
    EXPECT_FALSE(test->wait_ms(0));
    wait_begun(*test);
    test->abort();
    ASSERT_TRUE(test->wait_ms(kMinute));
    EXPECT_TRUE(is_error(test->result(), Code::kCancelled, "aborted"));
    expect_closed_logs();
    EXPECT_EQ(test->samples_done(), test->samples_issued());
  }
  // LoadGen's global state is fit for another test.
  options.min_duration_ms = 20;
  options.target_qps = 2000;
  run(*session);
}

TEST_P(LoadgenAbort, WithADeviceThatIsStuckUntilCancelled) {
  options.scenario = GetParam();
  options.batch.close_timeout_ns = 1'000'000;
  const auto session = open_null(classifier(1), {{"latency_us", "1e9"}});
  const auto test = value_of(start(*session));
  while (test->samples_issued() == 0) std::this_thread::yield();
  test->abort();
  ASSERT_TRUE(test->wait_ms(kMinute));
  EXPECT_TRUE(is_error(test->result(), Code::kCancelled));
  expect_closed_logs();
}

TEST_P(LoadgenAbort, IsWhatTheDestructorDoes) {
  options.scenario = GetParam();
  options.min_duration_ms = 10 * kMinute;
  const auto session = open_null(classifier(1), {{"latency_us", "500"}});
  wait_begun(*value_of(start(*session)));
  expect_closed_logs();
}

// Workers' logs are longer than what LoadGen reads at once; were a worker to end before the test,
// LoadGen's logger would use the log after it has freed it.
TEST_P(LoadgenAbort, OfAFastRunInItsFirstSecond) {
  if (kSlowedDown) GTEST_SKIP() << kLoggerHangs;
  options.scenario = GetParam();
  options.min_duration_ms = 5'000;
  options.target_qps = 100'000;
  options.target_latency_ns = 100'000'000;
  if (options.scenario == Scenario::kSingleStream || options.scenario == Scenario::kMultiStream) {
    // Goes on until the abort, however slow the machine is.
    options.min_duration_ms = 10 * kMinute;
    options.target_latency_ns = 10'000'000;
  }
  options.batch.caller_runs = CallerRuns::kNever;
  const auto session = open_null(classifier(1), {}, 2);
  const auto test = value_of(start(*session));
  while (test->samples_done() < 5'000) std::this_thread::yield();
  test->abort();
  ASSERT_TRUE(test->wait_ms(kMinute));
  EXPECT_TRUE(is_error(test->result(), Code::kCancelled));
  EXPECT_EQ(test->samples_done(), test->samples_issued());
  expect_closed_logs();
}

constexpr const char* kScenarioNames[] = {"SingleStream", "MultiStream", "Server", "Offline"};

INSTANTIATE_TEST_SUITE_P(All, LoadgenAbort,
                         ::testing::Values(Scenario::kOffline, Scenario::kServer,
                                           Scenario::kSingleStream, Scenario::kMultiStream),
                         [](const auto& info) {
                           return std::string(kScenarioNames[static_cast<int>(info.param)]);
                         });

TEST_F(LoadgenRun, SecondTestInTheProcessIsRefusedAndTheFirstGoesOn) {
  options.min_duration_ms = 100;
  options.target_qps = 500;
  const auto session = open_null(classifier(1), {{"latency_us", "200"}});
  const auto other = open_null(classifier(1));
  const auto test = value_of(start(*session));
  EXPECT_TRUE(is_error(start(*session).status(), Code::kFailedPrecondition, "already in progress"));
  EXPECT_TRUE(is_error(start(*other).status(), Code::kFailedPrecondition, "already in progress"));
  ASSERT_TRUE(test->wait_ms(kMinute));
  EXPECT_TRUE(is_ok(test->result()));
  EXPECT_EQ(test->stats().samples_failed, 0u);
}

TEST_F(LoadgenRun, SessionThatIsAtWorkIsRefusedAndGoesOn) {
  const auto session = open_null(classifier(1));
  struct Nothing final : BatchHandler {
    Status prepare(uint32_t, uint32_t) override { return {}; }
    Status gather(const Batch&) noexcept override { return {}; }
    void scatter(const Batch&) noexcept override {}
    void fail(std::span<const Sample>, const Status&) noexcept override {}
  } handler;
  ASSERT_TRUE(is_ok(session->start(handler, {})));
  EXPECT_TRUE(is_error(start(*session).status(), Code::kFailedPrecondition, "already started"));
  EXPECT_TRUE(is_ok(session->submit(samples_from(0, 1))));
  EXPECT_TRUE(is_ok(session->stop()));
  run(*session);  // nor was the process left marked as busy
}

TEST_F(LoadgenRun, StrayAuditConfigIsRefused) {
  scratch.write("audit.config", test::bytes_of("*.*.mode = 1\n"));
  const auto session = open_null(classifier(1));
  EXPECT_TRUE(is_error(start(*session).status(), Code::kFailedPrecondition, "audit.config",
                       "move it away"));
  options.audit_config = "no audit.config";
  EXPECT_TRUE(is_error(start(*session).status(), Code::kNotFound, "no audit.config"));
  options.audit_config = "";
  std::filesystem::remove(scratch.path("audit.config"));
  run(*session);
}

TEST_F(LoadgenRun, AuditConfigThatIsNamedIsObeyed) {
  // LoadGen logs some answers of a performance test then, for compliance tests to compare.
  scratch.write("audit.config",
                test::bytes_of("*.*.mode = 2\n*.*.accuracy_log_rng_seed = 720381539243781796\n"
                               "*.*.accuracy_log_sampling_target = 10\n"));
  const auto session = open_null(classifier(1));
  options.audit_config = "audit.config";
  run(*session);
  const auto log = std::filesystem::path(options.output_dir) / "mlperf_log_accuracy.json";
  EXPECT_GT(std::filesystem::file_size(log), 20u);
  std::filesystem::remove(scratch.path("audit.config"));
}

TEST_F(LoadgenRun, OutputDirectoryMustBeThere) {
  const auto session = open_null(classifier(1));
  options.output_dir = scratch.path("none");
  EXPECT_TRUE(is_error(start(*session).status(), Code::kNotFound, options.output_dir));
  options.output_dir = "";
  EXPECT_TRUE(is_error(start(*session).status(), Code::kNotFound, "output directory ''"));
}

// LoadGen itself would say so on standard error and return as if all were well.
TEST_F(LoadgenRun, LogThatCannotBeWrittenIsAnError) {
  std::filesystem::create_directory(options.output_dir + "/mlperf_log_detail.txt");
  const auto session = open_null(classifier(1));
  EXPECT_TRUE(is_error(start(*session).status(), Code::kPermissionDenied,
                       "mlperf_log_detail.txt' cannot be written"));
  std::filesystem::remove(options.output_dir + "/mlperf_log_detail.txt");
  run(*session);
}

TEST_F(LoadgenRun, WorkloadAndSettingsAreChecked) {
  const auto session = open_null(classifier(1));
  data.resize(kClasses + 1);
  EXPECT_TRUE(is_error(start(*session).status(), Code::kInvalidArgument, "multiple of 16 bytes"));
  data.resize(kClasses);
  options.user_conf = scratch.path("none.conf");
  EXPECT_TRUE(is_error(start(*session).status(), Code::kNotFound, "none.conf"));
  EXPECT_TRUE(std::filesystem::is_empty(options.output_dir));
  EXPECT_TRUE(
      is_error(LoadgenTest::start(*session, "nonsense", {{data.data(), 16}}, options).status(),
               Code::kInvalidArgument, "unknown workload 'nonsense'"));
}

// A fault does not hang the test: the sample is completed and the result says why.
TEST_F(LoadgenRun, DeviceFaultIsTheResult) {
  for (const char* async : {"0", "1"}) {
    const auto session = open_null(classifier(4), {{"fault_rate", "0.5"}, {"async", async}});
    const auto test = value_of(start(*session));
    ASSERT_TRUE(test->wait_ms(kMinute));
    EXPECT_TRUE(is_error(test->result(), Code::kDeviceError, "injected"));
    EXPECT_GT(test->stats().samples_failed, 0u);
    EXPECT_EQ(test->samples_done(), test->samples_issued());
    expect_closed_logs();
  }
}

TEST_F(LoadgenRun, LostCompletionIsTheResult) {
  options.batch.exec_timeout_ns = 5'000'000;
  const auto session = open_null(classifier(4), {{"async", "1"}, {"lost_rate", "1"}});
  const auto test = value_of(start(*session));
  ASSERT_TRUE(test->wait_ms(kMinute));
  EXPECT_TRUE(is_error(test->result(), Code::kTimedOut, "no completion"));
  expect_closed_logs();
}

TEST_F(LoadgenRun, MoreSamplesAskedForThanThereAre) {
  options.performance_sample_count = kSamples + 1;
  const auto session = open_null(classifier(4));
  run(*session);  // LoadGen takes what there is
}

}  // namespace
}  // namespace qaickit
