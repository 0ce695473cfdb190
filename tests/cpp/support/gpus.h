#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <initializer_list>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "fake_cuda.h"
#include "fake_onnxruntime.h"

namespace qaickit::test {

// Names the fakes of tests/fakes/cuda to the `cuda` device. False: there is no ONNX Runtime here
// that they could be made of. Before anything of a device is used.
inline bool name_fake_gpus() {
  const char* const real = std::getenv("QAICKIT_ONNXRUNTIME_LIB");
  if (!real) return false;
  setenv("QAICKIT_FAKEORT_LIB", real, 0);
  setenv("QAICKIT_ONNXRUNTIME_LIB", FAKE_ONNXRUNTIME, 1);
  setenv("QAICKIT_CUDART_LIB", FAKE_CUDART, 1);
  setenv("QAICKIT_CUDA_DRIVER_LIB", FAKE_CUDA_DRIVER, 1);
  return true;
}

#define REQUIRE_FAKE_GPUS() \
  if (!::qaickit::test::name_fake_gpus()) GTEST_SKIP() << "no onnxruntime to make fake GPUs of"

// GPUs with an environment of their own: variables of fake_cuda.h, and of fake_onnxruntime.h with
// "ORT_" before them. Every test starts with one, and has misused nothing when it ends.
class Gpus {
 public:
  Gpus(std::initializer_list<std::pair<const std::string, std::string>> values = {}) {
    static constexpr const char* kNames[] = {
        "DEVICES",     "MEMORY",        "RUNTIME",         "DRIVER",
        "LATENCY_US",  "COPY_US",       "JITTER_US",       "FAULTS",
        "CAPTURE_US",  "ORT_VERSION",   "ORT_PROVIDERS",   "ORT_BROKEN",
        "ORT_COMPUTE", "ORT_CPU_NODES", "ORT_SYNC_REPLAY", "ORT_HOST_TENSORS"};
    const std::map<std::string, std::string> variables(values);
    for (const std::string name : kNames) {
      const std::string full =
          name.starts_with("ORT_") ? "QAICKIT_FAKE" + name : "QAICKIT_FAKECUDA_" + name;
      const auto found = variables.find(name);
      found == variables.end() ? unsetenv(full.c_str())
                               : setenv(full.c_str(), found->second.c_str(), 1);
    }
    fakecudaReload();
    fakeortReload();
  }
  ~Gpus() { EXPECT_EQ(misuse(), ""); }
  Gpus(const Gpus&) = delete;
  Gpus& operator=(const Gpus&) = delete;

  void faults(const std::string& plan) const {
    if (fakecudaSetFaults(plan.c_str()) != 0) throw std::runtime_error("faults: " + plan);
  }
  FakeCudaCounters counters(int device = 0) const {
    FakeCudaCounters counters{};
    if (fakecudaGetCounters(device, &counters) != 0) throw std::runtime_error("no such GPU");
    return counters;
  }
  FakeOrtCounters ort() const {
    FakeOrtCounters counters{};
    fakeortGetCounters(&counters);
    return counters;
  }
  // What the nth session was told; "-": nothing.
  std::string option(uint64_t nth, const char* provider, const char* key) const {
    char text[200] = "";
    return fakeortSessionOption(nth, provider, key, text, sizeof text) ? text : "-";
  }
  static std::string misuse() {
    char text[200] = "";
    if (fakecudaMisuse(text, sizeof text) == 0) fakeortMisuse(text, sizeof text);
    return text;
  }
  // Whatever was taken of a GPU, and of page-locked memory, and is not given back.
  std::string live(int device = 0) const {
    const FakeCudaCounters c = counters(device);
    const FakeOrtCounters o = ort();
    std::string text;
    for (const auto& [name, count] :
         {std::pair("allocations", c.live_allocations), std::pair("pinned", c.live_pinned),
          std::pair("streams", c.live_streams), std::pair("events", c.live_events),
          std::pair("sessions", o.live_sessions), std::pair("bindings", o.live_bindings),
          std::pair("values", o.live_values)}) {
      if (count > 0) text += std::string(name) + ": " + std::to_string(count) + " ";
    }
    return text;
  }
};

}  // namespace qaickit::test
