#include "QAicApi.pb.h"
#include "sim/rig.h"

namespace qaickit::test {
namespace {

using Limits = SimTest;

TEST_F(Limits, NullsAreInvalid) {
  EXPECT_EQ(qaicGetAicVersion(nullptr, nullptr, nullptr, nullptr), QS_INVAL);
  EXPECT_EQ(qaicGetDeviceIds(nullptr, nullptr), QS_INVAL);
  EXPECT_EQ(qaicGetDeviceInfo(0, nullptr), QS_INVAL);
  EXPECT_EQ(qaicGetResourceInfo(0, nullptr), QS_INVAL);
  EXPECT_EQ(qaicGetPerformanceInfo(0, nullptr), QS_INVAL);
  const QID device = 0;
  QAicContext* context = nullptr;
  EXPECT_EQ(qaicCreateContext(nullptr, nullptr, 1, &device, nullptr, nullptr, nullptr, nullptr),
            QS_INVAL);
  EXPECT_EQ(qaicCreateContext(&context, nullptr, 0, &device, nullptr, nullptr, nullptr, nullptr),
            QS_INVAL);
  EXPECT_EQ(qaicCreateContext(&context, nullptr, 1, nullptr, nullptr, nullptr, nullptr, nullptr),
            QS_INVAL);
  EXPECT_EQ(qaicSetLogLevel(nullptr, QL_INFO), QS_INVAL);
  EXPECT_EQ(qaicReleaseContext(nullptr), QS_INVAL);
  EXPECT_EQ(qaicOpenQpc(nullptr, nullptr, 0, false), QS_INVAL);
  EXPECT_EQ(qaicOpenQpcFile(nullptr, nullptr), QS_INVAL);
  EXPECT_EQ(qaicCloseQpc(nullptr), QS_INVAL);
  EXPECT_EQ(qaicQpcGetInfo(nullptr, nullptr), QS_INVAL);
  EXPECT_EQ(qaicProgramPropertiesInitDefault(nullptr), QS_INVAL);
  EXPECT_EQ(qaicCreateProgram(nullptr, nullptr, nullptr, 0, nullptr, nullptr), QS_INVAL);
  EXPECT_EQ(qaicLoadProgram(nullptr), QS_INVAL);
  EXPECT_EQ(qaicUnloadProgram(nullptr), QS_INVAL);
  EXPECT_EQ(qaicReleaseProgram(nullptr), QS_INVAL);
  EXPECT_EQ(qaicRunActivationCmd(nullptr, QAIC_PROGRAM_CMD_ACTIVATE_FULL), QS_INVAL);
  EXPECT_EQ(qaicProgramGetIoDescriptor(nullptr, nullptr), QS_INVAL);
  EXPECT_EQ(qaicProgramGetIoBufferInfo(nullptr, nullptr), QS_INVAL);
  EXPECT_EQ(qaicCreateQueue(nullptr, nullptr, nullptr, 0), QS_INVAL);
  EXPECT_EQ(qaicReleaseQueue(nullptr), QS_INVAL);
  EXPECT_EQ(qaicCreateExecObj(nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr),
            QS_INVAL);
  EXPECT_EQ(qaicReleaseExecObj(nullptr), QS_INVAL);
  EXPECT_EQ(qaicExecObjSetData(nullptr, 0, nullptr), QS_INVAL);
  EXPECT_EQ(qaicExecObjGetIoBuffers(nullptr, nullptr, nullptr), QS_INVAL);
  EXPECT_EQ(qaicExecObjWaitForCompletion(nullptr, 0), QS_INVAL);
  EXPECT_EQ(qaicCreateEvent(nullptr, nullptr, QAIC_EVENT_DEVICE_COMPLETE), QS_INVAL);
  EXPECT_EQ(qaicReleaseEvent(nullptr), QS_INVAL);
  EXPECT_EQ(qaicEventClear(nullptr), QS_INVAL);
  EXPECT_EQ(qaicWaitforEvent(nullptr), QS_INVAL);
  EXPECT_EQ(qaicEnqueueExecObj(nullptr, nullptr, nullptr), QS_INVAL);
  EXPECT_EQ(qaicReleaseProgramGroup(nullptr), QS_INVAL);
}

TEST_F(Limits, UnknownDevices) {
  QAicContext* context = nullptr;
  const QID device = 4;
  EXPECT_EQ(qaicCreateContext(&context, nullptr, 1, &device, nullptr, nullptr, nullptr, nullptr),
            QS_NODEV);
  Rig rig;
  QAicProgram* program = nullptr;
  EXPECT_EQ(qaicCreateProgram(rig.context, &program, nullptr, 1, nullptr, rig.qpc), QS_NODEV);
  QAicQueue* queue = nullptr;
  EXPECT_EQ(qaicCreateQueue(rig.context, &queue, nullptr, 1), QS_NODEV);
}

TEST_F(Limits, VisibleDevices) {
  const Environment visible("QAIC_VISIBLE_DEVICES", "1,2");
  configure({{"QAICKIT_SIM_DEVICES", "4"}, {"QAICKIT_SIM_NSPS", "16,14"}});
  QID ids[8] = {};
  uint32_t count = 8;
  ASSERT_EQ(qaicGetDeviceIds(&count, ids), QS_SUCCESS);
  ASSERT_EQ(count, 2u);
  EXPECT_EQ(ids[0], 1);
  QResourceInfo resources{};
  ASSERT_EQ(qaicGetResourceInfo(2, &resources), QS_SUCCESS);
  EXPECT_EQ(resources.nspTotal, 14);
  EXPECT_EQ(qaicGetResourceInfo(0, &resources), QS_NODEV);
}

TEST_F(Limits, DamagedQpcs) {
  std::vector<std::byte> bytes = qpc_bytes();
  QAicQpcObj* qpc = nullptr;
  const auto open = [&](size_t size) {
    return qaicOpenQpc(&qpc, reinterpret_cast<const uint8_t*>(bytes.data()), size, true);
  };
  EXPECT_EQ(open(bytes.size() - 1), QS_ERROR);
  EXPECT_EQ(open(3), QS_ERROR);
  bytes[0] ^= std::byte{1};
  EXPECT_EQ(open(bytes.size()), QS_ERROR);
  EXPECT_EQ(qpc, nullptr);
  EXPECT_EQ(qaicOpenQpcFile(&qpc, "/nowhere/programqpc.bin"), QS_ERROR);
}

TEST_F(Limits, NspsAreCounted) {
  Rig first(0, {.cores = 9});
  Rig second(0, {.cores = 8});
  EXPECT_EQ(qaicRunActivationCmd(first.program, QAIC_PROGRAM_CMD_ACTIVATE_FULL), QS_SUCCESS);
  EXPECT_EQ(qaicRunActivationCmd(first.program, QAIC_PROGRAM_CMD_ACTIVATE_FULL), QS_SUCCESS);
  EXPECT_EQ(qaicRunActivationCmd(second.program, QAIC_PROGRAM_CMD_ACTIVATE_FULL), QS_NOSPC);
  EXPECT_TRUE(second.told.has_error("needs 8 NSPs, free are 7 of 16"));
  QAicExecObj* exec = nullptr;
  EXPECT_EQ(
      qaicCreateExecObj(second.context, &exec, nullptr, second.program, nullptr, nullptr, nullptr),
      QS_NOSPC);
  EXPECT_EQ(qaicUnloadProgram(first.program), QS_BUSY);
  EXPECT_EQ(qaicRunActivationCmd(first.program, QAIC_PROGRAM_CMD_DEACTIVATE_FULL), QS_SUCCESS);
  EXPECT_EQ(qaicRunActivationCmd(first.program, QAIC_PROGRAM_CMD_DEACTIVATE_FULL), QS_INVAL);
  EXPECT_EQ(qaicRunActivationCmd(second.program, QAIC_PROGRAM_CMD_ACTIVATE_FULL), QS_SUCCESS);
  EXPECT_EQ(qaicRunActivationCmd(second.program, QAIC_PROGRAM_CMD_INVAL), QS_INVAL);
  EXPECT_EQ(qaicUnloadProgram(first.program), QS_SUCCESS);
  EXPECT_EQ(qaicUnloadProgram(first.program), QS_INVAL);
}

TEST_F(Limits, BuffersAreChecked) {
  Rig rig;
  Inference run(rig);
  QBuffer buffers[2] = {Inference::buffer_of(run.x), Inference::buffer_of(run.y)};
  EXPECT_EQ(qaicExecObjSetData(run.exec, 1, buffers), QS_INVAL);
  EXPECT_EQ(qaicExecObjSetData(run.exec, 3, buffers), QS_INVAL);
  buffers[1].size -= 1;
  EXPECT_EQ(qaicExecObjSetData(run.exec, 2, buffers), QS_INVAL);
  EXPECT_TRUE(rig.told.has_error("'y') has 23 bytes, expected 24"));
  buffers[1].size += 2;
  EXPECT_EQ(qaicExecObjSetData(run.exec, 2, buffers), QS_INVAL);
  buffers[1] = Inference::buffer_of(run.y);
  buffers[0].buf = nullptr;
  EXPECT_EQ(qaicExecObjSetData(run.exec, 2, buffers), QS_INVAL);
  buffers[0] = Inference::buffer_of(run.x);
  buffers[0].type = QBUFFER_TYPE_PMEM;
  EXPECT_EQ(qaicExecObjSetData(run.exec, 2, buffers), QS_INVAL);
  buffers[0].type = QBUFFER_TYPE_HEAP;
  EXPECT_EQ(qaicExecObjSetData(run.exec, 2, buffers), QS_SUCCESS);

  uint32_t dims[2] = {3, 2};
  const QBufferDimensions wrong[2] = {{2, 4, dims}, {2, 4, dims}};
  EXPECT_EQ(qaicExecObjSetDataExt(run.exec, 2, buffers, wrong), QS_INVAL);
  const QBufferDimensions null_dims[2] = {{2, 4, nullptr}, {2, 4, nullptr}};
  EXPECT_EQ(qaicExecObjSetDataExt(run.exec, 2, buffers, null_dims), QS_INVAL);
  uint32_t right[2] = {2, 3};
  uint32_t zero = 0;
  buffers[1].size = 0;
  const QBufferDimensions skipped[2] = {{2, 4, right}, {1, 4, &zero}};
  EXPECT_EQ(qaicExecObjSetDataExt(run.exec, 2, buffers, skipped), QS_SUCCESS);
  EXPECT_EQ(run.enqueue_and_wait(), QS_SUCCESS);
  uint32_t count = 0;
  QBuffer* own = nullptr;
  EXPECT_EQ(qaicExecObjGetIoBuffers(run.exec, &count, &own), QS_INVAL);
}

TEST_F(Limits, SetsOfOthersAreRefused) {
  Rig rig;
  QData descriptor{};
  ASSERT_EQ(qaicProgramGetIoDescriptor(rig.program, &descriptor), QS_SUCCESS);
  aicapi::IoDesc io_desc;
  ASSERT_TRUE(io_desc.ParseFromArray(descriptor.data, static_cast<int>(descriptor.size)));
  io_desc.mutable_selected_set()->set_name("quantize");
  std::string text = io_desc.SerializeAsString();
  QData given{text.size(), reinterpret_cast<uint8_t*>(text.data())};
  QAicExecObj* exec = nullptr;
  const auto create = [&] {
    return qaicCreateExecObj(rig.context, &exec, nullptr, rig.program, &given, nullptr, nullptr);
  };
  EXPECT_EQ(create(), QS_INVAL);
  uint8_t garbage[4] = {0xff, 0xff, 0xff, 0xff};
  given = {sizeof(garbage), garbage};
  EXPECT_EQ(create(), QS_INVAL);
  given = {4, nullptr};
  EXPECT_EQ(create(), QS_INVAL);
  const QAicExecObjProperties_t unknown = 0x1000;
  EXPECT_EQ(qaicCreateExecObj(rig.context, &exec, &unknown, rig.program, nullptr, nullptr, nullptr),
            QS_INVAL);
}

TEST_F(Limits, ManualActivationIsTheCallersBusiness) {
  Rig rig;
  const QAicExecObjProperties_t manual = 0;
  QAicExecObj* exec = nullptr;
  ASSERT_EQ(qaicCreateExecObj(rig.context, &exec, &manual, rig.program, nullptr, nullptr, nullptr),
            QS_SUCCESS);
  EXPECT_EQ(qaicEnqueueExecObj(rig.queue, exec, nullptr), QS_INVAL);  // no data
  float x[kRow] = {};
  float y[kRow] = {};
  const QBuffer buffers[2] = {Inference::buffer_of(x), Inference::buffer_of(y)};
  ASSERT_EQ(qaicExecObjSetData(exec, 2, buffers), QS_SUCCESS);
  EXPECT_EQ(qaicEnqueueExecObj(rig.queue, exec, nullptr), QS_INVAL);  // not active
  EXPECT_EQ(qaicExecObjWaitForCompletion(exec, 0), QS_INVAL);         // never enqueued
  ASSERT_EQ(qaicRunActivationCmd(rig.program, QAIC_PROGRAM_CMD_ACTIVATE_FULL), QS_SUCCESS);
  EXPECT_EQ(qaicEnqueueExecObj(rig.queue, exec, nullptr), QS_SUCCESS);
  EXPECT_EQ(qaicExecObjWaitForCompletion(exec, 60000000), QS_SUCCESS);
  EXPECT_EQ(qaicReleaseExecObj(exec), QS_SUCCESS);
}

TEST_F(Limits, AutoActivationComesWithAnEnqueueToo) {
  Rig rig;
  Inference run(rig);
  ASSERT_EQ(qaicRunActivationCmd(rig.program, QAIC_PROGRAM_CMD_DEACTIVATE_FULL), QS_SUCCESS);
  ASSERT_EQ(qaicUnloadProgram(rig.program), QS_SUCCESS);
  EXPECT_EQ(run.enqueue_and_wait(), QS_SUCCESS);
}

TEST_F(Limits, InFlightIsBusy) {
  configure({{"QAICKIT_SIM_LATENCY_US", "100000"}});
  Rig rig;
  Inference run(rig);
  Inference other(rig);
  ASSERT_EQ(run.enqueue(), QS_SUCCESS);
  EXPECT_EQ(run.enqueue(), QS_BUSY);
  EXPECT_EQ(qaicEnqueueExecObj(rig.queue, other.exec, run.event), QS_BUSY);
  EXPECT_EQ(qaicReleaseExecObj(run.exec), QS_BUSY);
  EXPECT_EQ(qaicReleaseEvent(run.event), QS_BUSY);
  EXPECT_EQ(qaicEventClear(run.event), QS_BUSY);
  const QBuffer buffers[2] = {Inference::buffer_of(run.x), Inference::buffer_of(run.y)};
  EXPECT_EQ(qaicExecObjSetData(run.exec, 2, buffers), QS_BUSY);
  EXPECT_EQ(qaicRunActivationCmd(rig.program, QAIC_PROGRAM_CMD_DEACTIVATE_FULL), QS_BUSY);
  EXPECT_EQ(qaicWaitforEvent(run.event), QS_SUCCESS);
  EXPECT_EQ(other.enqueue_and_wait(), QS_SUCCESS);
}

TEST_F(Limits, ParentsWithChildrenAreBusy) {
  Rig rig;
  EXPECT_EQ(qaicReleaseContext(rig.context), QS_BUSY);
  Inference run(rig);
  EXPECT_EQ(qaicReleaseProgram(rig.program), QS_BUSY);
}

TEST_F(Limits, ASecondReleaseIsNoticed) {
  Rig rig;
  QAicEvent* event = nullptr;
  ASSERT_EQ(qaicCreateEvent(rig.context, &event, QAIC_EVENT_DEVICE_COMPLETE), QS_SUCCESS);
  EXPECT_EQ(qaicReleaseEvent(event), QS_SUCCESS);
  EXPECT_EQ(qaicReleaseEvent(event), QS_INVAL);
  QAicQueue* queue = rig.queue;
  rig.queue = nullptr;
  EXPECT_EQ(qaicReleaseQueue(queue), QS_SUCCESS);
  EXPECT_EQ(qaicReleaseQueue(queue), QS_INVAL);
  EXPECT_EQ(qaicReleaseProgram(reinterpret_cast<QAicProgram*>(rig.context)), QS_INVAL);
}

TEST_F(Limits, CallbacksAreFew) {
  Rig rig;
  QAicEvent* event = nullptr;
  ASSERT_EQ(qaicCreateEvent(rig.context, &event, QAIC_EVENT_DEVICE_COMPLETE), QS_SUCCESS);
  const QAicEventCallback callback = [](QAicEvent*, QAicEventCompletionType, void*) {};
  for (int i = 0; i < 4; ++i) EXPECT_EQ(qaicEventAddCallback(event, callback, nullptr), QS_SUCCESS);
  EXPECT_EQ(qaicEventAddCallback(event, callback, nullptr), QS_NOSPC);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(qaicEventRemoveCallback(event, callback), QS_SUCCESS);
  EXPECT_EQ(qaicEventRemoveCallback(event, callback), QS_INVAL);
  EXPECT_EQ(qaicReleaseEvent(event), QS_SUCCESS);
  EXPECT_EQ(qaicCreateEvent(rig.context, &event, QAIC_EVENT_INVAL), QS_INVAL);
}

TEST_F(Limits, QueueThreads) {
  Rig rig;
  QAicQueue* queue = nullptr;
  QAicQueueProperties properties{QAIC_QUEUE_PROPERTIES_DEFAULT, 1000};
  EXPECT_EQ(qaicCreateQueue(rig.context, &queue, &properties, 0), QS_INVAL);
  properties = {QAIC_QUEUE_PROPERTIES_ENABLE_SINGLE_THREADED_QUEUES, 4};
  ASSERT_EQ(qaicCreateQueue(rig.context, &queue, &properties, 0), QS_SUCCESS);
  EXPECT_EQ(qaicReleaseQueue(queue), QS_SUCCESS);
}

// Releasing what is in use from inside a callback would wait for itself.
TEST_F(Limits, ReleaseInsideACallbackIsRefused) {
  Rig rig;
  Inference run(rig);
  struct User {
    Rig* rig;
    Inference* run;
    std::atomic<int> refused{0};
    std::atomic<bool> done{false};
  } user{&rig, &run};
  ASSERT_EQ(qaicEventAddCallback(
                run.event,
                [](QAicEvent* event, QAicEventCompletionType, void* raw) {
                  auto* user = static_cast<User*>(raw);
                  user->refused += qaicReleaseEvent(event) == QS_BUSY;
                  user->refused += qaicReleaseExecObj(user->run->exec) == QS_BUSY;
                  user->refused += qaicReleaseQueue(user->rig->queue) == QS_BUSY;
                  user->done = true;
                },
                &user),
            QS_SUCCESS);
  ASSERT_EQ(run.enqueue(), QS_SUCCESS);
  EXPECT_TRUE(soon([&] { return user.done.load(); }));
  EXPECT_EQ(user.refused, 3);
}

TEST_F(Limits, GroupsShareNsps) {
  Rig rig;
  const std::vector<std::byte> bytes = qpc_bytes({.cores = 10});
  QAicQpcObj* qpc = nullptr;
  ASSERT_EQ(qaicOpenQpc(&qpc, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), true),
            QS_SUCCESS);
  for (const bool oversubscribe : {false, true}) {
    QAicProgramGroupProperties_t properties;
    ASSERT_EQ(qaicProgramGroupPropertiesInitDefault(&properties), QS_SUCCESS);
    if (oversubscribe) {
      properties.enableOversubscription = QAIC_PROGRAM_GROUP_PROPERTIES_OVERSUBSCRIPTION_ENABLED;
    }
    QAicProgramGroup* group = nullptr;
    QAicQueue* queue = nullptr;
    ASSERT_EQ(qaicCreateProgramGroup(rig.context, &group, &queue, &properties, "group", 0),
              QS_SUCCESS);
    QAicProgram* programs[2] = {};
    for (QAicProgram*& program : programs) {
      ASSERT_EQ(qaicProgramGroupAddProgram(group, qpc, &program, nullptr), QS_SUCCESS);
      EXPECT_EQ(qaicReleaseProgram(program), QS_INVAL);
    }
    EXPECT_EQ(qaicProgramGroupEnable(group), oversubscribe ? QS_SUCCESS : QS_NOSPC);
    if (oversubscribe) {
      QAicExecObj* exec = nullptr;
      ASSERT_EQ(
          qaicCreateExecObj(rig.context, &exec, nullptr, programs[1], nullptr, nullptr, nullptr),
          QS_SUCCESS);
      float x[kRow] = {1, 2, 3};
      float y[kRow] = {};
      const QBuffer buffers[2] = {Inference::buffer_of(x), Inference::buffer_of(y)};
      ASSERT_EQ(qaicExecObjSetData(exec, 2, buffers), QS_SUCCESS);
      ASSERT_EQ(qaicEnqueueExecObj(queue, exec, nullptr), QS_SUCCESS);
      EXPECT_EQ(qaicExecObjWaitForCompletion(exec, 60000000), QS_SUCCESS);
      EXPECT_EQ(y[2], 3);
      EXPECT_EQ(qaicReleaseProgramGroup(group), QS_BUSY);
      EXPECT_EQ(qaicReleaseExecObj(exec), QS_SUCCESS);
      EXPECT_EQ(qaicProgramGroupDisable(group, false, 1000), QS_SUCCESS);
    }
    EXPECT_EQ(qaicReleaseQueue(queue), QS_INVAL);
    EXPECT_EQ(qaicReleaseProgramGroup(group), QS_SUCCESS);
  }
  EXPECT_EQ(qaicCloseQpc(qpc), QS_SUCCESS);
}

}  // namespace
}  // namespace qaickit::test
