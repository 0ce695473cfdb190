// Programs over several devices.

#include "sim/rig.h"

namespace qaickit::test {
namespace {

class Devices : public SimTest {
 protected:
  void SetUp() override {
    SimTest::SetUp();
    configure({{"QAICKIT_SIM_DEVICES", "3"}, {"QAICKIT_SIM_NSPS", "16,8"}});
  }
};

uint32_t free_nsps(QID device) {
  QResourceInfo resources{};
  EXPECT_EQ(qaicGetResourceInfo(device, &resources), QS_SUCCESS);
  return resources.nspFree;
}

// A context with all three devices, a program by a mapping and its queue.
struct Mapped {
  explicit Mapped(const char* mapping, uint32_t cores = 4, QID device = 0) {
    bytes = qpc_bytes({.cores = cores});
    const QID all[] = {0, 1, 2};
    EXPECT_EQ(
        qaicCreateContext(&context, nullptr, 3, all, Told::on_log, &told, Told::on_error, &told),
        QS_SUCCESS);
    EXPECT_EQ(
        qaicOpenQpc(&qpc, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), false),
        QS_SUCCESS);
    EXPECT_EQ(qaicProgramPropertiesInitDefault(&properties), QS_SUCCESS);
    properties.devMapping = mapping;
    created = qaicCreateProgram(context, &program, &properties, device, "mapped", qpc);
  }
  Mapped(const Mapped&) = delete;
  ~Mapped() {
    if (exec) {
      EXPECT_EQ(qaicReleaseExecObj(exec), QS_SUCCESS);
    }
    if (program) {
      EXPECT_EQ(qaicReleaseProgram(program), QS_SUCCESS);
    }
    if (queue) {
      EXPECT_EQ(qaicReleaseQueue(queue), QS_SUCCESS);
    }
    EXPECT_EQ(qaicCloseQpc(qpc), QS_SUCCESS);
    EXPECT_EQ(qaicReleaseContext(context), QS_SUCCESS);
  }
  QStatus activate() { return qaicRunActivationCmd(program, QAIC_PROGRAM_CMD_ACTIVATE_FULL); }
  void make_exec(QID queue_of = 0) {
    ASSERT_EQ(qaicCreateQueue(context, &queue, nullptr, queue_of), QS_SUCCESS);
    ASSERT_EQ(qaicCreateExecObj(context, &exec, nullptr, program, nullptr, nullptr, nullptr),
              QS_SUCCESS);
    const QBuffer buffers[2] = {Inference::buffer_of(x), Inference::buffer_of(y)};
    ASSERT_EQ(qaicExecObjSetData(exec, 2, buffers), QS_SUCCESS);
  }
  QStatus enqueue() { return qaicEnqueueExecObj(queue, exec, nullptr); }
  QStatus wait() { return qaicExecObjWaitForCompletion(exec, 60000000); }
  QStatus run() {
    const QStatus status = enqueue();
    return status == QS_SUCCESS ? wait() : status;
  }

  std::vector<std::byte> bytes;
  Told told;
  QAicProgramProperties_t properties{};
  QAicContext* context = nullptr;
  QAicQpcObj* qpc = nullptr;
  QAicProgram* program = nullptr;
  QAicQueue* queue = nullptr;
  QAicExecObj* exec = nullptr;
  QStatus created = QS_ERROR;
  float x[kRow] = {1, 2, 3, 4, 5, 6};
  float y[kRow] = {};
};

TEST_F(Devices, AProgramTakesItsNspsOnAllOfThem) {
  {
    Mapped mapped("0:1");
    ASSERT_EQ(mapped.created, QS_SUCCESS);
    EXPECT_EQ(mapped.activate(), QS_SUCCESS);
    EXPECT_EQ(mapped.activate(), QS_SUCCESS);
    EXPECT_EQ(free_nsps(0), 12u);
    EXPECT_EQ(free_nsps(1), 4u);
    EXPECT_EQ(free_nsps(2), 8u);
    mapped.make_exec(1);  // a queue of any of them
    EXPECT_EQ(mapped.run(), QS_SUCCESS);
    EXPECT_EQ(mapped.y[5], 6);
    Mapped second("1:0", 4, 1);
    EXPECT_EQ(second.activate(), QS_SUCCESS);
    Mapped third("0:1");
    EXPECT_EQ(third.activate(), QS_NOSPC);
    EXPECT_TRUE(third.told.has_error("device 1 of the mapping"));
    EXPECT_EQ(free_nsps(0), 8u) << "what the first device had reserved is given back";
    EXPECT_EQ(qaicRunActivationCmd(second.program, QAIC_PROGRAM_CMD_DEACTIVATE_FULL), QS_SUCCESS);
    EXPECT_EQ(free_nsps(1), 4u);
  }
  EXPECT_EQ(free_nsps(0), 16u);
  EXPECT_EQ(free_nsps(1), 8u);
  QDevInfo info{};
  ASSERT_EQ(qaicGetDeviceInfo(1, &info), QS_SUCCESS);
  EXPECT_EQ(info.devData.numLoadedNWs, 0);
}

TEST_F(Devices, MappingsAreChecked) {
  for (const char* mapping : {"0:", ":0", "0:x", "0:0", "0;1", "-1:0", "1:2"}) {
    const Mapped mapped(mapping);
    EXPECT_EQ(mapped.created, QS_INVAL) << mapping;
  }
  EXPECT_EQ(Mapped("0:7").created, QS_NODEV);
  EXPECT_EQ(Mapped("").created, QS_SUCCESS);
  Mapped one("0");
  ASSERT_EQ(one.created, QS_SUCCESS);
  EXPECT_EQ(one.activate(), QS_SUCCESS);
  Mapped mapped("0:1");
  const QAicExecObjProperties_t zero_copy = QAIC_EXECOBJ_PROPERTIES_ZERO_COPY_BUFFERS;
  QAicExecObj* exec = nullptr;
  EXPECT_EQ(qaicCreateExecObj(mapped.context, &exec, &zero_copy, mapped.program, nullptr, nullptr,
                              nullptr),
            QS_UNSUPPORTED);
}

TEST_F(Devices, AnyThatIsResetFailsTheRun) {
  configure({{"QAICKIT_SIM_LATENCY_US", "1"}});
  Mapped mapped("0:1:2");
  mapped.make_exec();
  ASSERT_EQ(qaicsimSetFaults(kAMinute), QS_SUCCESS);
  for (const QID device : {0, 1, 2}) {
    ASSERT_EQ(mapped.activate(), QS_SUCCESS);
    ASSERT_EQ(mapped.enqueue(), QS_SUCCESS);
    ASSERT_EQ(qaicsimResetDevice(device), QS_SUCCESS);
    EXPECT_EQ(mapped.wait(), QS_DEV_ERROR) << device;
    EXPECT_EQ(mapped.enqueue(), QS_DEV_ERROR) << device;
  }
  ASSERT_EQ(qaicsimSetFaults(""), QS_SUCCESS);
  ASSERT_EQ(mapped.activate(), QS_SUCCESS);
  EXPECT_EQ(mapped.run(), QS_SUCCESS);
  for (const QID device : {0, 1, 2}) EXPECT_EQ(free_nsps(device), device == 0 ? 12u : 4u);
}

// A run that was lost comes back when any of the devices is reset, not only the first.
TEST_F(Devices, ALostRunComesBackWithAnyOfThem) {
  for (const QID device : {0, 1}) {
    Mapped mapped("0:1");
    mapped.make_exec();
    ASSERT_EQ(mapped.activate(), QS_SUCCESS);
    ASSERT_EQ(qaicsimSetFaults("lost=1"), QS_SUCCESS);
    ASSERT_EQ(mapped.enqueue(), QS_SUCCESS);
    ASSERT_TRUE(soon([] {
      QAicSimCounters counters{};
      return qaicsimGetCounters(0, &counters) == QS_SUCCESS && counters.lost > 0;
    }));
    ASSERT_EQ(qaicsimSetFaults(""), QS_SUCCESS);
    ASSERT_EQ(qaicsimResetDevice(device), QS_SUCCESS);
    EXPECT_EQ(mapped.wait(), QS_DEV_ERROR) << device;
  }
}

// Faults of a plan for one device meet the programs that it has a share of.
TEST_F(Devices, AFaultOfAnyFailsTheRun) {
  Mapped mapped("0:1");
  mapped.make_exec();
  ASSERT_EQ(mapped.activate(), QS_SUCCESS);
  ASSERT_EQ(qaicsimSetFaults("error=1,device=1"), QS_SUCCESS);
  EXPECT_EQ(mapped.run(), QS_ERROR);
  ASSERT_EQ(qaicsimSetFaults("die=1,device=1"), QS_SUCCESS);
  EXPECT_EQ(mapped.run(), QS_DEV_ERROR);
  QDevInfo info{};
  ASSERT_EQ(qaicGetDeviceInfo(1, &info), QS_SUCCESS);
  EXPECT_EQ(info.devStatus, QDS_ERROR);
  ASSERT_EQ(qaicGetDeviceInfo(0, &info), QS_SUCCESS);
  EXPECT_EQ(info.devStatus, QDS_READY);
  EXPECT_EQ(mapped.activate(), QS_DEV_ERROR);
  ASSERT_EQ(qaicsimSetFaults(""), QS_SUCCESS);
}

}  // namespace
}  // namespace qaickit::test
