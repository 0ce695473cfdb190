// What goes wrong on a GPU, and what the session makes of it.

#include <thread>

#include "base/clock.h"
#include "device/cuda/rig.h"
#include "support/answer_log.h"

namespace qaickit::test {
namespace {

class CudaFaults : public ::testing::Test {
 protected:
  void SetUp() override { REQUIRE_FAKE_GPUS(); }
};

// The nth allocation fails, for every n there is while a session is opened: of the weights, the
// workspace, the ExecObjs. Nothing stays taken, and the next session has it all.
TEST_F(CudaFaults, OutOfMemoryAtEveryPlaceOfOpening) {
  const Gpus gpus;
  for (const char* fault : {"oom_at", "pinned_oom_at"}) {
    int failed = 0;
    for (int nth = 1; nth < 100; ++nth) {
      gpus.faults(std::string(fault) + "=" + std::to_string(nth));
      const auto opened = Session::open(copy_qpc(), cuda_options({}, 2, 3));
      if (opened.ok()) {
        EXPECT_TRUE(is_ok(run_once(*opened.value())));
        break;
      }
      ++failed;
      EXPECT_TRUE(is_error(opened.status(), Code::kResourceExhausted, "cuda:0", "memory"));
      EXPECT_EQ(gpus.live(), "") << fault << " " << nth;
    }
    EXPECT_GE(failed, 6) << fault << ": an ExecObj each at least";
  }
  gpus.faults("");
  EXPECT_TRUE(is_ok(run_once(*open_cuda(cuda_options({}, 2, 3)))));
  EXPECT_EQ(gpus.live(), "");
}

TEST_F(CudaFaults, AGpuThatIsTooSmallSaysHowMuchIsMissing) {
  const Gpus gpus{{"MEMORY", "20000"}};
  EXPECT_TRUE(is_error(Session::open(copy_qpc(), cuda_options({}, 8, 16)).status(),
                       Code::kResourceExhausted, "cuda:0", "cudaMalloc", "of 20000 bytes",
                       "set_size"));
  EXPECT_EQ(gpus.live(), "");
  EXPECT_TRUE(is_ok(run_once(*open_cuda(cuda_options({}, 1, 2)))));
}

TEST_F(CudaFaults, ARefusedRunIsAnErrorAndTheNextOneRuns) {
  for (const char* graphs : {"0", "1"}) {
    const Gpus gpus;
    const auto session = open_cuda(cuda_options({}, 1, 4, {{"cuda_graph", graphs}}));
    for (int i = 0; i < 3; ++i) {
      gpus.faults("refuse_at=1");
      EXPECT_TRUE(is_error(run_once(*session), Code::kDeviceError, "cuda:0", "701"));
      EXPECT_TRUE(is_ok(run_once(*session, i)));
    }
    EXPECT_EQ(session->stats().lost_activations, 0u);
  }
}

// At the launch, in a copy, in a kernel: runs in flight are answered, everything after says that
// the GPU is lost, and nobody hangs.
TEST_F(CudaFaults, ALostGpuAnswersEverySample) {
  for (const char* plan : {"lost_at_launch=40", "lost_at_copy=50", "lost_in_kernel=40,code=700"}) {
    for (const char* graphs : {"0", "1"}) {
      const Gpus gpus;
      constexpr size_t kSamples = 400;
      AnswerLog log(kSamples);
      {
        const auto session = open_cuda(cuda_options({}, 2, 4, {{"cuda_graph", graphs}}));
        ASSERT_TRUE(is_ok(session->start(log, timed_policy())));
        gpus.faults(plan);
        ASSERT_TRUE(is_ok(session->submit(samples_from(0, kSamples))));
        log.wait_all();
        EXPECT_EQ(session->stats().lost_activations, 2u) << plan;
        EXPECT_TRUE(is_error(run_once(*session), Code::kDeviceError, "cuda:0", "lost")) << plan;
        EXPECT_TRUE(is_ok(session->stop()));
      }
      EXPECT_TRUE(log.each_once()) << plan;
      EXPECT_GE(log.codes()[Code::kOk], 1u) << plan;
      EXPECT_GE(log.codes()[Code::kDeviceError], 1u) << plan;
      EXPECT_EQ(log.codes()[Code::kOk] + log.codes()[Code::kDeviceError], kSamples) << plan;
      EXPECT_TRUE(is_error(Session::open(copy_qpc(), cuda_options()).status(), Code::kDeviceError,
                           "cuda:0"));
    }
  }
}

TEST_F(CudaFaults, ALostGpuWhileOpening) {
  for (const char* plan : {"lost_at_launch=1", "lost_in_kernel=2", "lost_at_launch=5"}) {
    const Gpus gpus;
    gpus.faults(plan);
    EXPECT_TRUE(is_error(Session::open(copy_qpc(), cuda_options({}, 2, 3)).status(),
                         Code::kDeviceError, "cuda:0"))
        << plan;
  }
}

TEST_F(CudaFaults, TheOtherGpusGoOn) {
  const Gpus gpus{{"DEVICES", "3"}, {"LATENCY_US", "300"}};
  constexpr size_t kSamples = 100'000;
  AnswerLog log(kSamples);
  const auto session = open_cuda(cuda_options({0, 1, 2}, 2));
  ASSERT_TRUE(is_ok(session->start(log, timed_policy())));
  gpus.faults("lost_in_kernel=50,device=1");
  size_t sent = 0;
  // How soon the threads of each get their share of the CPU is not ours to say.
  while (sent < kSamples && session->stats().lost_activations < 2) {
    ASSERT_TRUE(is_ok(session->submit(samples_from(sent, 1000))));
    log.wait_answered(sent += 1000);
  }
  EXPECT_EQ(session->stats().lost_activations, 2u);
  EXPECT_TRUE(is_ok(run_once(*session)));  // on another
  EXPECT_TRUE(is_ok(session->stop()));
  EXPECT_TRUE(log.each_once([&](uint64_t id) { return id < sent; }));
  EXPECT_LT(log.codes()[Code::kDeviceError], 100u);
  EXPECT_EQ(log.codes()[Code::kOk] + log.codes()[Code::kDeviceError], sent);
}

TEST_F(CudaFaults, CancelOfARunThatHangs) {
  const Gpus gpus;
  const LoadedExec loaded(DeviceSettings{{"cuda_graph", "0"}});
  ExecObj& exec = *loaded.exec;
  gpus.faults("hang_at=1");
  AwaitCompletion done;
  ASSERT_TRUE(is_ok(exec.enqueue(done)));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(done.calls(), 0u);
  exec.cancel();
  EXPECT_TRUE(is_error(done.wait(), Code::kCancelled, "cuda:0"));
  exec.cancel();
  EXPECT_EQ(done.calls(), 1u);
  // The kernel still has the ExecObj: the next run says so, until it ends.
  AwaitCompletion refused;
  EXPECT_TRUE(is_error(exec.enqueue(refused), Code::kDeviceError, "cuda:0", "has not ended"));
  gpus.faults("");
  const uint64_t start = now_ns();
  Status next = run_exec(exec, 5);
  while (!next.ok() && now_ns() - start < 90'000'000'000u) next = run_exec(exec, 5);
  EXPECT_TRUE(is_ok(next));
  EXPECT_EQ(refused.calls(), 0u);
}

TEST_F(CudaFaults, SlowRunsThatTimeOutAreAnsweredOnce) {
  const Gpus gpus{{"LATENCY_US", "30000"}};
  AnswerLog log(12);
  {
    const auto session = open_cuda(cuda_options({}, 1, 4, {{"cuda_graph", "0"}}));
    ASSERT_TRUE(is_ok(session->start(log, timed_policy(10))));
    ASSERT_TRUE(is_ok(session->submit(samples_from(0, 12))));
    log.wait_all();
    EXPECT_TRUE(is_ok(session->stop()));
  }
  EXPECT_TRUE(log.each_once());
  EXPECT_GT(log.codes()[Code::kTimedOut], 0u);
  EXPECT_EQ(gpus.live(), "");
}

// Nobody waits for a kernel that never ends.
TEST_F(CudaFaults, CloseOverAKernelThatHangs) {
  for (const char* graphs : {"0", "1"}) {
    const Gpus gpus;
    AnswerLog log(8);
    {
      const auto session = open_cuda(cuda_options({}, 1, 4, {{"cuda_graph", graphs}}));
      BatchPolicy policy = timed_policy();
      policy.close_timeout_ns = 50'000'000;
      ASSERT_TRUE(is_ok(session->start(log, policy)));
      gpus.faults("hang_at=3");
      ASSERT_TRUE(is_ok(session->submit(samples_from(0, 8))));
      log.wait_answered(2);
      const uint64_t start = now_ns();
      (void)session->close();
      EXPECT_LT(now_ns() - start, kRunTimeoutNs / 2) << "waited for the runs' own time-out";
    }
    EXPECT_TRUE(log.each_once());
    EXPECT_GE(log.codes()[Code::kOk], 2u);
    gpus.faults("");
    void* memory = nullptr;  // waits for what was left behind, so that it ends before the process
    EXPECT_EQ(cudaMalloc(&memory, 1), 0);
    EXPECT_EQ(cudaFree(memory), 0);
  }
}

TEST_F(CudaFaults, CloseDuringLoad) {
  const Gpus gpus{{"DEVICES", "2"}, {"LATENCY_US", "50"}, {"JITTER_US", "50"}};
  for (size_t round = 0; round < 5; ++round) {
    close_during_load(open_cuda(cuda_options({0, 1}, 2)), 500, round * 20);
    EXPECT_EQ(gpus.live(0) + gpus.live(1), "");
  }
}

// Queries with faults at random; a session whose GPUs are all lost is opened anew in a process that
// has them again, which the fakes' restart stands for.
TEST_F(CudaFaults, StressStormLosesNothing) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)  // some ten times slower
  constexpr size_t kQueries = 4'000;
#else
  constexpr size_t kQueries = 20'000;
#endif
  constexpr size_t kRound = 100;
  AnswerLog log(kQueries);
  std::atomic<size_t> nameless{0};
  log.on_fail = [&](std::span<const Sample>, const Status& why) {
    if (why.message().find("cuda:") == std::string_view::npos) nameless.fetch_add(1);
  };
  auto gpus =
      std::make_unique<Gpus>(std::initializer_list<std::pair<const std::string, std::string>>{
          {"DEVICES", "3"}, {"LATENCY_US", "20"}, {"JITTER_US", "40"}, {"ORT_COMPUTE", "echo"}});
  std::unique_ptr<Session> session;
  size_t sessions = 0;
  for (size_t first = 0; first < kQueries; first += kRound) {
    const size_t round = first / kRound;
    if (session && session->stats().lost_activations == 6) {
      session.reset();
      fakecudaReload();
    }
    while (!session) {
      ++sessions;
      gpus->faults("oom=0.01,seed=" + std::to_string(sessions + round));
      auto opened = Session::open(copy_qpc(), cuda_options({0, 1, 2}, 2, 3));
      if (!opened.ok()) {
        EXPECT_TRUE(is_error(opened.status(), Code::kResourceExhausted, "cuda:"));
        continue;
      }
      session = std::move(opened).value();
      ASSERT_TRUE(is_ok(session->start(log, timed_policy(200))));
    }
    const std::string seed = std::to_string(first + 1);
    gpus->faults(round % 10 == 9   ? "lost=0.02,seed=" + seed
                 : round % 10 == 5 ? "lost=0.02,refuse=0.05,device=1,seed=" + seed
                                   : "refuse=0.05,oom=0.05,seed=" + seed);
    for (size_t i = 0; i < kRound; ++i) {
      ASSERT_TRUE(is_ok(session->submit(samples_from(first + i, 1))));
    }
    log.wait_answered(first + kRound);
  }
  session.reset();
  EXPECT_TRUE(log.each_once());
  EXPECT_EQ(nameless.load(), 0u);
  EXPECT_GT(log.codes()[Code::kOk], kQueries / 2);
  EXPECT_GT(sessions, 1u);
  RecordProperty("sessions", static_cast<int>(sessions));
}

}  // namespace
}  // namespace qaickit::test
