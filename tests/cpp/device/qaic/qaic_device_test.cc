#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <numeric>
#include <thread>

#include "base/clock.h"
#include "qaickit/qaic.h"
#include "sim.h"
#include "support/answer_log.h"
#include "support/completions.h"
#include "support/environment.h"
#include "support/programs.h"
#include "support/result.h"
#include "support/sessions.h"

namespace qaickit {
namespace {

using test::AnswerLog;
using test::AwaitCompletion;
using test::echo_program;
using test::Environment;
using test::is_error;
using test::is_ok;
using test::make_qpc;
using test::run_once;
using test::samples_from;
using test::Sim;
using test::timed_policy;
using test::value_of;

SessionOptions options_of(std::vector<int> ids = {}, uint32_t activations = 1,
                          uint32_t set_size = 4) {
  return test::session_options("qaic", std::move(ids), activations, set_size);
}

std::unique_ptr<Session> open(const SessionOptions& options, int32_t batch = 1) {
  return value_of(Session::open(make_qpc(echo_program(batch)), options));
}

TEST(QaicDevice, SimulatedCardsSaySoAndAreNoDefault) {
  const Sim sim{{"DEVICES", "2"}};
  const Backend& backend = *value_of(find_backend("qaic"));
  const auto devices = value_of(backend.enumerate());
  ASSERT_EQ(devices.size(), 2u);
  for (const DeviceInfo& info : devices) {
    EXPECT_TRUE(info.simulated);
    EXPECT_NE(info.name.find("simulated"), std::string::npos) << info.name;
    EXPECT_EQ(value_of(backend.create(info.id))->info().name, info.name);
  }
  const auto chosen = default_backend();
  if (chosen.ok()) {
    EXPECT_NE(chosen.value()->name, "qaic");
  } else {
    EXPECT_TRUE(is_error(chosen.status(), Code::kUnavailable, "simulated"));
  }
  std::string text;
  for (const auto& [name, value] : backend.details()) text += name + ": " + value + "\n";
  for (const char* part :
       {"library: " QAIC_SIM_LIBRARY, "simulated", "device 1: Ready, 16 of 16"}) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  }
}

TEST(QaicDevice, UnknownDeviceListsTheKnown) {
  const Sim sim{{"DEVICES", "2"}};
  EXPECT_TRUE(is_error(Session::open(make_qpc(echo_program()), options_of({5})).status(),
                       Code::kNotFound, "5", "0, 1"));
  EXPECT_TRUE(is_error(qaic_device(5).status(), Code::kNotFound));
  EXPECT_EQ(value_of(qaic_device_ids()), (std::vector<int32_t>{0, 1}));
  const QaicDevice device = value_of(qaic_device(1));
  EXPECT_EQ(device.status, QaicDeviceStatus::kReady);
  EXPECT_EQ(device.resources.nsp_total, 16u);
  EXPECT_TRUE(value_of(qaic_library()).simulated);
}

// With the vendor's status codes, as numbers: the header is not the vendor's.
TEST(QaicUtil, AnswersWithTheVendorsStatuses) {
  Sim sim{{"DEVICES", "2"}, {"NSPS", "16,14"}};
  const QaicUtil util = value_of(QaicUtil::open());
  EXPECT_EQ(util.check_library_version(), QS_SUCCESS);
  EXPECT_TRUE(util.library().simulated);
  std::vector<int32_t> ids;
  EXPECT_EQ(util.device_ids(&ids), QS_SUCCESS);
  EXPECT_EQ(ids, (std::vector<int32_t>{0, 1}));
  QaicDevice device;
  EXPECT_EQ(util.device(1, &device), QS_SUCCESS);
  EXPECT_EQ(device.board_serial, "SIMBOARD1");
  ASSERT_TRUE(device.telemetry);
  const uint32_t idle_watts = device.telemetry->board_watts;
  QaicResources resources;
  EXPECT_EQ(util.resources(1, &resources), QS_SUCCESS);
  EXPECT_EQ(resources.nsp_total, 14u);
  QaicPerformance performance;
  EXPECT_EQ(util.performance(1, &performance), QS_SUCCESS);
  EXPECT_GT(performance.nsp_hz, 0u);
  EXPECT_EQ(util.device(2, &device), QS_NODEV);
  EXPECT_EQ(util.resources(2, &resources), QS_NODEV);
  EXPECT_EQ(util.performance(2, &performance), QS_NODEV);
  EXPECT_EQ(device.id, 1) << "untouched";
  {
    const auto session = open(options_of({1}, 2));
    EXPECT_EQ(util.resources(1, &resources), QS_SUCCESS);
    EXPECT_EQ(resources.nsp_free, 12u);
    EXPECT_EQ(util.device(1, &device), QS_SUCCESS);
    EXPECT_GT(device.telemetry->board_watts, idle_watts);
    EXPECT_TRUE(is_ok(qaic_reset_device(1)));
    EXPECT_TRUE(is_error(run_once(*session), Code::kDeviceError, "qaic:1"));
  }
  EXPECT_TRUE(is_error(qaic_reset_device(9), Code::kNotFound, "9"));
}

TEST(QaicUtil, LocksWhereThatIsAskedFor) {
  // The locks are the machine's: another run of this test has another device.
  Sim sim{{"DEVICES", "64"}};
  const int32_t id = getpid() % 64;
  const std::string path = "/tmp/qaickit-device-" + std::to_string(id) + ".lock";
  const QaicUtil util = value_of(QaicUtil::open());
  {
    const Environment off("QAIC_SERIALIZE_DEVICE", nullptr);
    EXPECT_EQ(util.lock_device(id, true, false), QS_UNSUPPORTED);
  }
  const Environment on("QAIC_SERIALIZE_DEVICE", "1");
  EXPECT_EQ(util.lock_device(64, true, false), QS_NODEV);
  EXPECT_EQ(util.lock_device(id, false, false), QS_INVAL);
  EXPECT_EQ(util.lock_device(id, true, true), QS_SUCCESS);
  EXPECT_EQ(util.lock_device(id, true, false), QS_SUCCESS) << "it has it";
  // Another process has not.
  const pid_t child = fork();
  if (child == 0) {
    const int file = ::open(path.c_str(), O_RDONLY);
    _exit(file >= 0 && flock(file, LOCK_EX | LOCK_NB) != 0 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(util.lock_device(id, false, false), QS_SUCCESS);
  const int file = ::open(path.c_str(), O_RDONLY);
  ASSERT_GE(file, 0);
  ASSERT_EQ(flock(file, LOCK_EX | LOCK_NB), 0);
  EXPECT_EQ(util.lock_device(id, true, false), QS_BUSY);
  close(file);
}

TEST(QaicDevice, RunsAndGivesEverythingBack) {
  Sim sim;
  {
    const auto session = open(options_of());
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(is_ok(run_once(*session, i)));
    EXPECT_TRUE(session->devices()[0].simulated);
    EXPECT_GT(sim.live_objects(), 0u);
  }
  EXPECT_EQ(sim.live_objects(), 0u);
}

TEST(QaicDevice, BuffersAreBoundWithoutACopy) {
  const Sim sim;
  const auto device = value_of(value_of(find_backend("qaic"))->create(0));
  const auto program = value_of(device->load(make_qpc(echo_program()), {}));
  const auto activation = value_of(program->activate());
  const auto exec = value_of(activation->create_exec_obj());
  ASSERT_TRUE(program->async());
  EXPECT_TRUE(is_error(exec->run(), Code::kUnsupported));
  int64_t in[4] = {1, 2, 3, 4};
  int64_t out[4] = {};
  ASSERT_TRUE(is_ok(exec->bind_input(0, in)));
  ASSERT_TRUE(is_ok(exec->bind_output(0, out)));
  EXPECT_EQ(static_cast<void*>(exec->input(0).data()), in);
  AwaitCompletion done;
  ASSERT_TRUE(is_ok(exec->enqueue(done)));
  EXPECT_TRUE(is_ok(done.wait()));
  EXPECT_EQ(out[3], 4);
  in[3] = 9;  // what is bound counts at each run
  ASSERT_TRUE(is_ok(exec->enqueue(done)));
  EXPECT_TRUE(is_ok(done.wait(2)));
  EXPECT_EQ(out[3], 9);
  ASSERT_TRUE(is_ok(exec->bind_output(0, nullptr)));
  ASSERT_TRUE(is_ok(exec->enqueue(done)));
  EXPECT_TRUE(is_ok(done.wait(3)));
  EXPECT_EQ(std::memcmp(exec->output(0).data(), in, sizeof in), 0);
}

TEST(QaicDevice, SettingsAreReadAndChecked) {
  const Sim sim;
  SessionOptions options = options_of();
  options.device_settings = {{"threads_per_queue", "1"},
                             {"submit_num_retries", "2"},
                             {"submit_retry_timeout_ms", "900000"}};
  EXPECT_TRUE(is_ok(run_once(*open(options))));
  options.device_settings = {{"queue_threads", "1"}};
  EXPECT_TRUE(is_error(Session::open(make_qpc(echo_program()), options).status(),
                       Code::kInvalidArgument, "queue_threads", "threads_per_queue", "skip_stage"));
  options.device_settings = {{"threads_per_queue", "0"}};
  EXPECT_TRUE(is_error(Session::open(make_qpc(echo_program()), options).status(),
                       Code::kInvalidArgument, "threads_per_queue", "'0'"));
  options.device_settings = {{"skip_stage", "nonesuch"}};
  EXPECT_TRUE(is_error(Session::open(make_qpc(echo_program()), options).status(),
                       Code::kInvalidArgument, "nonesuch", "default"));
}

TEST(QaicDevice, MoreActivationsThanNspsAreRefused) {
  Sim sim{{"NSPS", "4"}};
  EXPECT_TRUE(is_error(Session::open(make_qpc(echo_program()), options_of({}, 5)).status(),
                       Code::kResourceExhausted, "qaic:0", "QS_NOSPC"));
  EXPECT_EQ(sim.live_objects(), 0u);
  EXPECT_TRUE(is_ok(run_once(*open(options_of({}, 4)))));
}

SessionOptions mapped(const char* mapping, std::vector<int> ids = {0}) {
  SessionOptions options = options_of(std::move(ids));
  options.device_settings = {{"dev_mapping", mapping}};
  return options;
}

Status open_mapped(const char* mapping, uint32_t cores = 4, std::vector<int> ids = {0}) {
  ProgramSpec program = echo_program();
  program.num_cores = cores;
  return Session::open(make_qpc(program), mapped(mapping, std::move(ids))).status();
}

uint32_t free_nsps(int32_t id) { return value_of(qaic_device(id)).resources.nsp_free; }

TEST(QaicMapping, AProgramTakesItsNspsOnEachCard) {
  Sim sim{{"DEVICES", "3"}};
  {
    const auto session = open(mapped("2:0", {2}));
    EXPECT_TRUE(is_ok(run_once(*session)));
    EXPECT_EQ(free_nsps(0), 15u);
    EXPECT_EQ(free_nsps(1), 16u);
    EXPECT_EQ(free_nsps(2), 15u);
    ASSERT_EQ(session->devices().size(), 1u);
    EXPECT_EQ(session->devices()[0].id, 2);
    EXPECT_NE(session->devices()[0].name.find("qaic:2:0"), std::string::npos);
  }
  EXPECT_EQ(free_nsps(0), 16u);
  EXPECT_EQ(sim.live_objects(), 0u);
}

TEST(QaicMapping, WhatCannotBeNamesTheCard) {
  Sim sim{{"DEVICES", "3"}, {"NSPS", "16,4,16"}};
  EXPECT_TRUE(is_error(open_mapped("0:7"), Code::kNotFound, "device 7", "0, 1, 2"));
  EXPECT_TRUE(is_error(open_mapped("0:1", 8), Code::kResourceExhausted, "QS_NOSPC",
                       "qaic:1 has 4 NSPs free of 8"));
  EXPECT_TRUE(is_error(open_mapped("0:1", 4, {2}), Code::kInvalidArgument, "'0:1'", "qaic:2"));
  EXPECT_TRUE(is_error(open_mapped("0:0"), Code::kInvalidArgument, "devMapping '0:0'"));
  EXPECT_EQ(free_nsps(0), 16u) << "the first card's go back where the second has none";
  sim.faults("die=1,device=2");
  EXPECT_FALSE(run_once(*open(options_of({2}))).ok());
  sim.faults("");
  EXPECT_TRUE(is_error(open_mapped("0:2"), Code::kUnavailable, "qaic:2", "not ready"));
  EXPECT_TRUE(is_ok(open_mapped("0:1")));
}

TEST(QaicMapping, ACardThatDiesEndsItsRunsByName) {
  Sim sim{{"DEVICES", "2"}};
  const auto session = open(mapped("0:1"));
  EXPECT_TRUE(is_ok(run_once(*session)));
  sim.faults("die=1,device=1");
  EXPECT_TRUE(is_error(run_once(*session), Code::kDeviceError, "qaic:1: "));
  EXPECT_TRUE(is_error(run_once(*session), Code::kDeviceError, "qaic:1: "));
  sim.faults("");
  sim.reset(1);
  EXPECT_TRUE(is_ok(run_once(*open(mapped("0:1")))));
}

// The simulated card echoes input 0 to output 0, unless either is skipped.
TEST(QaicRetained, WhatIsSkippedIsNotTransferred) {
  const Sim sim;
  ProgramSpec spec = echo_program();
  spec.inputs[0].name = "s";
  spec.outputs[0].name = "s_RetainedState";
  const auto device = value_of(value_of(find_backend("qaic"))->create(0));
  const auto program = value_of(device->load(make_qpc(spec), {}));
  EXPECT_TRUE(program->keeps_state());
  EXPECT_FALSE(value_of(device->load(make_qpc(echo_program()), {}))->keeps_state());
  const auto exec = value_of(value_of(program->activate())->create_exec_obj());
  int64_t in[4] = {1, 2, 3, 4};
  int64_t out[4] = {-1, -1, -1, -1};
  ASSERT_TRUE(is_ok(exec->bind_input(0, in)));
  ASSERT_TRUE(is_ok(exec->bind_output(0, out)));
  AwaitCompletion done;
  ASSERT_TRUE(is_ok(exec->skip(0)));
  ASSERT_TRUE(is_ok(exec->skip(1)));
  EXPECT_TRUE(is_error(exec->skip(2), Code::kUnsupported));
  ASSERT_TRUE(is_ok(exec->enqueue(done)));
  EXPECT_TRUE(is_ok(done.wait()));
  EXPECT_EQ(out[3], -1);
  ASSERT_TRUE(is_ok(exec->bind_input(0, in)));  // the same memory, but bound again
  ASSERT_TRUE(is_ok(exec->bind_output(0, out)));
  ASSERT_TRUE(is_ok(exec->enqueue(done)));
  EXPECT_TRUE(is_ok(done.wait(2)));
  EXPECT_EQ(out[3], 4);
}

TEST(QaicFaults, ThatSetUpNameTheDeviceAndTheCall) {
  Sim sim{{"DEVICES", "2"}};
  for (const auto& [plan, call] : {std::pair("load=1,device=1", "qaicLoadProgram"),
                                   std::pair("activation=1,device=1", "qaicRunActivationCmd")}) {
    sim.faults(plan);
    EXPECT_TRUE(is_error(Session::open(make_qpc(echo_program()), options_of({0, 1})).status(),
                         Code::kDeviceError, "qaic:1", call));
    EXPECT_EQ(sim.live_objects(), 0u);
  }
  sim.faults("");
  EXPECT_TRUE(is_ok(run_once(*open(options_of({0, 1})))));
}

TEST(QaicFaults, OfRunsNameTheDeviceAndTheCause) {
  Sim sim;
  const auto session = open(options_of());
  sim.faults("enqueue=1");
  EXPECT_TRUE(is_error(run_once(*session), Code::kResourceExhausted, "qaic:0", "QS_AGAIN"));
  sim.faults("error=1");
  EXPECT_TRUE(is_error(run_once(*session), Code::kDeviceError, "qaic:0", "QS_ERROR"));
  sim.faults("");
  EXPECT_TRUE(is_ok(run_once(*session)));
}

TEST(QaicFaults, AnEnqueueIsTriedAgain) {
  Sim sim;
  SessionOptions options = options_of();
  options.device_settings = {{"submit_num_retries", "30"}};
  const auto session = open(options);
  sim.faults("enqueue=0.5");
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(is_ok(run_once(*session, i)));
  EXPECT_GT(sim.counters(0).refused, 10u);
  const uint64_t before = sim.counters(0).refused;
  sim.faults("enqueue=1");
  EXPECT_TRUE(is_error(run_once(*session), Code::kResourceExhausted, "qaic:0", "QS_AGAIN"));
  EXPECT_EQ(sim.counters(0).refused, before + 31);
}

TEST(QaicFaults, TheTimeOutBoundsTheTries) {
  Sim sim;
  SessionOptions options = options_of();
  options.device_settings = {{"submit_num_retries", "1000000"}, {"submit_retry_timeout_ms", "20"}};
  const auto session = open(options);
  sim.faults("enqueue=1");
  const uint64_t start = now_ns();
  EXPECT_TRUE(is_error(run_once(*session), Code::kResourceExhausted, "QS_AGAIN"));
  EXPECT_GE(now_ns() - start, 20'000'000u);
}

// The library's own tries, of runs that are in its queue.
TEST(QaicFaults, ADeviceWithoutRoomTimesOut) {
  Sim sim;
  SessionOptions options = options_of();
  options.device_settings = {{"submit_num_retries", "2"}, {"submit_retry_timeout_ms", "10"}};
  const auto session = open(options);
  sim.faults("submit=1");
  const uint64_t start = now_ns();
  EXPECT_TRUE(is_error(run_once(*session), Code::kTimedOut, "qaic:0", "QS_TIMEDOUT"));
  EXPECT_GE(now_ns() - start, 30'000'000u);
  sim.faults("submit=0.3");
  int good = 0;
  for (int i = 0; i < 40; ++i) good += run_once(*session).ok() ? 1 : 0;
  EXPECT_GT(good, 30);  // all three tries fail of one in 37
}

// As often as one likes: a completion that never comes costs its samples, not the ExecObj.
TEST(QaicFaults, LostCompletionsTimeOutAndTheExecObjsGoOn) {
  Sim sim;
  constexpr size_t kSamples = 40;
  AnswerLog log(2 * kSamples);
  {
    const auto session = open(options_of({}, 2, 3));
    ASSERT_TRUE(is_ok(session->start(log, timed_policy(20))));
    sim.faults("lost=1");
    ASSERT_TRUE(is_ok(session->submit(samples_from(0, kSamples))));
    log.wait_answered(kSamples);
    EXPECT_TRUE(is_ok(session->stop()));
    sim.faults("");
    // With the time that a busy machine may take.
    ASSERT_TRUE(is_ok(session->start(log, timed_policy())));
    ASSERT_TRUE(is_ok(session->submit(samples_from(kSamples, kSamples))));
    log.wait_all();
    EXPECT_TRUE(is_ok(session->stop()));
    EXPECT_EQ(session->stats().lost_activations, 0u);
    EXPECT_TRUE(is_ok(session->close()));
  }
  EXPECT_TRUE(log.each_once());
  EXPECT_EQ(log.codes(),
            (std::map<Code, size_t>{{Code::kOk, kSamples}, {Code::kTimedOut, kSamples}}));
  EXPECT_EQ(sim.live_objects(), 0u);
}

TEST(QaicFaults, CloseWithLostCompletionsReturnsInBoundedTime) {
  Sim sim;
  AnswerLog log(8);
  {
    const auto session = open(options_of());
    BatchPolicy policy = timed_policy();
    policy.close_timeout_ns = 50'000'000;
    ASSERT_TRUE(is_ok(session->start(log, policy)));
    sim.faults("lost=1");
    ASSERT_TRUE(is_ok(session->submit(samples_from(0, 8))));
    while (sim.counters(0).lost < 4) std::this_thread::yield();
    const uint64_t start = now_ns();
    (void)session->close();
    EXPECT_LT(now_ns() - start, test::kRunTimeoutNs / 2) << "waited for the runs' own time-out";
  }
  EXPECT_TRUE(log.each_once());
  // Four were in flight and the caller asked for their end; the others never ran.
  EXPECT_EQ(log.codes(), (std::map<Code, size_t>{{Code::kCancelled, 4}, {Code::kClosed, 4}}));
  EXPECT_EQ(sim.live_objects(), 0u);
}

TEST(QaicFaults, AfterAResetTheSessionIsSetUpAgain) {
  Sim sim;
  AnswerLog log(400);
  {
    const auto session = open(options_of({}, 2));
    ASSERT_TRUE(is_ok(session->start(log, timed_policy())));
    ASSERT_TRUE(is_ok(session->submit(samples_from(0, 20))));
    log.wait_answered(20);
    sim.faults("lost=1");  // so that it comes while all ExecObjs are in flight
    ASSERT_TRUE(is_ok(session->submit(samples_from(20, 380))));
    while (sim.counters(0).lost < 8) std::this_thread::yield();
    sim.reset(0);
    log.wait_all();
    sim.faults("");
    EXPECT_EQ(session->stats().lost_activations, 2u);
    EXPECT_TRUE(is_error(run_once(*session), Code::kDeviceError, "qaic:0"));
  }
  EXPECT_TRUE(log.each_once());
  EXPECT_EQ(log.codes(), (std::map<Code, size_t>{{Code::kOk, 20}, {Code::kDeviceError, 380}}));
  EXPECT_EQ(sim.live_objects(), 0u);
  EXPECT_TRUE(is_ok(run_once(*open(options_of({}, 2)))));
}

// Also without anybody's help: a context that is opened anew brings the card back.
TEST(QaicFaults, AfterAResetOfItsOwnToo) {
  Sim sim;
  {
    const auto session = open(options_of());
    sim.faults("reset=1");
    EXPECT_FALSE(run_once(*session).ok());
    sim.faults("");
  }
  EXPECT_TRUE(is_ok(run_once(*open(options_of()))));
}

TEST(QaicSession, TwoDevicesShareTheWork) {
  Sim sim{{"DEVICES", "2"}, {"LATENCY_US", "100"}};
  constexpr size_t kSamples = 200'000;
  AnswerLog log(kSamples, 4);
  const auto session = open(options_of({0, 1}, 2), 4);
  ASSERT_TRUE(is_ok(session->start(log, timed_policy())));
  size_t sent = 0;
  const auto both = [&] { return std::min(sim.counters(0).completed, sim.counters(1).completed); };
  // How soon the threads of each get their share of the CPU is not ours to say.
  while (sent < kSamples && both() < 100) {
    ASSERT_TRUE(is_ok(session->submit(samples_from(sent, 2000))));
    log.wait_answered(sent += 2000);
  }
  EXPECT_TRUE(is_ok(session->stop()));
  EXPECT_GE(both(), 100u);
  EXPECT_TRUE(log.each_once([&](uint64_t id) { return id < sent; }));
  EXPECT_EQ(log.codes(), (std::map<Code, size_t>{{Code::kOk, sent}}));
}

TEST(QaicSession, ADyingDeviceLeavesTheOthersToGoOn) {
  Sim sim{{"DEVICES", "4"}, {"LATENCY_US", "500"}};
  constexpr size_t kSamples = 200'000;
  AnswerLog log(kSamples);
  const auto session = open(options_of({0, 1, 2, 3}, 2));
  ASSERT_TRUE(is_ok(session->start(log, timed_policy())));
  sim.faults("die_after=100,device=2");
  size_t sent = 0;
  while (sent < kSamples && session->stats().lost_activations < 2) {
    ASSERT_TRUE(is_ok(session->submit(samples_from(sent, 2000))));
    log.wait_answered(sent += 2000);
  }
  EXPECT_EQ(session->stats().lost_activations, 2u);
  EXPECT_TRUE(is_ok(run_once(*session)));  // on another
  EXPECT_TRUE(is_ok(session->stop()));
  EXPECT_TRUE(log.each_once([&](uint64_t id) { return id < sent; }));
  // What was in flight there, and some that it refused before it was found out.
  EXPECT_LT(log.codes()[Code::kDeviceError], 100u);
  EXPECT_EQ(log.codes()[Code::kOk] + log.codes()[Code::kDeviceError], sent);
}

TEST(QaicSession, WhenEveryDeviceIsGoneTheRestIsAnsweredWithIt) {
  Sim sim{{"DEVICES", "2"}};
  constexpr size_t kSamples = 20000;
  AnswerLog log(kSamples);
  const auto session = open(options_of({0, 1}, 2));
  ASSERT_TRUE(is_ok(session->start(log, timed_policy())));
  sim.faults("die_after=100");
  ASSERT_TRUE(is_ok(session->submit(samples_from(0, kSamples))));
  log.wait_all();
  EXPECT_TRUE(is_ok(session->stop()));
  EXPECT_TRUE(log.each_once());
  EXPECT_EQ(session->stats().lost_activations, 4u);
}

TEST(QaicSession, CloseDuringLoad) {
  Sim sim{{"DEVICES", "2"}, {"LATENCY_US", "50"}, {"JITTER_US", "50"}};
  for (size_t round = 0; round < 10; ++round) {
    test::close_during_load(open(options_of({0, 1}, 2)), 1000, round * 20);
    EXPECT_EQ(sim.live_objects(), 0u);
  }
}

uint64_t resident_pages() {
  uint64_t size = 0;
  uint64_t resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return resident;
}

// 100,000 queries, every fault at 1%; the session is set up again when all its devices are gone.
TEST(QaicStress, StormLosesNothing) {
  Sim sim{{"DEVICES", "4"}, {"LATENCY_US", "20"}, {"JITTER_US", "20"}};
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)  // some ten times slower
  constexpr size_t kQueries = 20'000;
#else
  constexpr size_t kQueries = 100'000;
#endif
  constexpr size_t kRound = 100;
  AnswerLog log(kQueries);
  size_t sessions = 0;
  size_t deaths = 0;
  SessionOptions options = options_of({0, 1, 2, 3}, 4, 4);
  options.device_settings = {{"submit_retry_timeout_ms", "1"}};
  std::atomic<size_t> nameless{0};
  log.on_fail = [&](std::span<const Sample>, const Status& why) {
    if (why.message().find("qaic:") == std::string_view::npos) nameless.fetch_add(1);
  };
  std::array<std::vector<uint64_t>, 4> resident;  // of each quarter
  std::unique_ptr<Session> session;
  for (size_t first = 0; first < kQueries; first += kRound) {
    if (session && session->stats().lost_activations == 16) session.reset();
    while (!session) {
      ++sessions;
      auto opened = Session::open(make_qpc(echo_program()), options);
      if (opened.ok()) {
        session = std::move(opened).value();
        ASSERT_TRUE(is_ok(session->start(log, timed_policy(20))));
      } else {
        ASSERT_NE(opened.status().message().find("qaic:"), std::string_view::npos)
            << opened.status().to_string();
        if (opened.status().code() == Code::kUnavailable) {  // dead: until somebody resets it
          for (const QID id : {0, 1, 2, 3}) sim.reset(id);
          ++deaths;
        }
      }
    }
    // Now and then one dies for good, or is slow.
    const size_t round = first / kRound;
    sim.faults(std::string("enqueue=0.01,submit=0.01,error=0.01,lost=0.01,reset=0.01,load=0.01,") +
               "activation=0.01" + (round % 20 == 19 ? ",die=0.01" : "") +
               (round % 20 == 7 ? ",slow=5,stall_us=100" : "") +
               ",seed=" + std::to_string(first + 1));
    for (size_t i = 0; i < kRound; ++i) {
      ASSERT_TRUE(is_ok(session->submit(samples_from(first + i, 1))));
    }
    log.wait_answered(first + kRound);
    resident[first * 4 / kQueries].push_back(resident_pages());
  }
  session.reset();
  EXPECT_TRUE(log.each_once());
  EXPECT_EQ(sim.live_objects(), 0u);
  EXPECT_EQ(nameless.load(), 0u);
  // Good runs time out too where the machine has no time for them.
  const auto codes = log.codes();
  EXPECT_GT(codes.at(Code::kOk), 0u);
  EXPECT_GT(codes.at(Code::kOk) + codes.at(Code::kTimedOut), kQueries / 2);
  EXPECT_GT(deaths, 0u);
  RecordProperty("sessions", static_cast<int>(sessions));
  for (const auto& [code, count] : log.codes()) {
    RecordProperty(std::string(code_name(code)), static_cast<int>(count));
  }
  const uint64_t second = std::accumulate(resident[1].begin(), resident[1].end(), uint64_t{0});
  const uint64_t last = std::accumulate(resident[3].begin(), resident[3].end(), uint64_t{0});
  RecordProperty("memory_percent", static_cast<int>(last * 100 / second));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they keep what is freed
  EXPECT_LE(last * 100, second * 105);
#endif
}

}  // namespace
}  // namespace qaickit
