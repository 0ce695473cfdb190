#include <gtest/gtest.h>

#include <cstring>
#include <thread>

#include "base/clock.h"
#include "device/null/null_backend.h"
#include "support/completions.h"
#include "support/programs.h"

namespace qaickit {
namespace {

using test::AwaitCompletion;
using test::echo_program;
using test::is_error;
using test::is_ok;
using test::make_qpc;
using test::value_of;

struct Loaded {
  std::shared_ptr<Program> program;
  std::unique_ptr<Activation> activation;
  std::unique_ptr<ExecObj> exec;
};

Result<std::shared_ptr<Program>> load(const DeviceSettings& settings) {
  ProgramOptions options;
  options.settings = settings;
  return value_of(create_null(0))->load(make_qpc(echo_program()), options);
}

Loaded make(const DeviceSettings& settings) {
  Loaded loaded{value_of(load(settings)), nullptr, nullptr};
  loaded.activation = value_of(loaded.program->activate());
  loaded.exec = value_of(loaded.activation->create_exec_obj());
  return loaded;
}

TEST(NullDevice, LatencyIsTheTimeOfARun) {
  const Loaded null = make({{"latency_us", "3000"}});
  const uint64_t start = now_ns();
  EXPECT_TRUE(is_ok(null.exec->run()));
  EXPECT_GE(now_ns() - start, 3'000'000u);
}

TEST(NullDevice, FaultRate) {
  EXPECT_TRUE(is_error(make({{"fault_rate", "1"}}).exec->run(), Code::kDeviceError, "injected"));
  const Loaded half = make({{"fault_rate", "0.5"}, {"seed", "3"}});
  const Loaded same = make({{"fault_rate", "0.5"}, {"seed", "3"}});
  int faults = 0;
  for (int i = 0; i < 200; ++i) {
    const Code code = half.exec->run().code();
    EXPECT_EQ(same.exec->run().code(), code);  // a seed makes them repeatable
    faults += code == Code::kDeviceError;
  }
  EXPECT_GT(faults, 50);
  EXPECT_LT(faults, 150);
}

TEST(NullDevice, RefusedEnqueueCompletesNothing) {
  const Loaded null = make({{"async", "1"}, {"refuse_rate", "1"}});
  AwaitCompletion done;
  EXPECT_TRUE(is_error(null.exec->enqueue(done), Code::kResourceExhausted, "refused"));
  EXPECT_EQ(done.calls(), 0u);
}

TEST(NullDevice, FaultOfAnAsynchronousRunComesWithTheCompletion) {
  const Loaded null = make({{"async", "1"}, {"fault_rate", "1"}});
  AwaitCompletion done;
  EXPECT_TRUE(is_ok(null.exec->enqueue(done)));
  EXPECT_TRUE(is_error(done.wait(), Code::kDeviceError, "injected"));
}

TEST(NullDevice, MaxActivationsIsACapacity) {
  const auto program = value_of(load({{"max_activations", "2"}}));
  auto first = value_of(program->activate());
  const auto second = value_of(program->activate());
  EXPECT_TRUE(
      is_error(program->activate().status(), Code::kResourceExhausted, "all 2 activations"));
  first.reset();
  EXPECT_TRUE(is_ok(program->activate().status()));
}

TEST(NullDevice, CancelEndsARun) {
  const Loaded null = make({{"latency_us", "1e9"}});
  Status status;
  std::thread runner([&] { status = null.exec->run(); });
  // May come before the run has begun, and then does nothing: ask until it ends.
  std::atomic<bool> ended{false};
  std::thread canceller([&] {
    while (!ended.load()) {
      null.exec->cancel();
      std::this_thread::yield();
    }
  });
  runner.join();
  ended = true;
  canceller.join();
  EXPECT_TRUE(is_error(status, Code::kCancelled));
}

TEST(NullDevice, CancelOfNoRunDoesNotReachTheNext) {
  const Loaded null = make({{"latency_us", "1000"}});
  null.exec->cancel();
  EXPECT_TRUE(is_ok(null.exec->run()));
}

TEST(NullDevice, CancelEndsAnAsynchronousRun) {
  const Loaded null = make({{"async", "1"}, {"latency_us", "1e9"}});
  AwaitCompletion done;
  EXPECT_TRUE(is_ok(null.exec->enqueue(done)));
  null.exec->cancel();
  EXPECT_TRUE(is_ok(done.wait()));
}

TEST(NullDevice, AsynchronousRunsEndInAnyOrder) {
  const Loaded null = make({{"async", "1"}, {"latency_us", "2000"}});
  std::vector<std::unique_ptr<ExecObj>> execs;
  std::vector<AwaitCompletion> done(8);
  for (AwaitCompletion& d : done) {
    execs.push_back(value_of(null.activation->create_exec_obj()));
    EXPECT_TRUE(is_ok(execs.back()->enqueue(d)));
  }
  for (AwaitCompletion& d : done) EXPECT_TRUE(is_ok(d.wait()));
}

class NullSettings : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(NullSettings, AreChecked) {
  const auto& [name, value] = GetParam();
  EXPECT_TRUE(is_error(load({{name, value}}).status(), Code::kInvalidArgument, name));
}

INSTANTIATE_TEST_SUITE_P(All, NullSettings,
                         ::testing::Values(std::pair("latency", "5"), std::pair("latency_us", "-1"),
                                           std::pair("fault_rate", "1.5"),
                                           std::pair("max_activations", "0"),
                                           std::pair("async", "yes")));

}  // namespace
}  // namespace qaickit
