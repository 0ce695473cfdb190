#include "loadgen.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>

#include "base/cat.h"
#include "base/keep_for_ever.h"
#include "loadgen/settings.h"
#include "loadgen/sut.h"
#include "qaickit/loadgen.h"
#include "queue/event_count.h"
#include "version.h"

namespace qaickit {
namespace {

// LoadGen's logger and controllers are process-wide.
std::atomic<bool> test_in_progress{false};

class LoadgenTestImpl final : public LoadgenTest {
 public:
  LoadgenTestImpl(Session& session, const LoadgenOptions& options)
      : session_(session), options_(options), sut_(session, options.sut_name) {}

  ~LoadgenTestImpl() override {
    if (thread_.joinable()) {
      if (!ended_.load(std::memory_order_acquire)) abort();
      thread_.join();
    }
    // The device may still read the samples.
    if (sut_.left_behind()) keep_for_ever(std::shared_ptr<void>(std::move(workload_)));
    if (started_) test_in_progress.store(false, std::memory_order_release);
  }

  Status init(std::string_view workload, std::vector<SampleArray> arrays) {
    if (test_in_progress.exchange(true, std::memory_order_acquire)) {
      return Status(Code::kFailedPrecondition,
                    "a LoadGen test is already in progress in this process");
    }
    started_ = true;
    const std::string& audit = options_.audit_config;
    if (audit.empty() && access("audit.config", F_OK) == 0) {
      return Status(Code::kFailedPrecondition,
                    "audit.config in the current directory would change the test's settings; move "
                    "it away, run from another directory, or name it as audit_config");
    }
    // LoadGen goes on without a file that it cannot open.
    if (!audit.empty() && access(audit.c_str(), R_OK) != 0) {
      return Status(Code::kNotFound, cat("audit_config '", audit, "': ", std::strerror(errno)));
    }
    if (access(options_.output_dir.c_str(), W_OK | X_OK) != 0) {
      return Status(errno == ENOENT ? Code::kNotFound : Code::kPermissionDenied,
                    cat("output directory '", options_.output_dir, "': ", std::strerror(errno)));
    }
    QAICKIT_ASSIGN_OR_RETURN(
        workload_, Workload::create(workload, session_.program(), std::move(arrays), sut_));
    // Memory that cannot be page-locked is only slower: the device copies out of it.
    workload_->pin_with([this](std::span<std::byte> memory) {
      auto pin = session_.pin(memory);
      return pin.ok() ? std::move(pin).value() : nullptr;
    });
    qsl_.emplace(*workload_, sut_, options_.qsl_name, options_.performance_sample_count);
    QAICKIT_ASSIGN_OR_RETURN(settings_, make_test_settings(options_));
    QAICKIT_RETURN_IF_ERROR(check_logs());
    handler_.emplace(*workload_, sut_);
    QAICKIT_RETURN_IF_ERROR(session_.start(*handler_, options_.batch));
    thread_ = std::thread([this] { run(); });
    return {};
  }

  bool wait_ms(uint64_t timeout_ms) override {
    return wait_ns(std::min(timeout_ms, UINT64_MAX / 1'000'000) * 1'000'000);
  }
  uint64_t samples_issued() const noexcept override { return sut_.issued(); }
  uint64_t samples_done() const noexcept override {
    const BatchStats stats = session_.stats();
    return stats.samples_ok + stats.samples_failed;
  }
  void abort() noexcept override {
    sut_.abort();
    uint64_t done = samples_done();
    while (!wait_ns(options_.batch.close_timeout_ns)) {
      const uint64_t before = std::exchange(done, samples_done());
      // A run that does not end has to be cancelled or given up. Where all samples are answered,
      // or still more are, LoadGen only takes its time, and its logger needs the workers.
      if (done == before && done < sut_.issued()) return sut_.stop();
    }
  }
  Status result() const override {
    if (!ended_.load(std::memory_order_acquire)) {
      return Status(Code::kFailedPrecondition, "the test has not ended");
    }
    return sut_.failure();
  }
  BatchStats stats() const override { return session_.stats(); }

 private:
  bool wait_ns(uint64_t timeout_ns) noexcept {
    return ended_event_.await([&] { return ended_.load(std::memory_order_acquire); }, timeout_ns);
  }

  // LoadGen says on standard error that it cannot open a log, and returns as if all were well.
  Status check_logs() const {
    const std::string prefix = make_log_settings(options_).log_output.prefix;
    for (const char* name : {"summary.txt", "detail.txt", "accuracy.json", "trace.json"}) {
      const std::string path = cat(options_.output_dir, "/", prefix, name);
      if (std::ofstream(path, std::ios::app)) continue;
      return Status(Code::kPermissionDenied,
                    cat("LoadGen's log '", path, "' cannot be written: ", std::strerror(errno)));
    }
    return {};
  }

  void run() noexcept {
    try {
      mlperf::StartTest(&sut_, &*qsl_, settings_, make_log_settings(options_),
                        options_.audit_config);
    } catch (const TestAborted&) {
      // Thrown by our own IssueQuery, after LoadGen's logs were closed.
    } catch (const std::exception& error) {
      sut_.note_failure(Status(Code::kInternal, cat("LoadGen: ", error.what())));
    }
    sut_.stop();
    if (sut_.issued() == 0) {
      sut_.note_failure(Status(Code::kInternal, "LoadGen issued no query; its log may say why"));
    }
    // release: pairs with the acquire loads above.
    ended_.store(true, std::memory_order_release);
    ended_event_.notify_all();
  }

  Session& session_;
  const LoadgenOptions options_;
  Sut sut_;
  std::unique_ptr<Workload> workload_;
  std::optional<AbortableHandler> handler_;
  std::optional<Qsl> qsl_;
  mlperf::TestSettings settings_;
  bool started_ = false;
  std::atomic<bool> ended_{false};
  EventCount ended_event_;
  std::thread thread_;
};

}  // namespace

std::string loadgen_version() { return mlperf::LoadgenVersion(); }

Result<std::unique_ptr<LoadgenTest>> LoadgenTest::start(Session& session, std::string_view workload,
                                                        std::vector<SampleArray> arrays,
                                                        const LoadgenOptions& options) {
  auto test = std::make_unique<LoadgenTestImpl>(session, options);
  QAICKIT_RETURN_IF_ERROR(test->init(workload, std::move(arrays)));
  return std::unique_ptr<LoadgenTest>(std::move(test));
}

}  // namespace qaickit
