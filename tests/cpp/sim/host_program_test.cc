// A host program as people write them against the vendor's API: from the library's version to the
// release of the context, with every call in between.

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <span>

#include "QAicApi.pb.h"
#include "sim/rig.h"

extern "C" int qaic_from_c(void);

namespace qaickit::test {
namespace {

using HostProgram = SimTest;

constexpr int kActivations = 2;
constexpr int kSetSize = 4;
constexpr int kRunsEach = 25;

bool can_compute() { return std::getenv("QAICKIT_ONNXRUNTIME_LIB") != nullptr; }

TEST_F(HostProgram, IsToldThatItIsSimulated) {
  EXPECT_TRUE(qaic_from_c());
  uint16_t major = 0;
  uint16_t minor = 0;
  const char* patch = nullptr;
  const char* variant = nullptr;
  ASSERT_EQ(qaicGetAicVersion(&major, &minor, &patch, &variant), QS_SUCCESS);
  EXPECT_EQ(major, 10);
  EXPECT_EQ(minor, 0);
  EXPECT_NE(std::string(patch).find("qaicsim"), std::string::npos);
  QDevInfo info{};
  ASSERT_EQ(qaicGetDeviceInfo(0, &info), QS_SUCCESS);
  EXPECT_EQ(info.devStatus, QDS_READY);
  EXPECT_NE(std::string(info.name).find("simulated"), std::string::npos);
  EXPECT_EQ(qaicGetDeviceInfo(1, &info), QS_NODEV);
  uint32_t count = 0;
  ASSERT_EQ(qaicGetDeviceIds(&count, nullptr), QS_SUCCESS);
  EXPECT_EQ(count, 1u);
  QResourceInfo resources{};
  ASSERT_EQ(qaicGetResourceInfo(0, &resources), QS_SUCCESS);
  EXPECT_EQ(resources.nspTotal, 16);
  EXPECT_EQ(resources.nspFree, 16);
  QPerformanceInfo performance{};
  EXPECT_EQ(qaicGetPerformanceInfo(0, &performance), QS_SUCCESS);
  const QAicApiFunctionTable* table = qaicGetFunctionTable();
  ASSERT_NE(table, nullptr);
  EXPECT_EQ(table->qaicExecObjGetIoBuffers, &qaicExecObjGetIoBuffers);
}

// One exec object of the walk below: enqueues itself again until its runs are used up.
struct Slot {
  QAicExecObj* exec = nullptr;
  QAicEvent* event = nullptr;
  QAicQueue* queue = nullptr;
  alignas(32) float x[kRow] = {};
  alignas(32) float y[kRow] = {};
  float* in = x;
  float* out = y;
  float factor = 1;
  int left = kRunsEach;
  std::atomic<int>* open = nullptr;
  std::atomic<int>* wrong = nullptr;

  void fill() {
    for (size_t i = 0; i < kRow; ++i) in[i] = static_cast<float>(left * 10) + static_cast<float>(i);
  }
  static void completed(QAicEvent* event, QAicEventCompletionType type, void* user) {
    Slot& slot = *static_cast<Slot*>(user);
    if (type != QAIC_EVENT_DEVICE_COMPLETE || event != slot.event) ++*slot.wrong;
    for (size_t i = 0; i < kRow; ++i) {
      if (slot.out[i] != slot.factor * slot.in[i]) ++*slot.wrong;
    }
    if (--slot.left == 0) {
      --*slot.open;
      return;
    }
    slot.fill();
    if (qaicEventClear(event) != QS_SUCCESS) ++*slot.wrong;
    (void)qaicEventRemoveCallback(event, completed);
    if (qaicEventAddCallback(event, completed, user) != QS_SUCCESS) ++*slot.wrong;
    if (qaicEnqueueExecObj(slot.queue, slot.exec, event) != QS_SUCCESS) ++*slot.wrong;
  }
};

void walk(const std::string& path, bool zero_copy, float factor) {
  const QID device = 0;
  QDevInfo info{};
  ASSERT_EQ(qaicGetDeviceInfo(device, &info), QS_SUCCESS);
  ASSERT_EQ(info.devStatus, QDS_READY);
  Told told;
  QAicContextProperties_t context_properties = QAIC_CONTEXT_DEFAULT;
  QAicContext* context = nullptr;
  ASSERT_EQ(qaicCreateContext(&context, &context_properties, 1, &device, Told::on_log, &told,
                              Told::on_error, &told),
            QS_SUCCESS);
  EXPECT_EQ(qaicSetLogLevel(context, QL_WARN), QS_SUCCESS);

  QAicQpcObj* qpc = nullptr;
  ASSERT_EQ(qaicOpenQpcFile(&qpc, path.c_str()), QS_SUCCESS);
  const QAicQpcInfo_t* qpc_info = nullptr;
  ASSERT_EQ(qaicQpcGetInfo(qpc, &qpc_info), QS_SUCCESS);
  ASSERT_EQ(qpc_info->numPrograms, 1u);
  EXPECT_STREQ(qpc_info->programInfo[0].name, "doubling");
  EXPECT_EQ(qpc_info->programInfo[0].batchSize, 2);
  ASSERT_EQ(qpc_info->programInfo[0].ioBufferInfo.numBufferMappings, 2u);
  EXPECT_EQ(qpc_info->programInfo[0].ioBufferInfoDma.numBufferMappings, 2u);

  QAicProgramProperties_t properties;
  ASSERT_EQ(qaicProgramPropertiesInitDefault(&properties), QS_SUCCESS);
  EXPECT_EQ(properties.SubmitNumRetries, 5u);
  properties.SubmitRetryTimeoutMs = 900000;
  std::vector<QAicProgram*> programs(kActivations);
  std::vector<QAicQueue*> queues(kActivations);
  for (QAicProgram*& program : programs) {
    ASSERT_EQ(qaicCreateProgram(context, &program, &properties, device, "progName", qpc),
              QS_SUCCESS);
  }
  for (QAicProgram* program : programs) ASSERT_EQ(qaicLoadProgram(program), QS_SUCCESS);
  for (QAicProgram* program : programs) {
    ASSERT_EQ(qaicRunActivationCmd(program, QAIC_PROGRAM_CMD_ACTIVATE_FULL), QS_SUCCESS);
  }
  QResourceInfo resources{};
  ASSERT_EQ(qaicGetResourceInfo(device, &resources), QS_SUCCESS);
  EXPECT_EQ(resources.nspFree, resources.nspTotal - kActivations);
  const QAicQueueProperties queue_properties{QAIC_QUEUE_PROPERTIES_ENABLE_MULTI_THREADED_QUEUES, 4};
  for (QAicQueue*& queue : queues) {
    ASSERT_EQ(qaicCreateQueue(context, &queue, &queue_properties, device), QS_SUCCESS);
  }

  QData descriptor{};
  ASSERT_EQ(qaicProgramGetIoDescriptor(programs[0], &descriptor), QS_SUCCESS);
  aicapi::IoDesc io_desc;
  ASSERT_TRUE(io_desc.ParseFromArray(descriptor.data, static_cast<int>(descriptor.size)));
  ASSERT_EQ(io_desc.selected_set().bindings_size(), 2);
  EXPECT_EQ(io_desc.selected_set().name(), "default");
  EXPECT_EQ(io_desc.selected_set().bindings(0).dir(), aicapi::BUFFER_IO_TYPE_INPUT);
  EXPECT_EQ(io_desc.selected_set().bindings(1).size(), kRow * sizeof(float));
  QAicIoBufferInfo_t* buffer_info = nullptr;
  ASSERT_EQ(qaicProgramGetIoBufferInfo(programs[0], &buffer_info), QS_SUCCESS);
  ASSERT_EQ(buffer_info->numBufferMappings, 2u);
  EXPECT_STREQ(buffer_info->bufferMappings[1].bufferName, "y");
  EXPECT_EQ(buffer_info->bufferMappings[1].ioType, BUFFER_IO_TYPE_OUTPUT);

  std::string selected;
  QData selected_data{};
  QAicExecObjProperties_t exec_properties = QAIC_EXECOBJ_PROPERTIES_DEFAULT;
  if (zero_copy) {
    for (const aicapi::IoSet& set : io_desc.io_sets()) {
      if (set.name().find("dma") != std::string::npos) *io_desc.mutable_selected_set() = set;
    }
    ASSERT_EQ(io_desc.selected_set().name(), "dma");
    selected = io_desc.SerializeAsString();
    selected_data = {selected.size(), reinterpret_cast<uint8_t*>(selected.data())};
    exec_properties |= QAIC_EXECOBJ_PROPERTIES_ZERO_COPY_BUFFERS;
  }

  std::atomic<int> open{kActivations * kSetSize};
  std::atomic<int> wrong{0};
  std::vector<std::unique_ptr<Slot>> slots;
  for (int a = 0; a < kActivations; ++a) {
    for (int s = 0; s < kSetSize; ++s) {
      Slot& slot = *slots.emplace_back(std::make_unique<Slot>());
      slot.queue = queues[static_cast<size_t>(a)];
      slot.factor = factor;
      slot.open = &open;
      slot.wrong = &wrong;
      ASSERT_EQ(
          qaicCreateExecObj(context, &slot.exec, &exec_properties, programs[static_cast<size_t>(a)],
                            zero_copy ? &selected_data : nullptr, nullptr, nullptr),
          QS_SUCCESS);
      ASSERT_EQ(qaicCreateEvent(context, &slot.event, QAIC_EVENT_DEVICE_COMPLETE), QS_SUCCESS);
      if (zero_copy) {
        uint32_t count = 0;
        QBuffer* buffers = nullptr;
        ASSERT_EQ(qaicGetFunctionTable()->qaicExecObjGetIoBuffers(slot.exec, &count, &buffers),
                  QS_SUCCESS);
        ASSERT_EQ(count, static_cast<uint32_t>(io_desc.dma_buf_size()));
        EXPECT_EQ(buffers[0].type, QBUFFER_TYPE_DMABUF);
        slot.in = reinterpret_cast<float*>(buffers[0].buf);
        slot.out = reinterpret_cast<float*>(buffers[1].buf);
        EXPECT_EQ(qaicExecObjSetData(slot.exec, count, buffers), QS_UNSUPPORTED);
      } else {
        const QBuffer buffers[2] = {Inference::buffer_of(slot.x), Inference::buffer_of(slot.y)};
        uint32_t dims[2] = {2, 3};
        const QBufferDimensions dimensions[2] = {{2, 4, dims}, {2, 4, dims}};
        ASSERT_EQ(qaicExecObjSetDataExt(slot.exec, 2, buffers, dimensions), QS_SUCCESS);
      }
    }
  }
  for (const auto& slot : slots) {
    slot->fill();
    ASSERT_EQ(qaicEventClear(slot->event), QS_SUCCESS);
    EXPECT_EQ(qaicEventRemoveCallback(slot->event, Slot::completed), QS_INVAL);
    ASSERT_EQ(qaicEventAddCallback(slot->event, Slot::completed, slot.get()), QS_SUCCESS);
    ASSERT_EQ(qaicEnqueueExecObj(slot->queue, slot->exec, slot->event), QS_SUCCESS);
  }
  EXPECT_TRUE(soon([&] { return open.load() == 0; }));
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_TRUE(told.errors.empty()) << told.errors.front();

  // Once more, without callbacks: by the event, and by the exec object.
  Slot& slot = *slots.front();
  slot.left = 7;
  slot.fill();
  EXPECT_EQ(qaicEventRemoveCallback(slot.event, Slot::completed), QS_SUCCESS);
  ASSERT_EQ(qaicEnqueueExecObj(slot.queue, slot.exec, slot.event), QS_SUCCESS);
  EXPECT_EQ(qaicWaitforEvent(slot.event), QS_SUCCESS);
  EXPECT_EQ(slot.out[0], factor * slot.in[0]);
  ASSERT_EQ(qaicEnqueueExecObj(slot.queue, slot.exec, nullptr), QS_SUCCESS);
  EXPECT_EQ(qaicExecObjWaitForCompletion(slot.exec, 60000000), QS_SUCCESS);

  for (const auto& each : slots) {
    EXPECT_EQ(qaicReleaseExecObj(each->exec), QS_SUCCESS);
    EXPECT_EQ(qaicReleaseEvent(each->event), QS_SUCCESS);
  }
  for (QAicProgram* program : programs) {
    EXPECT_EQ(qaicRunActivationCmd(program, QAIC_PROGRAM_CMD_DEACTIVATE_FULL), QS_SUCCESS);
    EXPECT_EQ(qaicUnloadProgram(program), QS_SUCCESS);
    EXPECT_EQ(qaicReleaseProgram(program), QS_SUCCESS);
  }
  for (QAicQueue* queue : queues) EXPECT_EQ(qaicReleaseQueue(queue), QS_SUCCESS);
  EXPECT_EQ(qaicCloseQpc(qpc), QS_SUCCESS);
  EXPECT_EQ(qaicReleaseConstants(nullptr), QS_INVAL);
  EXPECT_EQ(qaicReleaseContext(context), QS_SUCCESS);
  ASSERT_EQ(qaicGetResourceInfo(device, &resources), QS_SUCCESS);
  EXPECT_EQ(resources.nspFree, resources.nspTotal);
}

// Walks with the program in a file, which the test removes.
void walk_file(bool zero_copy, float factor) {
  const std::string path = ::testing::TempDir() + "/sim_walk_" + std::to_string(getpid()) + ".bin";
  const std::vector<std::byte> bytes = qpc_bytes();
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  walk(path, zero_copy, factor);
  std::remove(path.c_str());
}

TEST_F(HostProgram, WalksWithHeapBuffers) { walk_file(false, 1); }
TEST_F(HostProgram, WalksWithZeroCopyBuffers) { walk_file(true, 1); }

TEST_F(HostProgram, WalksWithJitter) {
  configure({{"QAICKIT_SIM_LATENCY_US", "100"}, {"QAICKIT_SIM_JITTER_US", "300"}});
  walk_file(false, 1);
}

TEST_F(HostProgram, ComputesWithHeapBuffers) {
  if (!can_compute()) GTEST_SKIP() << "no ONNX Runtime";
  configure({{"QAICKIT_SIM_COMPUTE", "1"}});
  walk_file(false, 2);
}

TEST_F(HostProgram, ComputesWithZeroCopyBuffers) {
  if (!can_compute()) GTEST_SKIP() << "no ONNX Runtime";
  configure({{"QAICKIT_SIM_COMPUTE", "1"}});
  walk_file(true, 2);
}

// What the caller does to a buffer that was not copied, he does to the QPC.
TEST_F(HostProgram, AQpcIsCopiedOnlyWhenAsked) {
  if (!can_compute()) GTEST_SKIP() << "no ONNX Runtime";
  configure({{"QAICKIT_SIM_COMPUTE", "1"}});
  for (const bool copied : {false, true}) {
    std::vector<std::byte> bytes = qpc_bytes();
    const auto model = std::ranges::search(bytes, std::as_bytes(std::span("Add", 3)));
    ASSERT_FALSE(model.empty());
    const QID device = 0;
    QAicContext* context = nullptr;
    QAicQpcObj* qpc = nullptr;
    QAicProgram* program = nullptr;
    ASSERT_EQ(qaicCreateContext(&context, nullptr, 1, &device, nullptr, nullptr, nullptr, nullptr),
              QS_SUCCESS);
    ASSERT_EQ(
        qaicOpenQpc(&qpc, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), copied),
        QS_SUCCESS);
    model[0] = std::byte{'X'};  // an operator that does not exist
    ASSERT_EQ(qaicCreateProgram(context, &program, nullptr, device, nullptr, qpc), QS_SUCCESS);
    EXPECT_EQ(qaicLoadProgram(program), copied ? QS_SUCCESS : QS_ERROR);
    EXPECT_EQ(qaicReleaseProgram(program), QS_SUCCESS);
    EXPECT_EQ(qaicCloseQpc(qpc), QS_SUCCESS);
    EXPECT_EQ(qaicReleaseContext(context), QS_SUCCESS);
  }
}

TEST_F(HostProgram, NeedsTheHostHalfToCompute) {
  configure({{"QAICKIT_SIM_COMPUTE", "1"}});
  Rig rig(0, {.host_half = false});
  EXPECT_EQ(qaicLoadProgram(rig.program), QS_ERROR);
  EXPECT_TRUE(rig.told.has_error("host half"));
  EXPECT_FALSE(rig.told.lines.empty());
}

TEST_F(HostProgram, DoesNotComputeUnlessAsked) {
  configure({{"QAICKIT_SIM_COMPUTE", "0"}});
  Rig rig(0, {.host_half = false});
  Inference run(rig, 1);
  EXPECT_EQ(run.enqueue_and_wait(), QS_SUCCESS);
  EXPECT_TRUE(run.has_output(0));
}

TEST_F(HostProgram, RunsTakeTheTimeOfTheModel) {
  configure({{"QAICKIT_SIM_LATENCY_US", "3000"}, {"QAICKIT_SIM_PER_SAMPLE_US", "1000"}});
  Rig rig;
  Inference first(rig);
  Inference second(rig);
  const auto start = std::chrono::steady_clock::now();
  ASSERT_EQ(first.enqueue(), QS_SUCCESS);
  ASSERT_EQ(second.enqueue(), QS_SUCCESS);
  EXPECT_EQ(qaicWaitforEvent(first.event), QS_SUCCESS);
  EXPECT_EQ(qaicWaitforEvent(second.event), QS_SUCCESS);
  // One activation does one after the other: twice 3 ms and two samples.
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(10));
}

TEST_F(HostProgram, JitterLetsRunsOvertake) {
  configure({{"QAICKIT_SIM_LATENCY_US", "10"}, {"QAICKIT_SIM_JITTER_US", "20000"}});
  Rig rig(0, {}, 8);
  std::mutex mutex;
  std::vector<int> order;
  struct User {
    int i;
    std::mutex* mutex;
    std::vector<int>* order;
  };
  std::vector<std::unique_ptr<Inference>> runs;
  std::vector<User> users;
  for (int i = 0; i < 8; ++i) users.push_back({i, &mutex, &order});
  for (int i = 0; i < 8; ++i) {
    Inference& run = *runs.emplace_back(std::make_unique<Inference>(rig));
    ASSERT_EQ(qaicEventAddCallback(
                  run.event,
                  [](QAicEvent*, QAicEventCompletionType, void* raw) {
                    const User& user = *static_cast<User*>(raw);
                    const std::lock_guard lock(*user.mutex);
                    user.order->push_back(user.i);
                  },
                  &users[static_cast<size_t>(i)]),
              QS_SUCCESS);
  }
  // On a machine that lets none of the threads run for as long as the jitter is, they come in
  // order.
  bool overtaken = false;
  for (int round = 0; round < 100 && !overtaken; ++round) {
    order.clear();
    for (const auto& run : runs) ASSERT_EQ(run->enqueue(), QS_SUCCESS);
    ASSERT_TRUE(soon([&] {
      const std::lock_guard lock(mutex);
      return order.size() == 8;
    }));
    overtaken = !std::ranges::is_sorted(order);
  }
  EXPECT_TRUE(overtaken);
}

}  // namespace
}  // namespace qaickit::test
