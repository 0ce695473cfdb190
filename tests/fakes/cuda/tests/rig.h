#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <string>
#include <utility>

#include "fake_cuda.h"
#include "fake_cudart.h"

namespace qaickit::test {

// A fresh machine with these variables (names without their prefix), and looks for misuse at the
// end.
class FakeCudaTest : public ::testing::Test {
 protected:
  void configure(std::initializer_list<std::pair<const char*, const char*>> variables) {
    for (const char* name : {"DEVICES", "MEMORY", "RUNTIME", "DRIVER", "LATENCY_US", "COPY_US",
                             "JITTER_US", "CAPTURE_US", "FAULTS"}) {
      unsetenv((std::string("QAICKIT_FAKECUDA_") + name).c_str());
    }
    for (const auto& [name, value] : variables) {
      setenv((std::string("QAICKIT_FAKECUDA_") + name).c_str(), value, 1);
    }
    fakecudaReload();
  }
  void SetUp() override { configure({}); }
  void TearDown() override { EXPECT_EQ(misuse(), ""); }

  // The first misuse so far; each test that means it asks before its end and forgets it so.
  static std::string misuse() {
    char text[200] = "";
    fakecudaMisuse(text, sizeof text);
    return text;
  }
  std::string expected_misuse() {
    const std::string first = misuse();
    fakecudaReload();
    return first;
  }

  static FakeCudaCounters counters(int device = 0) {
    FakeCudaCounters counters{};
    EXPECT_EQ(fakecudaGetCounters(device, &counters), 0);
    return counters;
  }
  static cudaStream_t stream(unsigned flags = cudaStreamNonBlocking) {
    cudaStream_t stream = nullptr;
    EXPECT_EQ(cudaStreamCreateWithFlags(&stream, flags), 0);
    return stream;
  }
  // Keeps a stream from its work until let_go(), by a kernel that hangs.
  static void hold(cudaStream_t stream) {
    EXPECT_EQ(fakecudaSetFaults("hang_at=1"), 0);
    EXPECT_EQ(fakecudaLaunch(stream, [](void*, int) {}, nullptr), 0);
  }
  static void let_go() { EXPECT_EQ(fakecudaSetFaults(""), 0); }
  static cudaEvent_t event() {
    cudaEvent_t event = nullptr;
    EXPECT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), 0);
    return event;
  }
  static void* device_memory(size_t bytes) {
    void* memory = nullptr;
    EXPECT_EQ(cudaMalloc(&memory, bytes), 0);
    return memory;
  }
  static char* pinned(size_t bytes, int fill = 0) {
    void* memory = nullptr;
    EXPECT_EQ(cudaHostAlloc(&memory, bytes, 0), 0);
    std::memset(memory, fill, bytes);
    return static_cast<char*>(memory);
  }
};

}  // namespace qaickit::test
