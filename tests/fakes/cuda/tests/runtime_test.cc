// That the fake CUDA runtime keeps what CUDA promises, and nothing that it does not.

#include <atomic>
#include <thread>

#include "rig.h"

namespace qaickit::test {
namespace {

#if defined(__SANITIZE_THREAD__)
constexpr bool kThreadSanitizer = true;
#else
constexpr bool kThreadSanitizer = false;
#endif

using RuntimeTest = FakeCudaTest;

// A kernel that counts its runs, those that were abandoned by thousands.
void count(void* argument, int abandoned) {
  static_cast<std::atomic<int>*>(argument)->fetch_add(abandoned ? 1000 : 1);
}

constexpr size_t kBytes = 64;

TEST_F(RuntimeTest, ACopyThatNobodyWaitedForGivesOldData) {
  char* const in = pinned(kBytes, 7);
  char* const out = pinned(kBytes, 1);
  void* const memory = device_memory(kBytes);
  const cudaStream_t s = stream();
  const cudaEvent_t copied = event();
  hold(s);
  ASSERT_EQ(cudaMemcpyAsync(memory, in, kBytes, cudaMemcpyHostToDevice, s), 0);
  ASSERT_EQ(cudaMemcpyAsync(out, memory, kBytes, cudaMemcpyDeviceToHost, s), 0);
  ASSERT_EQ(cudaEventRecord(copied, s), 0);
  EXPECT_EQ(cudaEventQuery(copied), cudaErrorNotReady);
  if (!kThreadSanitizer) {
    EXPECT_EQ(out[0], 1);
  }
  let_go();
  ASSERT_EQ(cudaEventSynchronize(copied), 0);
  EXPECT_EQ(cudaEventQuery(copied), 0);
  EXPECT_EQ(out[0], 7);
  EXPECT_EQ(out[kBytes - 1], 7);
  EXPECT_EQ(counters().copies, 2u);
  EXPECT_EQ(counters().pageable_copies, 0u);
}

// The same, seen by the sanitizer although the fake's own locks would order it.
TEST_F(RuntimeTest, ThreadSanitizerSeesWhoDoesNotWait) {
  if (!kThreadSanitizer) GTEST_SKIP() << "only with ThreadSanitizer";
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto forget_to_wait = [] {
    char* const in = pinned(kBytes, 7);
    void* const memory = device_memory(kBytes);
    const cudaStream_t s = stream();
    const cudaEvent_t other = event();
    (void)cudaMemcpyAsync(memory, in, kBytes, cudaMemcpyHostToDevice, s);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    // The calls order nothing by themselves.
    (void)cudaEventQuery(other);
    (void)cudaMemsetAsync(memory, 0, kBytes, s);
    in[0] = 1;
  };
  EXPECT_EXIT(forget_to_wait(), ::testing::ExitedWithCode(66), "data race");
}

TEST_F(RuntimeTest, StreamsKnowOfEachOtherOnlyByEvents) {
  char* const in = pinned(kBytes, 7);
  char* const early = pinned(kBytes, 1);
  char* const late = pinned(kBytes, 1);
  void* const memory = device_memory(kBytes);
  const cudaStream_t first = stream();
  const cudaStream_t second = stream();
  const cudaEvent_t filled = event();
  const cudaEvent_t read = event();
  const cudaEvent_t copied = event();
  std::atomic<int> runs{0};
  ASSERT_EQ(cudaMemsetAsync(memory, 5, kBytes, first), 0);
  ASSERT_EQ(cudaEventRecord(filled, first), 0);
  ASSERT_EQ(fakecudaSetFaults("hang_at=1"), 0);
  ASSERT_EQ(fakecudaLaunch(first, count, &runs), 0);
  ASSERT_EQ(cudaMemcpyAsync(memory, in, kBytes, cudaMemcpyHostToDevice, first), 0);
  ASSERT_EQ(cudaEventRecord(copied, first), 0);
  // While the first is held up, the second goes on from what it has waited for.
  ASSERT_EQ(cudaStreamWaitEvent(second, filled, 0), 0);
  ASSERT_EQ(cudaMemcpyAsync(early, memory, kBytes, cudaMemcpyDeviceToHost, second), 0);
  ASSERT_EQ(cudaEventRecord(read, second), 0);
  ASSERT_EQ(cudaEventSynchronize(read), 0);
  EXPECT_EQ(early[0], 5);
  ASSERT_EQ(cudaStreamWaitEvent(second, copied, 0), 0);
  ASSERT_EQ(cudaMemcpyAsync(late, memory, kBytes, cudaMemcpyDeviceToHost, second), 0);
  ASSERT_EQ(cudaEventRecord(read, second), 0);
  EXPECT_EQ(cudaEventQuery(read), cudaErrorNotReady);
  ASSERT_EQ(fakecudaSetFaults(""), 0);
  ASSERT_EQ(cudaEventSynchronize(read), 0);
  EXPECT_EQ(late[0], 7);
  EXPECT_EQ(late[kBytes - 1], 7);
}

TEST_F(RuntimeTest, AnEventHoldsWhatWasThereWhenItWasRecorded) {
  const cudaStream_t s = stream();
  const cudaStream_t other = stream();
  const cudaEvent_t e = event();
  EXPECT_EQ(cudaEventQuery(e), 0) << "never recorded: complete";
  EXPECT_EQ(cudaEventSynchronize(e), 0);
  EXPECT_EQ(cudaStreamWaitEvent(other, e, 0), 0);
  std::atomic<int> runs{0};
  ASSERT_EQ(fakecudaSetFaults("hang_at=2"), 0);
  ASSERT_EQ(fakecudaLaunch(s, count, &runs), 0);
  ASSERT_EQ(cudaEventRecord(e, s), 0);
  ASSERT_EQ(fakecudaLaunch(s, count, &runs), 0);  // hangs
  EXPECT_EQ(cudaEventSynchronize(e), 0);
  EXPECT_EQ(runs, 1);
  // A wait for the first record is not one for the second.
  ASSERT_EQ(cudaStreamWaitEvent(other, e, 0), 0);
  ASSERT_EQ(cudaEventRecord(e, s), 0);
  EXPECT_EQ(cudaStreamSynchronize(other), 0);
  EXPECT_EQ(cudaEventQuery(e), cudaErrorNotReady);
  ASSERT_EQ(fakecudaSetFaults(""), 0);
  EXPECT_EQ(cudaEventSynchronize(e), 0);
  EXPECT_EQ(runs, 2);
}

TEST_F(RuntimeTest, TheDefaultStreamWaitsForBlockingStreamsAndTheyForIt) {
  const cudaStream_t blocking = stream(cudaStreamDefault);
  const cudaStream_t apart = stream(cudaStreamNonBlocking);
  std::atomic<int> first{0};
  hold(blocking);
  ASSERT_EQ(fakecudaLaunch(blocking, count, &first), 0);
  char* const out = pinned(1);
  void* const memory = device_memory(1);
  const cudaEvent_t of_default = event();
  ASSERT_EQ(cudaMemsetAsync(memory, 3, 1, nullptr), 0);
  ASSERT_EQ(cudaEventRecord(of_default, nullptr), 0);
  ASSERT_EQ(cudaStreamSynchronize(apart), 0);
  EXPECT_EQ(cudaEventQuery(of_default), cudaErrorNotReady);
  let_go();
  ASSERT_EQ(cudaMemcpyAsync(out, memory, 1, cudaMemcpyDeviceToHost, blocking), 0);
  ASSERT_EQ(cudaStreamSynchronize(blocking), 0);
  EXPECT_EQ(first, 1);
  EXPECT_EQ(out[0], 3);
  EXPECT_EQ(counters().default_stream_ops, 1u);
}

TEST_F(RuntimeTest, PageableMemoryMakesTheCallerWait) {
  configure({{"COPY_US", "10000"}});
  void* const memory = device_memory(kBytes);
  char in[kBytes];
  char out[kBytes] = {};
  std::memset(in, 9, sizeof in);
  const cudaStream_t s = stream();
  ASSERT_EQ(cudaMemcpyAsync(memory, in, kBytes, cudaMemcpyHostToDevice, s), 0);
  std::memset(in, 0, sizeof in);  // staged: ours again
  ASSERT_EQ(cudaMemcpyAsync(out, memory, kBytes, cudaMemcpyDeviceToHost, s), 0);
  EXPECT_EQ(out[kBytes - 1], 9);
  EXPECT_EQ(counters().pageable_copies, 2u);
}

TEST_F(RuntimeTest, TheHostCannotReachDeviceMemory) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(static_cast<volatile char*>(device_memory(4))[0] = 1, "");
}

TEST_F(RuntimeTest, MisuseIsCountedAndNamed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const cudaStream_t s = stream();
  char* const host = pinned(kBytes);
  char* const memory = static_cast<char*>(device_memory(kBytes));
  EXPECT_EQ(cudaMemcpyAsync(memory + 1, host, kBytes, cudaMemcpyHostToDevice, s),
            cudaErrorInvalidValue);
  EXPECT_EQ(expected_misuse(), "cudaMemcpyAsync beyond the end of an allocation");

  const cudaStream_t t = stream();
  void* const other = device_memory(kBytes);
  EXPECT_EQ(cudaMemcpyAsync(host, other, kBytes, cudaMemcpyHostToDevice, t),
            cudaErrorInvalidMemcpyDirection);
  EXPECT_EQ(expected_misuse(), "cudaMemcpyAsync with a kind that does not fit its addresses");

  char* const busy = pinned(kBytes);
  const cudaStream_t u = stream();
  hold(u);
  ASSERT_EQ(cudaMemcpyAsync(device_memory(kBytes), busy, kBytes, cudaMemcpyHostToDevice, u), 0);
  EXPECT_EQ(cudaFreeHost(busy), 0);
  let_go();
  EXPECT_EQ(cudaStreamSynchronize(u), 0);
  EXPECT_EQ(cudaStreamDestroy(u), 0);
  EXPECT_EQ(cudaStreamSynchronize(u), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(expected_misuse(), "cudaFreeHost of memory that a copy under way uses");

  const cudaEvent_t e = event();
  EXPECT_EQ(cudaEventDestroy(e), 0);
  EXPECT_EQ(cudaEventQuery(e), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(expected_misuse(), "an event is used that was destroyed");

  void* const twice = device_memory(4);
  EXPECT_EQ(cudaFree(twice), 0);
  EXPECT_EQ(cudaFree(twice), cudaErrorInvalidValue);
  EXPECT_NE(expected_misuse().find("cudaFree of an address"), std::string::npos);
}

TEST_F(RuntimeTest, FreeingDeviceMemoryWaitsForTheDevice) {
  configure({{"LATENCY_US", "20000"}});
  std::atomic<int> runs{0};
  void* const memory = device_memory(8);
  ASSERT_EQ(fakecudaLaunch(stream(), count, &runs), 0);
  EXPECT_EQ(cudaFree(memory), 0);
  EXPECT_EQ(runs, 1);
}

TEST_F(RuntimeTest, MemoryIsLimitedAndCounted) {
  configure({{"MEMORY", "1000"}, {"DEVICES", "2"}});
  void* const most = device_memory(900);
  void* more = &more;
  EXPECT_EQ(cudaMalloc(&more, 101), cudaErrorMemoryAllocation);
  EXPECT_EQ(more, nullptr);
  size_t free_bytes = 0;
  size_t total = 0;
  EXPECT_EQ(cudaMemGetInfo(&free_bytes, &total), 0);
  EXPECT_EQ(free_bytes, 100u);
  EXPECT_EQ(total, 1000u);
  EXPECT_EQ(counters().live_allocations, 1u);
  EXPECT_EQ(counters(1).live_allocations, 0u);
  EXPECT_EQ(cudaFree(most), 0);
  EXPECT_EQ(counters().live_bytes, 0u);
  EXPECT_EQ(counters().allocations, 1u);
  ASSERT_EQ(cudaSetDevice(1), 0);
  (void)device_memory(1000);
  EXPECT_EQ(counters(1).live_bytes, 1000u);
}

TEST_F(RuntimeTest, AnErrorOfACallIsToldOnceAndToItsThread) {
  EXPECT_EQ(cudaSetDevice(5), cudaErrorInvalidDevice);
  std::thread([] { EXPECT_EQ(cudaGetLastError(), 0); }).join();
  EXPECT_EQ(cudaPeekAtLastError(), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetLastError(), 0);
  EXPECT_STREQ(cudaGetErrorName(cudaErrorInvalidDevice), "cudaErrorInvalidDevice");
}

TEST_F(RuntimeTest, ALostDeviceStaysLostAndTheOtherOneWorks) {
  configure({{"DEVICES", "2"}});
  const cudaStream_t s = stream();
  const cudaEvent_t e = event();
  void* const memory = device_memory(4);
  char* const host = pinned(4, 1);
  std::atomic<int> runs{0};
  ASSERT_EQ(fakecudaSetFaults("lost_in_kernel=2,code=700"), 0);
  for (int i = 0; i < 3; ++i) {
    const int error = fakecudaLaunch(s, count, &runs);
    EXPECT_TRUE(error == 0 || error == 700);
    if (error == 0) {
      EXPECT_EQ(cudaStreamSynchronize(s), i == 0 ? 0 : 700);
    }
  }
  EXPECT_EQ(runs, 1001) << "the second was abandoned, the third refused";
  for (int i = 0; i < 2; ++i) EXPECT_EQ(cudaGetLastError(), 700);
  EXPECT_EQ(cudaMemcpyAsync(memory, host, 4, cudaMemcpyHostToDevice, s), 700);
  EXPECT_EQ(cudaEventQuery(e), 700);
  EXPECT_EQ(cudaEventSynchronize(e), 700);
  EXPECT_EQ(cudaSetDevice(0), 700);
  EXPECT_EQ(cudaStreamDestroy(s), 700);
  EXPECT_EQ(cudaFree(memory), 700);
  EXPECT_EQ(counters().live_allocations, 0u) << "but who tried is not blamed";
  EXPECT_EQ(counters().live_streams, 0u);
  ASSERT_EQ(cudaSetDevice(1), 0);
  EXPECT_EQ(cudaGetLastError(), 700) << "of the calls that have failed";
  EXPECT_EQ(cudaGetLastError(), 0);
  EXPECT_EQ(cudaFreeHost(host), 0);
  const cudaStream_t t = stream();
  EXPECT_EQ(fakecudaLaunch(t, count, &runs), 0);
  EXPECT_EQ(cudaStreamSynchronize(t), 0);
}

TEST_F(RuntimeTest, FaultsComeWhereTheyWereOrdered) {
  ASSERT_EQ(fakecudaSetFaults("oom_at=2,pinned_oom_at=1,refuse_at=2"), 0);
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, 1), 0);
  EXPECT_EQ(cudaMalloc(&memory, 1), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaMalloc(&memory, 1), 0);
  EXPECT_EQ(cudaHostAlloc(&memory, 1, 0), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaHostAlloc(&memory, 1, 0), 0);
  const cudaStream_t s = stream();
  std::atomic<int> runs{0};
  EXPECT_EQ(fakecudaLaunch(s, count, &runs), 0);
  EXPECT_EQ(fakecudaLaunch(s, count, &runs), cudaErrorLaunchOutOfResources);
  EXPECT_EQ(fakecudaLaunch(s, count, &runs), 0);
  EXPECT_EQ(cudaStreamSynchronize(s), 0);
  EXPECT_EQ(runs, 2);
  ASSERT_EQ(fakecudaSetFaults("oom_above=100,lost_at_copy=1"), 0);
  EXPECT_EQ(cudaMalloc(&memory, 101), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaMalloc(&memory, 100), 0);
  EXPECT_EQ(cudaMemcpyAsync(memory, pinned(1), 1, cudaMemcpyHostToDevice, s), 0);
  EXPECT_EQ(cudaStreamSynchronize(s), cudaErrorLaunchFailure);
  for (const char* bad : {"oom", "oom_at=0", "oom=2", "nonesuch=1", "oom_at=1x", "device=64"}) {
    EXPECT_EQ(fakecudaSetFaults(bad), 1) << bad;
  }
}

TEST_F(RuntimeTest, AKernelNeedsItsDevice) {
  configure({{"DEVICES", "2"}});
  const cudaStream_t s = stream();
  ASSERT_EQ(cudaSetDevice(1), 0);
  std::atomic<int> runs{0};
  EXPECT_EQ(fakecudaLaunch(s, count, &runs), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaEventRecord(event(), s), cudaErrorInvalidResourceHandle);
  // Another thread begins with device 0.
  std::thread([&] { EXPECT_EQ(fakecudaLaunch(s, count, &runs), 0); }).join();
  EXPECT_EQ(cudaStreamSynchronize(s), 0);
}

TEST_F(RuntimeTest, ACaptureIsSpoiltByOtherThreadsUnlessTheySayOtherwise) {
  const cudaStream_t s = stream();
  const cudaEvent_t e = event();
  EXPECT_EQ(fakecudaBeginCapture(nullptr), cudaErrorStreamCaptureUnsupported);
  ASSERT_EQ(fakecudaBeginCapture(s), 0);
  std::thread([&] {
    EXPECT_EQ(cudaEventQuery(e), cudaErrorStreamCaptureUnsupported);
    void* memory = nullptr;
    EXPECT_EQ(cudaMalloc(&memory, 1), cudaErrorStreamCaptureUnsupported);
  }).join();
  EXPECT_EQ(fakecudaEndCapture(s), cudaErrorStreamCaptureInvalidated);
  ASSERT_EQ(fakecudaBeginCapture(s), 0);
  std::thread([&] {
    int mode = cudaStreamCaptureModeRelaxed;
    ASSERT_EQ(cudaThreadExchangeStreamCaptureMode(&mode), 0);
    EXPECT_EQ(mode, cudaStreamCaptureModeGlobal);
    EXPECT_EQ(cudaEventQuery(e), 0);
    (void)device_memory(1);
  }).join();
  EXPECT_EQ(fakecudaEndCapture(s), 0);
}

TEST_F(RuntimeTest, WithoutADriverOrWithAnOldOneNothingWorks) {
  for (const char* driver : {"0", "11080"}) {
    configure({{"DRIVER", driver}});
    int version = -1;
    EXPECT_EQ(cudaDriverGetVersion(&version), 0);
    EXPECT_EQ(version, std::atoi(driver));
    int devices = -1;
    EXPECT_EQ(cudaGetDeviceCount(&devices), cudaErrorInsufficientDriver);
    EXPECT_EQ(devices, 0);
    void* memory = nullptr;
    EXPECT_EQ(cudaMalloc(&memory, 1), cudaErrorInsufficientDriver);
  }
  configure({{"DEVICES", "0"}});
  int devices = -1;
  EXPECT_EQ(cudaGetDeviceCount(&devices), cudaErrorNoDevice);
  EXPECT_EQ(cudaSetDevice(0), cudaErrorNoDevice);
}

TEST_F(RuntimeTest, ADestroyedStreamFinishesItsWork) {
  configure({{"LATENCY_US", "5000"}});
  std::atomic<int> runs{0};
  const cudaStream_t s = stream();
  for (int i = 0; i < 3; ++i) ASSERT_EQ(fakecudaLaunch(s, count, &runs), 0);
  EXPECT_EQ(cudaStreamDestroy(s), 0);
  while (runs < 3) std::this_thread::yield();
  EXPECT_EQ(counters().live_streams, 0u);
}

TEST_F(RuntimeTest, ALongQueueKeepsItsOrder) {
  const cudaStream_t s = stream();
  void* const memory = device_memory(1);
  char* const out = pinned(300);
  for (int i = 0; i < 300; ++i) {
    ASSERT_EQ(cudaMemsetAsync(memory, i % 100, 1, s), 0);
    ASSERT_EQ(cudaMemcpyAsync(out + i, memory, 1, cudaMemcpyDeviceToHost, s), 0);
  }
  ASSERT_EQ(cudaStreamSynchronize(s), 0);
  for (int i = 0; i < 300; ++i) EXPECT_EQ(out[i], i % 100);
}

}  // namespace
}  // namespace qaickit::test
