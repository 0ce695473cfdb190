#include <algorithm>

#include "sim/rig.h"

namespace qaickit::test {
namespace {

using Faults = SimTest;

QAicSimCounters counters(QID device = 0) {
  QAicSimCounters counters{};
  EXPECT_EQ(qaicsimGetCounters(device, &counters), QS_SUCCESS);
  return counters;
}

QDevStatus status_of(QID device) {
  QDevInfo info{};
  EXPECT_EQ(qaicGetDeviceInfo(device, &info), QS_SUCCESS);
  return info.devStatus;
}

TEST_F(Faults, BadPlansAreRefused) {
  for (const char* spec : {"enqueue", "enqueue=2", "enqueue=-1", "enqueue=x", "nothing=1", "=",
                           "error=0.6,lost=0.6", "seed=1,,", "slow=nan"}) {
    EXPECT_EQ(qaicsimSetFaults(spec), QS_INVAL) << spec;
  }
  EXPECT_EQ(qaicsimSetFaults("seed=7,device=0,enqueue=0.1,error=0.1,slow=2.5"), QS_SUCCESS);
  EXPECT_EQ(qaicsimSetFaults(nullptr), QS_SUCCESS);
}

TEST_F(Faults, AnEnqueueIsRefused) {
  Rig rig;
  Inference run(rig);
  ASSERT_EQ(qaicsimSetFaults("enqueue=1"), QS_SUCCESS);
  EXPECT_EQ(run.enqueue(), QS_AGAIN);
  EXPECT_EQ(counters().refused, 1u);
  ASSERT_EQ(qaicsimSetFaults(""), QS_SUCCESS);
  EXPECT_EQ(run.enqueue_and_wait(), QS_SUCCESS);
}

TEST_F(Faults, TheEnvironmentHoldsAPlan) {
  configure({{"QAICKIT_SIM_FAULTS", "enqueue=1"}});
  Rig rig;
  Inference run(rig);
  EXPECT_EQ(run.enqueue(), QS_AGAIN);
}

struct Answer {
  std::atomic<int> calls{0};
  std::atomic<int> type{-1};
  std::atomic<int> status{-1};
  QAicExecObj* exec = nullptr;
  static void told(QAicEvent*, QAicEventCompletionType type, void* user) {
    auto* answer = static_cast<Answer*>(user);
    answer->type = type;
    answer->status = qaicExecObjWaitForCompletion(answer->exec, 0);
    ++answer->calls;
  }
};

TEST_F(Faults, AnErrorIsToldToAll) {
  Rig rig;
  Inference run(rig);
  Answer answer;
  answer.exec = run.exec;
  ASSERT_EQ(qaicEventAddCallback(run.event, Answer::told, &answer), QS_SUCCESS);
  ASSERT_EQ(qaicsimSetFaults("error=1"), QS_SUCCESS);
  EXPECT_EQ(run.enqueue_and_wait(), QS_ERROR);
  ASSERT_TRUE(soon([&] { return answer.calls == 1; }));
  EXPECT_EQ(answer.type, QAIC_EVENT_DEVICE_ERROR);
  EXPECT_EQ(answer.status, QS_ERROR);
  EXPECT_TRUE(rig.told.has_error("simulated device 0"));
  EXPECT_EQ(counters().failed, 1u);
  ASSERT_EQ(qaicsimSetFaults(""), QS_SUCCESS);
  EXPECT_EQ(run.enqueue_and_wait(), QS_SUCCESS);
}

TEST_F(Faults, ALostRunComesBackOnDeactivation) {
  Rig rig;
  Inference run(rig);
  ASSERT_EQ(qaicsimSetFaults("lost=1"), QS_SUCCESS);
  ASSERT_EQ(run.enqueue(), QS_SUCCESS);
  ASSERT_TRUE(soon([] { return counters().lost == 1; }));
  EXPECT_EQ(qaicExecObjWaitForCompletion(run.exec, 2000), QS_TIMEDOUT);
  EXPECT_EQ(run.enqueue(), QS_BUSY);
  EXPECT_EQ(qaicReleaseExecObj(run.exec), QS_BUSY);
  EXPECT_EQ(qaicReleaseEvent(run.event), QS_BUSY);
  EXPECT_EQ(qaicRunActivationCmd(rig.program, QAIC_PROGRAM_CMD_DEACTIVATE_FULL), QS_SUCCESS);
  EXPECT_EQ(qaicWaitforEvent(run.event), QS_DEV_ERROR);
}

TEST_F(Faults, ALostRunComesBackWithItsQueue) {
  Rig rig;
  Inference run(rig);
  ASSERT_EQ(qaicsimSetFaults("lost=1"), QS_SUCCESS);
  ASSERT_EQ(run.enqueue(), QS_SUCCESS);
  ASSERT_EQ(qaicReleaseQueue(rig.queue), QS_SUCCESS);
  rig.queue = nullptr;
  EXPECT_EQ(qaicWaitforEvent(run.event), QS_DEV_ERROR);
}

TEST_F(Faults, AResetEndsWhatIsInFlight) {
  configure({{"QAICKIT_SIM_LATENCY_US", "1"}});
  {
    Rig rig;
    std::vector<std::unique_ptr<Inference>> runs;
    for (int i = 0; i < 8; ++i) runs.push_back(std::make_unique<Inference>(rig));
    ASSERT_EQ(qaicsimSetFaults(kAMinute), QS_SUCCESS);
    for (int i = 0; i < 7; ++i) ASSERT_EQ(runs[static_cast<size_t>(i)]->enqueue(), QS_SUCCESS);
    ASSERT_EQ(qaicsimResetDevice(0), QS_SUCCESS);
    for (int i = 0; i < 7; ++i) {
      EXPECT_EQ(qaicWaitforEvent(runs[static_cast<size_t>(i)]->event), QS_DEV_ERROR);
    }
    // The program went with it.
    EXPECT_EQ(runs[7]->enqueue(), QS_DEV_ERROR);
    QResourceInfo resources{};
    ASSERT_EQ(qaicGetResourceInfo(0, &resources), QS_SUCCESS);
    EXPECT_EQ(resources.nspFree, resources.nspTotal);
    // It can be activated again, and then runs, without the time of what was in flight.
    ASSERT_EQ(qaicsimSetFaults(""), QS_SUCCESS);
    EXPECT_EQ(qaicRunActivationCmd(rig.program, QAIC_PROGRAM_CMD_ACTIVATE_FULL), QS_SUCCESS);
    EXPECT_EQ(runs[7]->enqueue_and_wait(), QS_SUCCESS);
  }
  QResourceInfo resources{};
  ASSERT_EQ(qaicGetResourceInfo(0, &resources), QS_SUCCESS);
  EXPECT_EQ(resources.nspFree, resources.nspTotal);
}

TEST_F(Faults, AnInjectedResetLastsUntilTheNextContext) {
  {
    Rig rig;
    Inference run(rig);
    ASSERT_EQ(qaicsimSetFaults("reset=1"), QS_SUCCESS);
    EXPECT_EQ(run.enqueue_and_wait(), QS_DEV_ERROR);
    EXPECT_EQ(status_of(0), QDS_ERROR);
    EXPECT_EQ(run.enqueue(), QS_DEV_ERROR);
    EXPECT_EQ(qaicLoadProgram(rig.program), QS_DEV_ERROR);
    EXPECT_EQ(counters().resets, 1u);
    ASSERT_EQ(qaicsimSetFaults(""), QS_SUCCESS);
  }
  Rig rig;
  EXPECT_EQ(status_of(0), QDS_READY);
  Inference run(rig);
  EXPECT_EQ(run.enqueue_and_wait(), QS_SUCCESS);
}

TEST_F(Faults, ADeadDeviceStaysDeadAndTheOthersGoOn) {
  configure({{"QAICKIT_SIM_DEVICES", "2"}});
  ASSERT_EQ(qaicsimSetFaults("device=1,die_after=3"), QS_SUCCESS);
  Rig healthy(0);
  Inference on_healthy(healthy);
  {
    Rig rig(1);
    Inference run(rig);
    EXPECT_EQ(run.enqueue_and_wait(), QS_SUCCESS);
    EXPECT_EQ(run.enqueue_and_wait(), QS_SUCCESS);
    EXPECT_EQ(run.enqueue_and_wait(), QS_DEV_ERROR);
    EXPECT_EQ(run.enqueue_and_wait(), QS_DEV_ERROR);
  }
  QAicContext* context = nullptr;
  const QID device = 1;
  EXPECT_EQ(qaicCreateContext(&context, nullptr, 1, &device, nullptr, nullptr, nullptr, nullptr),
            QS_DEV_ERROR);
  EXPECT_EQ(context, nullptr);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(on_healthy.enqueue_and_wait(), QS_SUCCESS);
  ASSERT_EQ(qaicsimResetDevice(1), QS_SUCCESS);
  Rig again(1);
  Inference run(again);
  EXPECT_EQ(run.enqueue_and_wait(), QS_SUCCESS);
}

TEST_F(Faults, LoadAndActivationFail) {
  Rig rig;
  ASSERT_EQ(qaicsimSetFaults("load=1"), QS_SUCCESS);
  EXPECT_EQ(qaicLoadProgram(rig.program), QS_ERROR);
  EXPECT_TRUE(rig.told.has_error("load failed"));
  ASSERT_EQ(qaicsimSetFaults("activation=1"), QS_SUCCESS);
  EXPECT_EQ(qaicLoadProgram(rig.program), QS_SUCCESS);
  EXPECT_EQ(qaicRunActivationCmd(rig.program, QAIC_PROGRAM_CMD_ACTIVATE_FULL), QS_DEV_ERROR);
  EXPECT_TRUE(rig.told.has_error("half way"));
  QResourceInfo resources{};
  ASSERT_EQ(qaicGetResourceInfo(0, &resources), QS_SUCCESS);
  EXPECT_EQ(resources.nspFree, resources.nspTotal);
  ASSERT_EQ(qaicsimSetFaults(""), QS_SUCCESS);
  EXPECT_EQ(qaicRunActivationCmd(rig.program, QAIC_PROGRAM_CMD_ACTIVATE_FULL), QS_SUCCESS);
}

TEST_F(Faults, ADeviceIsSlow) {
  Rig rig;
  Inference run(rig);
  ASSERT_EQ(qaicsimSetFaults("stall_us=20000"), QS_SUCCESS);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(run.enqueue_and_wait(), QS_SUCCESS);
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(20));
}

// A program that is as `properties` say, with an exec object.
struct Bound {
  Bound(Rig& rig, const QAicProgramProperties_t& properties) : rig(rig) {
    QAicProgramProperties_t own = properties;
    EXPECT_EQ(qaicCreateProgram(rig.context, &program, &own, 0, nullptr, rig.qpc), QS_SUCCESS);
    EXPECT_EQ(qaicCreateExecObj(rig.context, &exec, nullptr, program, nullptr, nullptr, nullptr),
              QS_SUCCESS);
    const QBuffer buffers[2] = {Inference::buffer_of(x), Inference::buffer_of(y)};
    EXPECT_EQ(qaicExecObjSetData(exec, 2, buffers), QS_SUCCESS);
  }
  Bound(const Bound&) = delete;
  ~Bound() {
    EXPECT_EQ(qaicReleaseExecObj(exec), QS_SUCCESS);
    EXPECT_EQ(qaicReleaseProgram(program), QS_SUCCESS);
  }
  QStatus run() {
    EXPECT_EQ(qaicEnqueueExecObj(rig.queue, exec, nullptr), QS_SUCCESS);
    return qaicExecObjWaitForCompletion(exec, 60000000);
  }
  Rig& rig;
  QAicProgram* program = nullptr;
  QAicExecObj* exec = nullptr;
  float x[kRow] = {};
  float y[kRow] = {};
};

TEST_F(Faults, ADeviceWithoutRoomIsTriedAsThePropertiesSay) {
  Rig rig;
  QAicProgramProperties_t properties;
  ASSERT_EQ(qaicProgramPropertiesInitDefault(&properties), QS_SUCCESS);
  properties.SubmitNumRetries = 3;
  properties.SubmitRetryTimeoutMs = 5;
  Bound bound(rig, properties);
  ASSERT_EQ(qaicsimSetFaults("submit=1"), QS_SUCCESS);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(bound.run(), QS_TIMEDOUT);
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(20));
  EXPECT_TRUE(rig.told.has_error("no room"));
  ASSERT_EQ(qaicsimSetFaults(""), QS_SUCCESS);
  EXPECT_EQ(bound.run(), QS_SUCCESS);
}

TEST_F(Faults, ARunThatTakesTooLongTimesOut) {
  configure({{"QAICKIT_SIM_LATENCY_US", "30000000"}});
  Rig rig;
  QAicProgramProperties_t properties;
  ASSERT_EQ(qaicProgramPropertiesInitDefault(&properties), QS_SUCCESS);
  properties.dataPathTimeoutMs = 10;
  Bound bound(rig, properties);
  EXPECT_EQ(bound.run(), QS_TIMEDOUT);
  EXPECT_TRUE(rig.told.has_error("dataPathTimeoutMs"));
}

TEST_F(Faults, TheSameSeedBringsTheSameFaults) {
  const auto outcomes = [](const char* spec) {
    Rig rig;
    Inference run(rig);
    EXPECT_EQ(qaicsimSetFaults(spec), QS_SUCCESS);
    std::vector<QStatus> all;
    for (int i = 0; i < 200; ++i) all.push_back(run.enqueue_and_wait());
    EXPECT_EQ(qaicsimSetFaults(""), QS_SUCCESS);
    return all;
  };
  const auto first = outcomes("seed=3,enqueue=0.2,error=0.2");
  EXPECT_EQ(first, outcomes("seed=3,enqueue=0.2,error=0.2"));
  EXPECT_NE(first, outcomes("seed=4,enqueue=0.2,error=0.2"));
  const auto refused = std::ranges::count(first, QS_AGAIN);
  EXPECT_GT(refused, 15);
  EXPECT_LT(refused, 70);
}

}  // namespace
}  // namespace qaickit::test
