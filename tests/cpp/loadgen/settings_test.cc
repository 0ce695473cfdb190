#include "loadgen/settings.h"

#include <gtest/gtest.h>

#include "container/scratch.h"
#include "support/result.h"

namespace qaickit {
namespace {

using test::is_error;
using test::Scratch;
using test::value_of;

TEST(LoadgenSettings, UnsetMeansLoadGensOwn) {
  LoadgenOptions options;
  const mlperf::TestSettings defaults{};
  const auto s = value_of(make_test_settings(options));
  EXPECT_EQ(s.scenario, mlperf::TestScenario::Offline);
  EXPECT_EQ(s.mode, mlperf::TestMode::PerformanceOnly);
  EXPECT_EQ(s.min_duration_ms, defaults.min_duration_ms);
  EXPECT_EQ(s.min_query_count, defaults.min_query_count);
  EXPECT_EQ(s.offline_expected_qps, defaults.offline_expected_qps);
  EXPECT_EQ(s.server_target_latency_ns, defaults.server_target_latency_ns);
}

TEST(LoadgenSettings, OptionsAreMapped) {
  LoadgenOptions options;
  options.target_qps = 123.5;
  options.target_latency_ns = 7'000;
  options.min_duration_ms = 11;
  options.max_duration_ms = 12;
  options.min_query_count = 13;
  options.max_query_count = 14;
  options.performance_sample_count = 15;
  const auto s = value_of(make_test_settings(options));
  EXPECT_EQ(s.offline_expected_qps, 123.5);
  EXPECT_EQ(s.server_target_qps, 123.5);
  EXPECT_EQ(s.server_target_latency_ns, 7'000u);
  EXPECT_EQ(s.single_stream_expected_latency_ns, 7'000u);
  EXPECT_EQ(s.multi_stream_expected_latency_ns, 7'000u);
  EXPECT_EQ(s.min_duration_ms, 11u);
  EXPECT_EQ(s.max_duration_ms, 12u);
  EXPECT_EQ(s.min_query_count, 13u);
  EXPECT_EQ(s.max_query_count, 14u);
  EXPECT_EQ(s.performance_sample_count_override, 15u);
}

TEST(LoadgenSettings, ScenariosAndModes) {
  const auto mapped = [](Scenario scenario, LoadgenMode mode) {
    LoadgenOptions options;
    options.scenario = scenario;
    options.mode = mode;
    return value_of(make_test_settings(options));
  };
  using S = mlperf::TestScenario;
  using M = mlperf::TestMode;
  EXPECT_EQ(mapped(Scenario::kSingleStream, LoadgenMode::kAccuracy).scenario, S::SingleStream);
  EXPECT_EQ(mapped(Scenario::kMultiStream, LoadgenMode::kAccuracy).scenario, S::MultiStream);
  EXPECT_EQ(mapped(Scenario::kServer, LoadgenMode::kAccuracy).scenario, S::Server);
  EXPECT_EQ(mapped(Scenario::kServer, LoadgenMode::kAccuracy).mode, M::AccuracyOnly);
  EXPECT_EQ(mapped(Scenario::kServer, LoadgenMode::kSubmission).mode, M::SubmissionRun);
  EXPECT_EQ(mapped(Scenario::kServer, LoadgenMode::kFindPeak).mode, M::FindPeakPerformance);
}

class LoadgenConf : public ::testing::Test {
 protected:
  Result<mlperf::TestSettings> read(const std::string& text) {
    options.user_conf = scratch.write("user.conf", test::bytes_of(text));
    return make_test_settings(options);
  }
  Scratch scratch;
  LoadgenOptions options;
};

TEST_F(LoadgenConf, IsReadForItsModelAndScenario) {
  options.model_name = "net";
  const auto s =
      value_of(read("*.Offline.target_qps = 5\nnet.Offline.min_duration = 77\n"
                    "other.Offline.min_query_count = 9\nnet.Server.target_qps = 6\n"));
  EXPECT_EQ(s.offline_expected_qps, 5);
  EXPECT_EQ(s.min_duration_ms, 77u);
  EXPECT_EQ(s.min_query_count, mlperf::TestSettings().min_query_count);
}

TEST_F(LoadgenConf, OptionsWinOverTheFile) {
  options.min_duration_ms = 5;
  options.mode = LoadgenMode::kPerformance;
  const auto s = value_of(read("*.*.min_duration = 77\n*.*.min_query_count = 3\n*.*.mode = 1\n"));
  EXPECT_EQ(s.min_duration_ms, 5u);
  EXPECT_EQ(s.min_query_count, 3u);
  EXPECT_EQ(s.mode, mlperf::TestMode::PerformanceOnly);
}

TEST_F(LoadgenConf, UserFileWinsOverMlperfConf) {
  options.mlperf_conf = scratch.write(
      "mlperf.conf", test::bytes_of("*.*.min_duration = 10\n*.*.min_query_count = 11\n"));
  const auto s = value_of(read("*.*.min_duration = 20\n"));
  EXPECT_EQ(s.min_duration_ms, 20u);
  EXPECT_EQ(s.min_query_count, 11u);
}

TEST_F(LoadgenConf, BuiltInConfIsAppliedEveryTime) {
  options.built_in_conf = true;
  options.model_name = "resnet50";
  for (int i = 0; i < 2; ++i) {
    const auto s = value_of(read("*.*.min_query_count = 3\n"));
    EXPECT_EQ(s.performance_sample_count_override, 1024u);
    EXPECT_EQ(s.min_query_count, 3u);
    EXPECT_EQ(s.min_duration_ms, 600'000u);
    EXPECT_NE(s.qsl_rng_seed, 0u);
  }
}

TEST_F(LoadgenConf, ThatLoadGenRefusesIsAnError) {
  EXPECT_TRUE(is_error(read("*.*.min_duration = soon\n").status(), Code::kInvalidArgument,
                       options.user_conf, "model.scenario.key = number"));
}

TEST_F(LoadgenConf, ThatIsNotThereIsAnError) {
  options.user_conf = scratch.path("none.conf");
  EXPECT_TRUE(is_error(make_test_settings(options).status(), Code::kNotFound, options.user_conf));
  options.user_conf.clear();
  options.mlperf_conf = scratch.path("none.conf");
  EXPECT_TRUE(is_error(make_test_settings(options).status(), Code::kNotFound, options.mlperf_conf));
}

TEST(LoadgenLog, HasNoTrace) {
  LoadgenOptions options;
  options.output_dir = "/some/where";
  const auto log = make_log_settings(options);
  EXPECT_EQ(log.log_output.outdir, "/some/where");
  EXPECT_FALSE(log.enable_trace);
}

}  // namespace
}  // namespace qaickit
