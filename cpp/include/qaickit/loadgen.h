#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "qaickit/batch.h"
#include "qaickit/export.h"
#include "qaickit/session.h"
#include "qaickit/workload.h"

// MLPerf LoadGen around a Session, with nothing but C++ in the timed path.
namespace qaickit {

enum class Scenario : uint8_t { kSingleStream, kMultiStream, kServer, kOffline };
enum class LoadgenMode : uint8_t { kPerformance, kAccuracy, kSubmission, kFindPeak };

// Zero or empty means: leave what the configuration files or LoadGen say.
struct LoadgenOptions {
  Scenario scenario = Scenario::kOffline;
  LoadgenMode mode = LoadgenMode::kPerformance;
  std::string sut_name = "qaickit";
  std::string qsl_name = "qaickit";
  std::string model_name;   // section looked up in the configuration files
  std::string mlperf_conf;  // replaces LoadGen's built-in mlperf.conf
  std::string user_conf;
  std::string audit_config;        // of a compliance test: LoadGen applies it last, over everything
  bool built_in_conf = false;      // apply LoadGen's built-in mlperf.conf (MLPerf's own limits)
  double target_qps = 0;           // Offline, Server
  uint64_t target_latency_ns = 0;  // Server: bound; streams: expected latency
  uint64_t min_duration_ms = 0;
  uint64_t max_duration_ms = 0;
  uint64_t min_query_count = 0;
  uint64_t max_query_count = 0;
  uint64_t performance_sample_count = 0;
  std::string output_dir;  // must exist
  BatchPolicy batch;
};

// Version of the LoadGen that is linked in.
QAICKIT_API std::string loadgen_version();

// One LoadGen test. LoadGen keeps global state: one test at a time in a process.
class QAICKIT_API LoadgenTest {
 public:
  // Checks the settings (LoadGen's own return codes included), starts the session's workers and
  // the test on a thread of its own. `session` must outlive the test.
  static Result<std::unique_ptr<LoadgenTest>> start(Session& session, std::string_view workload,
                                                    std::vector<SampleArray> arrays,
                                                    const LoadgenOptions& options);
  virtual ~LoadgenTest() = default;  // aborts and waits

  // Waits up to `timeout_ms` for the end; true when it has ended.
  virtual bool wait_ms(uint64_t timeout_ms) = 0;
  virtual uint64_t samples_issued() const noexcept = 0;
  virtual uint64_t samples_done() const noexcept = 0;
  // Ends the test now: samples that wait are failed, and logs of what was done are still written.
  // Blocks until the end, or until no sample was answered for close_timeout of the batch policy
  // though some wait; then runs that do not end are given up, and the end follows.
  virtual void abort() noexcept = 0;
  // After the end: success, or the first failure of a sample or of the harness.
  virtual Status result() const = 0;
  virtual BatchStats stats() const = 0;
};

}  // namespace qaickit
