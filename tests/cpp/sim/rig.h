#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "QAicApi.h"
#include "qaickit/qpc.h"
#include "qaicsim.h"
#include "sim/onnx_graph.h"
#include "support/environment.h"
#include "support/result.h"

namespace qaickit::test {

constexpr size_t kRow = 6;  // floats of the test program's input and output

// A fault plan of runs that do not end by themselves, as far as a test that resets goes.
constexpr const char* kAMinute = "stall_us=60000000";

struct QpcOptions {
  uint32_t cores = 1;
  bool host_half = true;
  int32_t batch = 2;
};

// float32 y = x + x, [2, 3].
inline std::vector<std::byte> qpc_bytes(const QpcOptions& options = {}) {
  QpcContent content;
  content.program.name = "doubling";
  content.program.inputs = {{"x", DType::kFloat32, {2, 3}}};
  content.program.outputs = {{"y", DType::kFloat32, {2, 3}}};
  content.program.num_cores = options.cores;
  content.program.batch_size = options.batch;
  content.manifest.producer = "qaickit tests";
  content.manifest.precision = "fp32";
  const std::string graph = doubling_graph({2, 3});
  content.onnx_model = std::as_bytes(std::span(graph.data(), graph.size()));
  content.host_half = options.host_half;
  return value_of(build_qpc(content));
}

// Reads the environment that a test has set, and looks for objects that it left behind.
class SimTest : public ::testing::Test {
 protected:
  // Name and value of variables, before anything of the library is used.
  void configure(std::vector<std::pair<std::string, std::string>> variables) {
    for (const auto& [name, value] : variables) {
      environment_.push_back(std::make_unique<Environment>(name.c_str(), value.c_str()));
    }
    ASSERT_EQ(qaicsimReload(), QS_SUCCESS);
  }
  void SetUp() override {
    for (const char* name : {"DEVICES", "NSPS", "LATENCY_US", "PER_SAMPLE_US", "JITTER_US",
                             "COMPUTE", "FAULTS", "SPIN_US", "LOG"}) {
      const std::string full = std::string("QAICKIT_SIM_") + name;
      environment_.push_back(std::make_unique<Environment>(full.c_str(), nullptr));
    }
    configure({{"QAICKIT_SIM_COMPUTE", "echo"}});
  }
  void TearDown() override {
    EXPECT_EQ(qaicsimLiveObjects(), 0u);
    while (!environment_.empty()) environment_.pop_back();
  }

 private:
  std::vector<std::unique_ptr<Environment>> environment_;
};

// What the library has told a context.
struct Told {
  std::mutex mutex;
  std::vector<std::string> errors;
  std::vector<std::string> lines;

  static void on_log(QLogLevel, const char* text, void* user) {
    auto* told = static_cast<Told*>(user);
    const std::lock_guard lock(told->mutex);
    told->lines.emplace_back(text);
  }
  static void on_error(QAicContextID, const char* text, QAicErrorType, const void*, size_t,
                       void* user) {
    auto* told = static_cast<Told*>(user);
    const std::lock_guard lock(told->mutex);
    told->errors.emplace_back(text);
  }
  bool has_error(std::string_view part) {
    const std::lock_guard lock(mutex);
    for (const std::string& error : errors) {
      if (error.find(part) != std::string::npos) return true;
    }
    return false;
  }
};

// A context, a QPC, an active program and a queue on one card.
struct Rig {
  explicit Rig(QID device = 0, const QpcOptions& options = {}, uint32_t threads = 4) {
    bytes = qpc_bytes(options);
    EXPECT_EQ(qaicCreateContext(&context, nullptr, 1, &device, Told::on_log, &told, Told::on_error,
                                &told),
              QS_SUCCESS);
    const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
    EXPECT_EQ(qaicOpenQpc(&qpc, data, bytes.size(), false), QS_SUCCESS);
    EXPECT_EQ(qaicCreateProgram(context, &program, nullptr, device, "progName", qpc), QS_SUCCESS);
    const QAicQueueProperties properties{QAIC_QUEUE_PROPERTIES_DEFAULT, threads};
    EXPECT_EQ(qaicCreateQueue(context, &queue, &properties, device), QS_SUCCESS);
  }
  Rig(const Rig&) = delete;
  ~Rig() {
    if (queue) {
      EXPECT_EQ(qaicReleaseQueue(queue), QS_SUCCESS);
    }
    if (program) {
      EXPECT_EQ(qaicReleaseProgram(program), QS_SUCCESS);
    }
    if (qpc) {
      EXPECT_EQ(qaicCloseQpc(qpc), QS_SUCCESS);
    }
    if (context) {
      EXPECT_EQ(qaicReleaseContext(context), QS_SUCCESS);
    }
  }

  std::vector<std::byte> bytes;
  Told told;
  QAicContext* context = nullptr;
  QAicQpcObj* qpc = nullptr;
  QAicProgram* program = nullptr;
  QAicQueue* queue = nullptr;
};

// An exec object with heap buffers and an event.
struct Inference {
  explicit Inference(Rig& rig, float first = 0) : rig(rig) {
    for (size_t i = 0; i < kRow; ++i) x[i] = first + static_cast<float>(i);
    EXPECT_EQ(
        qaicCreateExecObj(rig.context, &exec, nullptr, rig.program, nullptr, nullptr, nullptr),
        QS_SUCCESS);
    EXPECT_EQ(qaicCreateEvent(rig.context, &event, QAIC_EVENT_DEVICE_COMPLETE), QS_SUCCESS);
    const QBuffer buffers[2] = {buffer_of(x), buffer_of(y)};
    EXPECT_EQ(qaicExecObjSetData(exec, 2, buffers), QS_SUCCESS);
  }
  Inference(const Inference&) = delete;
  ~Inference() {
    EXPECT_EQ(qaicReleaseExecObj(exec), QS_SUCCESS);
    EXPECT_EQ(qaicReleaseEvent(event), QS_SUCCESS);
  }
  static QBuffer buffer_of(float (&row)[kRow]) {
    return {sizeof(row), reinterpret_cast<uint8_t*>(row), 0, 0, QBUFFER_TYPE_HEAP};
  }
  QStatus enqueue() { return qaicEnqueueExecObj(rig.queue, exec, event); }
  QStatus enqueue_and_wait() {
    const QStatus status = enqueue();
    return status == QS_SUCCESS ? qaicWaitforEvent(event) : status;
  }
  bool has_output(float factor) const {
    for (size_t i = 0; i < kRow; ++i) {
      if (y[i] != factor * x[i]) return false;
    }
    return true;
  }

  Rig& rig;
  QAicExecObj* exec = nullptr;
  QAicEvent* event = nullptr;
  float x[kRow] = {};
  float y[kRow] = {};
};

// Whether it becomes true. The bound is for a message in place of a time-out, not for speed.
template <class F>
bool soon(F&& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(90);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  return true;
}

}  // namespace qaickit::test
