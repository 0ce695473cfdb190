// The path from query to response, counted: after warm-up no allocation, and no system call a
// sample. On `null`, so that nothing but qaickit's own code is on the path.

#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "qaickit/session.h"
#include "qaickit/workload.h"
#include "support/allocations.h"

namespace qaickit {
namespace {

using test::allocations_during;

constexpr uint64_t kSmall = 20'000;
constexpr uint64_t kBig = 200'000;
constexpr long kMarker = 100'000;  // no such system call: fails, and is seen by the tracer

class CountingSink final : public ResponseSink {
 public:
  Status prepare(uint32_t, uint32_t) override { return {}; }
  void respond(uint32_t, std::span<const Response> responses) noexcept override {
    done.fetch_add(responses.size(), std::memory_order_release);
  }
  void fail(std::span<const Sample> samples, const Status&) noexcept override {
    failed.fetch_add(samples.size());
    done.fetch_add(samples.size(), std::memory_order_release);
  }
  std::atomic<uint64_t> done{0};
  std::atomic<uint64_t> failed{0};
};

// A session on `null` with the built-in workload, warmed up.
class Rig {
 public:
  Rig(int32_t batch, uint32_t activations, CallerRuns caller_runs) {
    QpcContent content;
    content.program = {
        "rig", {{"x", DType::kFloat32, {batch, 16}}}, {{"y", DType::kFloat32, {batch, 10}}}};
    content.program.batch_size = batch;
    content.host_half = false;
    SessionOptions options;
    options.backend = "null";
    options.num_activations = activations;
    session = Session::open(Qpc::from_bytes(build_qpc(content).value(), "rig.bin").value(), options)
                  .value();
    workload = Workload::create("classification", session->program(),
                                {{data.data(), data.size() * sizeof(float)}}, sink)
                   .value();
    std::vector<uint64_t> indices(64);
    for (uint64_t i = 0; i < indices.size(); ++i) indices[i] = i;
    EXPECT_TRUE(workload->load(indices).ok());
    BatchPolicy policy;
    policy.caller_runs = caller_runs;
    EXPECT_TRUE(session->start(*workload, policy).ok());
    for (uint64_t i = 0; i < kBig; ++i) samples.push_back({i, i % 64});
    submit_and_wait(kSmall);
  }
  ~Rig() { EXPECT_TRUE(session->stop().ok()); }

  void submit_and_wait(uint64_t count) {
    const uint64_t until = sink.done.load() + count;
    EXPECT_TRUE(session->submit({samples.data(), count}).ok());
    while (sink.done.load(std::memory_order_acquire) < until) {
    }
  }
  void one_by_one(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) EXPECT_TRUE(session->submit({&samples[i], 1}).ok());
  }

  std::vector<float> data = std::vector<float>(64 * 16, 1.0f);
  CountingSink sink;
  std::unique_ptr<Session> session;
  std::unique_ptr<Workload> workload;
  std::vector<Sample> samples;
};

// Both shapes of a program, by turns, from the same memory, and measured.
TEST(HotPath, NothingIsAllocatedByAChangeOfShapesOrByMeasuring) {
  QpcContent content;
  content.program = {"rig", {{"x", DType::kFloat32, {4, 16}}}, {{"y", DType::kFloat32, {4, 10}}}};
  content.program.allowed_shapes = {{{1, 16}, {1, 10}}, {{4, 16}, {4, 10}}};
  content.host_half = false;
  SessionOptions options;
  options.backend = "null";
  options.profile_runs = 50;
  const auto session =
      Session::open(Qpc::from_bytes(build_qpc(content).value(), "rig.bin").value(), options)
          .value();
  const std::vector<float> x(64);
  std::vector<float> y(40);
  const auto run_both = [&] {
    for (const size_t rows : {1u, 4u}) {
      const ConstBuffer in{x.data(), rows * 64};
      const MutableBuffer out{y.data(), rows * 40};
      EXPECT_TRUE(session->run({&in, 1}, {&out, 1}).ok());
    }
  };
  run_both();
  EXPECT_EQ(allocations_during([&] {
              for (int i = 0; i < 100; ++i) run_both();
            }),
            0u);
}

// Else zero would mean nothing.
TEST(HotPath, TheCounterSeesOurAllocationsAndThoseOfLibraries) {
  void* volatile kept = nullptr;
  const auto through_new = [&] {
    kept = ::operator new(100);
    ::operator delete(kept);
  };
  const auto in_a_library = [&] {
    kept = strdup("x");
    free(kept);
  };
  EXPECT_EQ(allocations_during(through_new), 1u);
  EXPECT_EQ(allocations_during(in_a_library), 1u);
}

TEST(HotPath, NothingIsAllocatedOnTheCallersThread) {
  Rig rig(1, 1, CallerRuns::kIfIdle);
  rig.one_by_one(1000);
  EXPECT_EQ(allocations_during([&] { rig.one_by_one(10'000); }), 0u);
  EXPECT_EQ(rig.sink.failed.load(), 0u);
}

TEST(HotPath, NothingIsAllocatedByTheWorkers) {
  for (const int32_t batch : {1, 8}) {
    Rig rig(batch, 2, CallerRuns::kNever);
    EXPECT_EQ(allocations_during([&] { rig.submit_and_wait(kBig); }), 0u) << "batch " << batch;
    EXPECT_EQ(allocations_during([&] { rig.submit_and_wait(1000); }), 0u) << "batch " << batch;
    EXPECT_EQ(rig.sink.failed.load(), 0u);
  }
}

// System calls of all threads of a child process, by the marker they came after.
class SyscallCounts {
 public:
  static constexpr int kPhases = 4;
  uint64_t phase[kPhases] = {};
  bool permitted = false;

  template <class Work>
  explicit SyscallCounts(Work&& work) {
    const pid_t child = fork();
    if (child == 0) {
      if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(77);
      raise(SIGSTOP);
      work();
      _exit(::testing::Test::HasFailure() ? 1 : 0);
    }
    trace(child);
  }

  bool child_succeeded = false;

 private:
  void trace(pid_t child) {
    int status = 0;
    if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) return;
    permitted = ptrace(PTRACE_SETOPTIONS, child, nullptr,
                       PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL) == 0;
    ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
    int now = 0;
    for (;;) {
      const pid_t thread = waitpid(-1, &status, __WALL);
      if (thread < 0 && errno == ECHILD) return;
      if (WIFEXITED(status) || WIFSIGNALED(status)) {
        if (thread != child) continue;
        child_succeeded = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        return;
      }
      int signal = WSTOPSIG(status);
      if (signal == (SIGTRAP | 0x80)) {
        count(thread, now);
        signal = 0;
      } else if (signal == SIGTRAP || signal == SIGSTOP) {
        signal = 0;
      }
      ptrace(PTRACE_SYSCALL, thread, nullptr, signal);
    }
  }

  void count(pid_t thread, int& now) {
    __ptrace_syscall_info info;
    const long bytes =
        ptrace(static_cast<__ptrace_request>(PTRACE_GET_SYSCALL_INFO), thread, sizeof info, &info);
    if (bytes <= 0) {
      permitted = false;
    } else if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
      if (info.entry.nr >= static_cast<uint64_t>(kMarker)) {
        now = static_cast<int>(info.entry.nr - kMarker);
      } else {
        ++phase[now];
      }
    }
  }
};

void mark(int phase) { syscall(kMarker + phase); }

TEST(HotPath, NoSystemCallOnTheCallersThread) {
  const SyscallCounts counts([] {
    Rig rig(1, 1, CallerRuns::kIfIdle);
    rig.one_by_one(1000);
    // Until the worker, which has nothing to do, is asleep for its longest.
    usleep(50'000);
    mark(1);
    rig.one_by_one(10'000);
    mark(2);
  });
  if (!counts.permitted) GTEST_SKIP() << "ptrace is not permitted here";
  EXPECT_TRUE(counts.child_succeeded);
  // The idle worker may wake up once a second, and a machine that stops it may take many.
  EXPECT_LT(counts.phase[1], 100u);
}

TEST(HotPath, SystemCallsOfTheWorkersAreForAQueryNotForASample) {
  const SyscallCounts counts([] {
    Rig rig(1, 2, CallerRuns::kNever);
    mark(1);
    rig.submit_and_wait(kBig);
    mark(2);
  });
  if (!counts.permitted) GTEST_SKIP() << "ptrace is not permitted here";
  EXPECT_TRUE(counts.child_succeeded);
  // Waking the workers, and a look every 10 ms while the query is being claimed, however long a
  // machine takes that has other things to do.
  EXPECT_LE(counts.phase[1], kBig / 10);
}

}  // namespace
}  // namespace qaickit
