// The cuda device on GPUs that are not there.

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <span>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "device/cuda/rig.h"
#include "support/answer_log.h"

namespace qaickit::test {
namespace {

class CudaDevice : public ::testing::Test {
 protected:
  void SetUp() override { REQUIRE_FAKE_GPUS(); }
};

TEST_F(CudaDevice, GivesEverythingBack) {
  const Gpus gpus;
  for (const char* graphs : {"auto", "0", "1"}) {
    {
      const auto session = open_cuda(cuda_options({}, 2, 3, {{"cuda_graph", graphs}}));
      for (int i = 0; i < 20; ++i) EXPECT_TRUE(is_ok(run_once(*session, i)));
      EXPECT_NE(gpus.live(), "");
    }
    EXPECT_EQ(gpus.live(), "") << graphs;
  }
}

TEST_F(CudaDevice, OneSessionForAProgramOnAGpuAndOneThreadThatRunsIt) {
  const Gpus gpus{{"DEVICES", "2"}};
  const auto session = open_cuda(cuda_options({0, 1}, 3));
  std::vector<std::thread> callers;
  for (int t = 0; t < 4; ++t) {
    callers.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) EXPECT_TRUE(is_ok(run_once(*session, 100 * t + i)));
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(gpus.ort().live_sessions, 2u);
  EXPECT_EQ(gpus.ort().most_threads, 1u);
  EXPECT_EQ(gpus.ort().waiting_runs, 0u);
  for (const int id : {0, 1}) {
    EXPECT_EQ(gpus.counters(id).default_stream_ops, 0u);
    EXPECT_EQ(gpus.counters(id).pageable_copies, 0u) << "every copy is on a stream";
  }
  EXPECT_EQ(gpus.option(0, "cuda", "device_id"), "0");
  EXPECT_EQ(gpus.option(1, "cuda", "device_id"), "1");
}

TEST_F(CudaDevice, OnnxRuntimeIsToldWhatWasAskedFor) {
  const Gpus gpus;
  (void)open_cuda(cuda_options());
  EXPECT_EQ(gpus.option(0, "cuda", "use_tf32"), "1");
  EXPECT_EQ(gpus.option(0, "cuda", "enable_cuda_graph"), "1");
  EXPECT_EQ(gpus.option(0, "cuda", "arena_extend_strategy"), "kSameAsRequested");
  EXPECT_EQ(gpus.option(0, "tensorrt", "device_id"), "-");
  EXPECT_EQ(gpus.option(0, "session", "session.disable_quant_qdq"), "1");
  const auto session = open_cuda(
      cuda_options({}, 1, 4, {{"tf32", "0"}, {"cuda_graph", "0"}, {"gpu_mem_limit", "1000000"}}));
  EXPECT_EQ(gpus.option(1, "cuda", "use_tf32"), "0");
  EXPECT_EQ(gpus.option(1, "cuda", "enable_cuda_graph"), "0");
  EXPECT_EQ(gpus.option(1, "cuda", "gpu_mem_limit"), "1000000");
  EXPECT_EQ(session->precision(), "fp32");
}

TEST_F(CudaDevice, TensorRtWhereItIsInstalled) {
  {
    const Gpus gpus;  // its libraries are not
    EXPECT_TRUE(is_error(
        Session::open(copy_qpc(), cuda_options({}, 1, 4, {{"provider", "tensorrt"}})).status(),
        Code::kDeviceError, "libonnxruntime_providers_tensorrt.so", "provider=tensorrt"));
    EXPECT_EQ(gpus.live(), "");
  }
  const Gpus gpus{{"ORT_BROKEN", ""}};
  const auto session = open_cuda(cuda_options({}, 1, 4, {{"provider", "tensorrt"}}));
  EXPECT_TRUE(is_ok(run_once(*session)));
  EXPECT_EQ(gpus.option(0, "tensorrt", "device_id"), "0");
  EXPECT_EQ(gpus.option(0, "tensorrt", "trt_fp16_enable"), "0");
  EXPECT_EQ(gpus.option(0, "cuda", "device_id"), "0") << "for what TensorRT leaves";
  EXPECT_EQ(gpus.option(0, "session", "session.disable_quant_qdq"), "-") << "it takes QDQ as int8";
  EXPECT_TRUE(
      is_error(Session::open(copy_qpc(), cuda_options({}, 1, 4, {{"provider", "rocm"}})).status(),
               Code::kInvalidArgument, "'rocm'", "cuda or tensorrt"));
}

TEST_F(CudaDevice, TensorRtsEnginesAreKeptByContent) {
  const Gpus gpus{{"ORT_BROKEN", ""}};
  const std::filesystem::path cache =
      std::filesystem::path(testing::TempDir()) / ("engines-" + std::to_string(getpid()));
  const SessionOptions options =
      cuda_options({}, 1, 1, {{"provider", "tensorrt"}, {"engine_cache", cache.string()}});
  const auto directory = [&gpus](uint64_t nth) {
    EXPECT_EQ(gpus.option(nth, "tensorrt", "trt_engine_cache_enable"), "1");
    return gpus.option(nth, "tensorrt", "trt_engine_cache_path");
  };
  (void)open_cuda(options);
  (void)open_cuda(options);
  (void)open_cuda(options, /*batch=*/2);
  EXPECT_TRUE(std::filesystem::is_directory(directory(0)));
  EXPECT_EQ(std::filesystem::path(directory(0)).parent_path(), cache);
  EXPECT_EQ(directory(0), directory(1));
  EXPECT_NE(directory(0), directory(2));
  std::filesystem::remove_all(cache);
  EXPECT_TRUE(is_error(Session::open(copy_qpc(), cuda_options({}, 1, 1,
                                                              {{"provider", "tensorrt"},
                                                               {"engine_cache", "/proc/engines"}}))
                           .status(),
                       Code::kInvalidArgument, "engine_cache", "/proc/engines"));
}

TEST_F(CudaDevice, AProviderThatDoesNotLoadIsNamed) {
  const Gpus gpus{{"ORT_BROKEN", "cuda"}};
  EXPECT_TRUE(is_error(Session::open(copy_qpc(), cuda_options()).status(), Code::kDeviceError,
                       "cuda:0", "libonnxruntime_providers_cuda.so"));
  EXPECT_EQ(gpus.live(), "");
}

// Every ExecObj has its own graph, made before the first run of a caller's.
TEST_F(CudaDevice, GraphsAreCapturedOnceAndReplayed) {
  const Gpus gpus;
  const auto session = open_cuda(cuda_options({}, 2, 3, {{"cuda_graph", "1"}}));
  const uint64_t captures = gpus.ort().captures;
  EXPECT_EQ(captures, 6u);
  EXPECT_TRUE(session->devices().front().name.ends_with(", CUDA graphs"));
  const uint64_t replays = gpus.ort().replays;
  for (int i = 0; i < 30; ++i) EXPECT_TRUE(is_ok(run_once(*session, i)));
  EXPECT_EQ(gpus.ort().captures, captures);
  EXPECT_EQ(gpus.ort().replays, replays + 30);
}

TEST_F(CudaDevice, WithoutGraphsWhereTheyAreNotPossible) {
  const Gpus gpus{{"ORT_CPU_NODES", "1"}};
  EXPECT_TRUE(is_ok(run_once(*open_cuda(cuda_options()))));
  EXPECT_EQ(gpus.ort().captures, 0u);
  EXPECT_TRUE(LoadedExec().program->info()->name.ends_with(", no CUDA graphs"));
  EXPECT_TRUE(
      is_error(Session::open(copy_qpc(), cuda_options({}, 1, 4, {{"cuda_graph", "1"}})).status(),
               Code::kDeviceError, "cuda:0", "graph capture"));
  EXPECT_EQ(gpus.live(), "");
}

// What a node on the CPU uses is bound where it looks: it sees what each run has, not the first.
TEST_F(CudaDevice, TensorsOfNodesOnTheCpuStayInTheHostsMemory) {
  for (const char* tensors : {"x", "y", "x,y"}) {
    const Gpus gpus{{"ORT_HOST_TENSORS", tensors}};
    {
      const auto session = open_cuda(cuda_options({}, 2, 3));
      for (int i = 0; i < 20; ++i) EXPECT_TRUE(is_ok(run_once(*session, 10 * i))) << tensors;
      EXPECT_EQ(gpus.ort().captures, 0u) << "a graph would keep what was there";
    }
    const LoadedExec loaded;
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(is_ok(run_exec(*loaded.exec, i))) << tensors;
    std::vector<int64_t> memory = {5, 6, 7, 8};
    const std::span<std::byte> bytes = std::as_writable_bytes(std::span(memory));
    const auto pin = value_of(loaded.program->pin(bytes));
    ASSERT_TRUE(is_ok(loaded.exec->bind_input(0, memory.data())));
    AwaitCompletion done;
    ASSERT_TRUE(is_ok(loaded.exec->enqueue(done)));
    EXPECT_TRUE(is_ok(done.wait()));
    EXPECT_TRUE(std::ranges::equal(bytes, loaded.exec->output(0))) << tensors;
    ASSERT_TRUE(is_ok(loaded.exec->bind_input(0, nullptr)));
  }
  const Gpus gpus{{"ORT_HOST_TENSORS", "y"}};
  EXPECT_TRUE(
      is_error(Session::open(copy_qpc(), cuda_options({}, 1, 4, {{"cuda_graph", "1"}})).status(),
               Code::kDeviceError, "'y'"));
}

TEST_F(CudaDevice, AnErrorNamesTheGpuOnce) {
  const Gpus gpus{{"ORT_BROKEN", "cuda"}};
  const std::string said(Session::open(copy_qpc(), cuda_options()).status().message());
  EXPECT_NE(said.find("cuda:0: "), said.npos) << said;
  EXPECT_EQ(said.find("cuda:0"), said.rfind("cuda:0")) << said;
}

// Programs that are set up while others run: nothing of theirs spoils a capture.
TEST_F(CudaDevice, CapturesWhileOthersRun) {
  const Gpus gpus{{"CAPTURE_US", "3000"}, {"LATENCY_US", "200"}, {"DEVICES", "2"}};
  std::atomic<bool> stop{false};
  std::vector<std::thread> runners;
  for (int t = 0; t < 2; ++t) {
    runners.emplace_back([&, t] {
      const auto session = open_cuda(cuda_options({t}, 1, 4, {{"cuda_graph", "1"}}));
      while (!stop) EXPECT_TRUE(is_ok(run_once(*session)));
    });
  }
  for (int i = 0; i < 10; ++i) {
    const auto opened =
        Session::open(copy_qpc(), cuda_options({i % 2}, 2, 4, {{"cuda_graph", "1"}}));
    EXPECT_TRUE(is_ok(opened.status()));
    if (opened.ok()) {
      EXPECT_TRUE(is_ok(run_once(*opened.value())));
    }
  }
  stop = true;
  for (std::thread& runner : runners) runner.join();
}

TEST_F(CudaDevice, CopiesAndKernelsOfNeighboursOverlap) {
  for (const char* graphs : {"0", "1"}) {
    const Gpus gpus{{"COPY_US", "2000"}, {"LATENCY_US", "2000"}};
    AnswerLog log(40);
    const auto session = open_cuda(cuda_options({}, 1, 4, {{"cuda_graph", graphs}}));
    ASSERT_TRUE(is_ok(session->start(log, {})));
    ASSERT_TRUE(is_ok(session->submit(samples_from(0, 40))));
    log.wait_all();
    EXPECT_TRUE(is_ok(session->stop()));
    EXPECT_TRUE(log.each_once());
    EXPECT_GE(gpus.counters().busy_streams, 3u) << graphs;
  }
}

TEST_F(CudaDevice, NoMemoryOfTheDeviceIsTakenAfterWarmUp) {
  const Gpus gpus{{"ORT_COMPUTE", "echo"}};
  AnswerLog log(3000, 4);
  const auto session = open_cuda(cuda_options({}, 2, 4), 4);
  const FakeCudaCounters before = gpus.counters();
  ASSERT_TRUE(is_ok(session->start(log, {})));
  ASSERT_TRUE(is_ok(session->submit(samples_from(0, 3000))));
  log.wait_all();
  EXPECT_TRUE(is_ok(session->stop()));
  EXPECT_TRUE(log.each_once());
  EXPECT_EQ(gpus.counters().allocations, before.allocations);
  EXPECT_EQ(gpus.counters().pinned_allocations, before.pinned_allocations);
  EXPECT_EQ(gpus.counters().live_events, before.live_events);
}

// As page-locked memory of the caller's is read by the device, it must not be when the caller has
// it back: after the run, however it ended.
TEST_F(CudaDevice, PinnedInputsAreTheCallersAfterEveryEndOfARun) {
  const Gpus gpus{{"COPY_US", "20000"}};
  const LoadedExec loaded(DeviceSettings{{"cuda_graph", "0"}});
  ExecObj& exec = *loaded.exec;
  const auto pinned = [] {
    void* memory = nullptr;
    EXPECT_EQ(cudaHostAlloc(&memory, 32, 0), 0);
    std::memset(memory, 1, 32);
    return memory;
  };
  // Rebinding takes the memory back, the end of the ExecObj too.
  const auto take_back = [&exec](void* memory) {
    EXPECT_TRUE(is_ok(exec.bind_input(0, nullptr)));
    EXPECT_EQ(cudaFreeHost(memory), 0);
  };
  for (const char* plan : {"", "refuse_at=1"}) {
    void* const memory = pinned();
    ASSERT_TRUE(is_ok(exec.bind_input(0, memory)));
    gpus.faults(plan);
    AwaitCompletion done;
    ASSERT_TRUE(is_ok(exec.enqueue(done)));
    EXPECT_EQ(done.wait().ok(), *plan == 0);
    take_back(memory);
    EXPECT_EQ(Gpus::misuse(), "") << "plan '" << plan << "'";
  }
  gpus.faults("");
  void* const memory = pinned();
  ASSERT_TRUE(is_ok(exec.bind_input(0, memory)));
  AwaitCompletion cancelled;
  ASSERT_TRUE(is_ok(exec.enqueue(cancelled)));
  exec.cancel();
  (void)cancelled.wait();
  take_back(memory);
  EXPECT_EQ(Gpus::misuse(), "") << "cancelled";
  EXPECT_TRUE(is_ok(run_exec(exec, 5)));
}

TEST_F(CudaDevice, PinnedInputsOutliveAnExecObjThatDies) {
  const Gpus gpus{{"COPY_US", "20000"}};
  LoadedExec loaded(DeviceSettings{{"cuda_graph", "0"}});
  void* memory = nullptr;
  ASSERT_EQ(cudaHostAlloc(&memory, 32, 0), 0);
  std::memset(memory, 1, 32);
  ASSERT_TRUE(is_ok(loaded.exec->bind_input(0, memory)));
  AwaitCompletion cancelled;
  ASSERT_TRUE(is_ok(loaded.exec->enqueue(cancelled)));
  loaded.exec->cancel();
  (void)cancelled.wait();
  loaded.exec.reset();
  EXPECT_EQ(cudaFreeHost(memory), 0);
}

TEST_F(CudaDevice, MemoryIsPageLockedOnceForAllWhoBindIt) {
  const Gpus gpus{{"DEVICES", "2"}};
  const LoadedExec first;
  const LoadedExec second({}, 1);
  std::vector<int64_t> memory(4, 7);
  const std::span<std::byte> bytes = std::as_writable_bytes(std::span(memory));
  const uint64_t before = gpus.counters().live_pinned;
  {
    const auto pin = value_of(first.program->pin(bytes));
    ASSERT_NE(pin, nullptr);
    EXPECT_EQ(value_of(second.program->pin(bytes)), nullptr) << "it is already";
    EXPECT_EQ(cudaGetLastError(), 0);
    EXPECT_EQ(gpus.counters().live_pinned, before + 1);
    ASSERT_TRUE(is_ok(first.exec->bind_input(0, memory.data())));
    AwaitCompletion done;
    ASSERT_TRUE(is_ok(first.exec->enqueue(done)));
    EXPECT_TRUE(is_ok(done.wait()));
    EXPECT_TRUE(std::ranges::equal(bytes, first.exec->output(0)));
    ASSERT_TRUE(is_ok(first.exec->bind_input(0, nullptr)));
  }
  EXPECT_EQ(gpus.counters().live_pinned, before);
  EXPECT_EQ(Gpus::misuse(), "");
  gpus.faults("pinned_oom_at=1");
  const Status refused = first.program->pin(bytes).status();
  EXPECT_EQ(refused.code(), Code::kResourceExhausted);
  EXPECT_NE(refused.message().find("cudaHostRegister"), std::string_view::npos)
      << refused.message();
}

// The thread that calls has a GPU of its own choice, and keeps it.
TEST_F(CudaDevice, LeavesTheCallersGpuAlone) {
  const Gpus gpus{{"DEVICES", "2"}};
  ASSERT_EQ(cudaSetDevice(1), 0);
  {
    const LoadedExec loaded;
    EXPECT_TRUE(is_ok(run_exec(*loaded.exec, 3)));
  }
  int device = -1;
  EXPECT_EQ(cudaGetDevice(&device), 0);
  EXPECT_EQ(device, 1);
  EXPECT_EQ(cudaGetLastError(), 0);
}

TEST_F(CudaDevice, TwoGpusShareTheWork) {
  const Gpus gpus{{"DEVICES", "2"}, {"LATENCY_US", "200"}};
  constexpr size_t kSamples = 200'000;
  AnswerLog log(kSamples, 4);
  const auto session = open_cuda(cuda_options({0, 1}, 2), 4);
  const uint64_t before[] = {gpus.counters(0).launches, gpus.counters(1).launches};
  ASSERT_TRUE(is_ok(session->start(log, {})));
  size_t sent = 0;
  const auto both = [&] {
    return std::min(gpus.counters(0).launches - before[0], gpus.counters(1).launches - before[1]);
  };
  // How soon the threads of each get their share of the CPU is not ours to say.
  while (sent < kSamples && both() < 30) {
    ASSERT_TRUE(is_ok(session->submit(samples_from(sent, 2000))));
    log.wait_answered(sent += 2000);
  }
  EXPECT_TRUE(is_ok(session->stop()));
  EXPECT_GE(both(), 30u);
  EXPECT_TRUE(log.each_once([&](uint64_t id) { return id < sent; }));
  EXPECT_EQ(log.codes(), (std::map<Code, size_t>{{Code::kOk, sent}}));
}

TEST_F(CudaDevice, SeveralProgramsAndSessionsAtOnce) {
  const Gpus gpus{{"JITTER_US", "100"}};
  {
    const auto one = open_cuda(cuda_options({}, 2));
    const auto other = open_cuda(cuda_options({}, 1, 2, {{"cuda_graph", "0"}}));
    std::vector<std::thread> callers;
    for (int t = 0; t < 4; ++t) {
      callers.emplace_back([&, t] {
        for (int i = 0; i < 50; ++i) {
          EXPECT_TRUE(is_ok(run_once(t % 2 ? *one : *other, 1000 * t + i)));
        }
      });
    }
    for (std::thread& caller : callers) caller.join();
  }
  EXPECT_EQ(gpus.live(), "");
}

}  // namespace
}  // namespace qaickit::test
