#include "loadgen/settings.h"

#include <cerrno>

#include "base/cat.h"

namespace qaickit {
namespace {

mlperf::TestScenario to_mlperf(Scenario scenario) {
  switch (scenario) {
    case Scenario::kSingleStream: return mlperf::TestScenario::SingleStream;
    case Scenario::kMultiStream: return mlperf::TestScenario::MultiStream;
    case Scenario::kServer: return mlperf::TestScenario::Server;
    case Scenario::kOffline: break;
  }
  return mlperf::TestScenario::Offline;
}

// As configuration files spell it.
const char* section_name(Scenario scenario) {
  switch (scenario) {
    case Scenario::kSingleStream: return "SingleStream";
    case Scenario::kMultiStream: return "MultiStream";
    case Scenario::kServer: return "Server";
    case Scenario::kOffline: break;
  }
  return "Offline";
}

mlperf::TestMode to_mlperf(LoadgenMode mode) {
  switch (mode) {
    case LoadgenMode::kAccuracy: return mlperf::TestMode::AccuracyOnly;
    case LoadgenMode::kSubmission: return mlperf::TestMode::SubmissionRun;
    case LoadgenMode::kFindPeak: return mlperf::TestMode::FindPeakPerformance;
    case LoadgenMode::kPerformance: break;
  }
  return mlperf::TestMode::PerformanceOnly;
}

// One FromConfig for each file. Type 0 is LoadGen's built-in mlperf.conf, type 2 a file by itself;
// type 1 does both, but the first part only once in a process.
Status read_conf(mlperf::TestSettings& settings, const std::string& path, int type,
                 const LoadgenOptions& options) {
  const int result =
      settings.FromConfig(path, options.model_name, section_name(options.scenario), type);
  if (result == 0) return {};
  const std::string what = type == 0 ? "LoadGen's built-in mlperf.conf" : cat("'", path, "'");
  if (result == -ENOENT) return Status(Code::kNotFound, cat(what, ": LoadGen cannot open it"));
  return Status(Code::kInvalidArgument,
                cat(what, ": LoadGen refuses it (", result,
                    "): each line must be 'model.scenario.key = number', with blanks around '='"));
}

template <class T, class V>
void set_if(T& field, V value) {
  if (value != V{}) field = static_cast<T>(value);
}

}  // namespace

Result<mlperf::TestSettings> make_test_settings(const LoadgenOptions& o) {
  mlperf::TestSettings s;
  if (o.built_in_conf) QAICKIT_RETURN_IF_ERROR(read_conf(s, "", 0, o));
  if (!o.mlperf_conf.empty()) QAICKIT_RETURN_IF_ERROR(read_conf(s, o.mlperf_conf, 2, o));
  if (!o.user_conf.empty()) QAICKIT_RETURN_IF_ERROR(read_conf(s, o.user_conf, 2, o));

  // After the files: one of them may set a mode.
  s.scenario = to_mlperf(o.scenario);
  s.mode = to_mlperf(o.mode);
  set_if(s.offline_expected_qps, o.target_qps);
  set_if(s.server_target_qps, o.target_qps);
  set_if(s.server_target_latency_ns, o.target_latency_ns);
  set_if(s.single_stream_expected_latency_ns, o.target_latency_ns);
  set_if(s.multi_stream_expected_latency_ns, o.target_latency_ns);
  set_if(s.min_duration_ms, o.min_duration_ms);
  set_if(s.max_duration_ms, o.max_duration_ms);
  set_if(s.min_query_count, o.min_query_count);
  set_if(s.max_query_count, o.max_query_count);
  set_if(s.performance_sample_count_override, o.performance_sample_count);
  return s;
}

mlperf::LogSettings make_log_settings(const LoadgenOptions& options) {
  mlperf::LogSettings log;
  log.log_output.outdir = options.output_dir;
  log.enable_trace = false;  // costs more than a cheap sample does
  return log;
}

}  // namespace qaickit
