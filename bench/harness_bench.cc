// One LoadGen run over a device that computes nothing, through qaickit's harness or through the
// least SUT there can be: one that completes every query inline, on LoadGen's own thread, in
// completions of the same size. Three more peers:
//
//   bare     the upper bound for Offline: threads that only claim and complete
//   queue    the usual harness: a mutex, a condition variable, a worker for each activation
//   polling  KILT's way: a pool filled under a mutex on LoadGen's thread, full batches into a short
//            ring, and one thread for each device, which polls it
//
// bench/harness.py runs them in turn and prints ratios. `qaic` is the same as `qaickit` on the
// device of that name, over the library that QAIC_LIB names.
//
//   harness_bench inline|bare|queue|polling|qaickit|qaic singlestream|server|offline BATCH
//   ACTIVATIONS SAMPLES QPS OUTPUT_DIR
//
// LoadGen's log in OUTPUT_DIR has the result; trace is off on both sides.

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "loadgen.h"
#include "loadgen/settings.h"
#include "qaickit/loadgen.h"
#include "query_sample_library.h"
#include "queue/mpmc_ring.h"
#include "system_under_test.h"

namespace {

using namespace qaickit;

constexpr uint64_t kDataSet = 1024;
constexpr size_t kInputElements = 16;

class InlineSut final : public mlperf::SystemUnderTest {
 public:
  explicit InlineSut(size_t batch) : responses_(batch) {}
  const std::string& Name() override { return name_; }
  void IssueQuery(const std::vector<mlperf::QuerySample>& samples) override {
    for (size_t at = 0; at < samples.size();) {
      size_t n = 0;
      for (; n < responses_.size() && at < samples.size(); ++n, ++at) {
        responses_[n].id = samples[at].id;
        responses_[n].data = reinterpret_cast<uintptr_t>(&answer_);
        responses_[n].size = sizeof answer_;
      }
      mlperf::QuerySamplesComplete(responses_.data(), n);
    }
  }
  void FlushQueries() override {}

 private:
  const std::string name_ = "inline";
  const float answer_ = 0;
  std::vector<mlperf::QuerySampleResponse> responses_;
};

// The most that two threads can get out of LoadGen: each claims ranges and completes them.
class BareSut final : public mlperf::SystemUnderTest {
 public:
  BareSut(size_t batch, size_t threads) : batch_(batch), threads_(threads) {}
  const std::string& Name() override { return name_; }
  void IssueQuery(const std::vector<mlperf::QuerySample>& samples) override {
    std::atomic<size_t> cursor{0};
    std::vector<std::thread> threads;
    for (size_t t = 0; t < threads_; ++t) {
      threads.emplace_back([&] {
        constexpr size_t kClaim = 256;
        const float answer = 0;
        std::vector<mlperf::QuerySampleResponse> responses(batch_);
        for (;;) {
          const size_t begin = cursor.fetch_add(kClaim, std::memory_order_relaxed);
          if (begin >= samples.size()) return;
          const size_t end = std::min(begin + kClaim, samples.size());
          for (size_t at = begin; at < end;) {
            size_t n = 0;
            for (; n < batch_ && at < end; ++n, ++at) {
              responses[n].id = samples[at].id;
              responses[n].data = reinterpret_cast<uintptr_t>(&answer);
              responses[n].size = sizeof answer;
            }
            mlperf::QuerySamplesComplete(responses.data(), n);
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  void FlushQueries() override {}

 private:
  const std::string name_ = "bare";
  const size_t batch_;
  const size_t threads_;
};

using SampleIds = std::vector<mlperf::ResponseId>;

// Completes at once what a device would have computed.
void complete(const SampleIds& ids, std::vector<mlperf::QuerySampleResponse>& responses) {
  const float answer = 0;
  responses.resize(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    responses[i] = {ids[i], reinterpret_cast<uintptr_t>(&answer), sizeof answer};
  }
  mlperf::QuerySamplesComplete(responses.data(), responses.size());
}

class QueueSut final : public mlperf::SystemUnderTest {
 public:
  QueueSut(size_t batch, size_t workers) : batch_(batch) {
    for (size_t i = 0; i < workers; ++i) workers_.emplace_back([this] { work(); });
  }
  ~QueueSut() override {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }
  const std::string& Name() override { return name_; }
  void IssueQuery(const std::vector<mlperf::QuerySample>& samples) override {
    {
      const std::lock_guard lock(mutex_);
      for (const mlperf::QuerySample& sample : samples) queue_.push_back(sample.id);
    }
    samples.size() == 1 ? changed_.notify_one() : changed_.notify_all();
  }
  void FlushQueries() override {}

 private:
  void work() {
    SampleIds ids;
    std::vector<mlperf::QuerySampleResponse> responses;
    for (;;) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return stop_ || !queue_.empty(); });
        if (queue_.empty()) return;
        const auto end = queue_.begin() + static_cast<ptrdiff_t>(std::min(batch_, queue_.size()));
        ids.assign(queue_.begin(), end);
        queue_.erase(queue_.begin(), end);
      }
      complete(ids, responses);
    }
  }

  const std::string name_ = "queue";
  const size_t batch_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<mlperf::ResponseId> queue_;
  bool stop_ = false;
  std::vector<std::thread> workers_;
};

class PollingSut final : public mlperf::SystemUnderTest {
 public:
  explicit PollingSut(size_t batch) : batch_(batch), device_([this] { work(); }) {}
  ~PollingSut() override {
    stop_.store(true, std::memory_order_relaxed);
    device_.join();
  }
  const std::string& Name() override { return name_; }
  void IssueQuery(const std::vector<mlperf::QuerySample>& samples) override {
    for (const mlperf::QuerySample& sample : samples) {
      const std::lock_guard lock(mutex_);
      pool_.push_back(sample.id);
      if (pool_.size() == batch_) dispatch();
    }
  }
  // What is left goes when the pool is looked at next, as it would after a delay.
  void FlushQueries() override {
    const std::lock_guard lock(mutex_);
    if (!pool_.empty()) dispatch();
  }

 private:
  static constexpr size_t kDepth = 8;

  void dispatch() {
    const size_t head = head_.load(std::memory_order_relaxed);
    // acquire: pairs with the release in work(); the place has been read.
    while (head - tail_.load(std::memory_order_acquire) == kDepth) std::this_thread::yield();
    ring_[head % kDepth].swap(pool_);
    pool_.clear();
    // release: pairs with the acquire in work(); publishes the batch.
    head_.store(head + 1, std::memory_order_release);
  }

  void work() {
    SampleIds ids;
    std::vector<mlperf::QuerySampleResponse> responses;
    for (size_t tail = 0; !stop_.load(std::memory_order_relaxed);) {
      if (head_.load(std::memory_order_acquire) == tail) {
        std::this_thread::yield();
        continue;
      }
      ids.swap(ring_[tail % kDepth]);
      tail_.store(++tail, std::memory_order_release);
      complete(ids, responses);
    }
  }

  const std::string name_ = "polling";
  const size_t batch_;
  std::mutex mutex_;
  SampleIds pool_;
  std::array<SampleIds, kDepth> ring_;
  alignas(kCacheLine) std::atomic<size_t> head_{0};
  alignas(kCacheLine) std::atomic<size_t> tail_{0};
  std::atomic<bool> stop_{false};
  std::thread device_;
};

std::unique_ptr<mlperf::SystemUnderTest> make_peer(const std::string& name, size_t batch,
                                                   size_t activations) {
  if (name == "inline") return std::make_unique<InlineSut>(batch);
  if (name == "bare") return std::make_unique<BareSut>(batch, activations);
  if (name == "queue") return std::make_unique<QueueSut>(batch, activations);
  if (name == "polling") return std::make_unique<PollingSut>(batch);
  return nullptr;
}

class EmptyQsl final : public mlperf::QuerySampleLibrary {
 public:
  const std::string& Name() override { return name_; }
  size_t TotalSampleCount() override { return kDataSet; }
  size_t PerformanceSampleCount() override { return kDataSet; }
  void LoadSamplesToRam(const std::vector<size_t>&) override {}
  void UnloadSamplesFromRam(const std::vector<size_t>&) override {}

 private:
  const std::string name_ = "empty";
};

template <class T>
T or_die(Result<T> result) {
  if (!result.ok()) {
    std::fprintf(stderr, "harness_bench: %s\n", result.status().to_string().c_str());
    std::exit(1);
  }
  return std::move(result).value();
}

// ExecObjs of an activation, where the device is asynchronous. One that takes no time empties its
// queue at once, and each refill costs two wake-ups of a sleeping thread, which are most of the
// cost; so the more it holds, the less a batch costs.
constexpr uint32_t kSetSize = 32;

std::unique_ptr<Session> open_session(const std::string& backend, int64_t batch,
                                      uint32_t activations) {
  QpcContent content;
  content.program = {"bench",
                     {{"x", DType::kFloat32, {batch, kInputElements}}},
                     {{"y", DType::kFloat32, {batch, 1}}},
                     1,
                     static_cast<int32_t>(batch)};
  content.manifest.producer = "harness_bench";
  content.manifest.precision = "fp32";
  const std::byte no_graph{};  // neither device looks at it
  content.onnx_model = {&no_graph, 1};
  auto qpc = or_die(Qpc::from_bytes(or_die(build_qpc(content)), "bench.bin"));
  SessionOptions options;
  options.backend = backend;
  options.num_activations = activations;
  options.set_size = kSetSize;
  return or_die(Session::open(std::move(qpc), options));
}

LoadgenOptions make_options(const std::string& scenario, uint64_t samples, double qps,
                            const std::string& output_dir) {
  LoadgenOptions o;
  o.output_dir = output_dir;
  o.target_qps = qps;
  o.min_query_count = scenario == "offline" ? 1 : samples;
  if (scenario == "offline") {
    // LoadGen issues 1.1 * min_duration * target_qps samples.
    o.scenario = Scenario::kOffline;
    o.min_duration_ms = 1000;
    o.target_qps = static_cast<double>(samples) / 1.1;
  } else if (scenario == "server") {
    o.scenario = Scenario::kServer;
    o.target_latency_ns = 1'000'000;
    o.min_duration_ms = 1;
  } else {
    o.scenario = Scenario::kSingleStream;
    o.target_latency_ns = 1'000;
    o.min_duration_ms = 1;
    o.batch.caller_runs = CallerRuns::kIfIdle;
  }
  return o;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 8) {
    std::fprintf(stderr,
                 "usage: harness_bench inline|bare|queue|polling|qaickit|qaic "
                 "singlestream|server|offline BATCH ACTIVATIONS SAMPLES QPS OUTPUT_DIR\n");
    return 2;
  }
  const std::string sut = argv[1];
  const std::string scenario = argv[2];
  const int batch = std::atoi(argv[3]);
  const int activations = std::atoi(argv[4]);
  const auto options = make_options(scenario, std::strtoull(argv[5], nullptr, 10),
                                    std::strtod(argv[6], nullptr), argv[7]);
  if (const auto peer =
          make_peer(sut, static_cast<size_t>(batch), static_cast<size_t>(activations))) {
    EmptyQsl qsl;
    mlperf::StartTest(peer.get(), &qsl, or_die(make_test_settings(options)),
                      make_log_settings(options), "");
    return 0;
  }
  if (sut != "qaickit" && sut != "qaic") {
    std::fprintf(stderr, "harness_bench: there is no peer '%s'\n", sut.c_str());
    return 2;
  }
  auto session =
      open_session(sut == "qaic" ? "qaic" : "null", batch, static_cast<uint32_t>(activations));
  const std::vector<float> samples(kDataSet * kInputElements, 1.0f);
  auto test = or_die(LoadgenTest::start(
      *session, "raw", {{samples.data(), samples.size() * sizeof(float)}}, options));
  while (!test->wait_ms(1000)) {
  }
  if (const Status result = test->result(); !result.ok()) {
    std::fprintf(stderr, "harness_bench: %s\n", result.to_string().c_str());
    return 1;
  }
  return 0;
}
