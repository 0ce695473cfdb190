// Stopping: under load, with runs in the device, with a device that is stuck.

#include <gtest/gtest.h>

#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "support/answer_log.h"
#include "support/pools.h"

namespace qaickit {
namespace {

using namespace std::chrono_literals;
using test::AnswerLog;
using test::echo_program;
using test::fake_slots;
using test::FakeExecObj;
using test::Gate;
using test::is_error;
using test::is_ok;
using test::kAsync;
using test::kSync;
using test::policy_of;
using test::samples_from;
using test::start_pool;

constexpr uint64_t kLong = 3'600'000'000'000;

BatchPolicy stopping_policy(uint32_t max_batch, uint64_t close_timeout_ns,
                            CallerRuns caller_runs = CallerRuns::kNever) {
  BatchPolicy policy = policy_of(max_batch, caller_runs);
  policy.close_timeout_ns = close_timeout_ns;
  policy.queue_capacity = 4;
  return policy;
}

// Every thread that was in the device has come out of it.
void wait_all_free(const SlotTable& slots) {
  while (!slots.all_free()) std::this_thread::yield();
}

// Stops a pool whose runs end when they are cancelled. On a machine that gives their threads no
// time to say so, they are given up first.
void stop_cancelling(Pool& pool, const SlotTable& slots) {
  const Status stopped = pool.stop();
  EXPECT_TRUE(stopped.ok() || is_error(stopped, Code::kTimedOut)) << stopped.to_string();
  wait_all_free(slots);
}

// Runs that last until the test lets them, and do not hear a cancel.
struct StuckDevice {
  Gate begun;
  Gate gate;
  std::atomic<int> running{0};

  FakeExecObj::Behaviour behaviour() {
    FakeExecObj::Behaviour behaviour;
    behaviour.run = [this](FakeExecObj& exec) {
      running.fetch_add(1);
      begun.open();
      gate.wait();
      return exec.echo();
    };
    return behaviour;
  }
};

// Runs that last until they are cancelled.
struct CancellableDevice : StuckDevice {
  FakeExecObj::Behaviour behaviour() {
    auto behaviour = StuckDevice::behaviour();
    behaviour.run = [this](FakeExecObj&) {
      begun.open();
      gate.wait();
      return Status(Code::kCancelled, "as asked");
    };
    behaviour.cancel = [this](FakeExecObj&) { gate.open(); };
    return behaviour;
  }
};

TEST(PoolStop, OfAnIdlePool) {
  AnswerLog log(1);
  const auto pool = start_pool(fake_slots(echo_program(), 2, 1), kSync, log, policy_of(1));
  EXPECT_TRUE(is_ok(pool->stop()));
  EXPECT_TRUE(is_ok(pool->stop()));
  EXPECT_TRUE(is_error(pool->submit(samples_from(0, 1)), Code::kClosed));
  EXPECT_EQ(log.answered(), 0u);
}

TEST(PoolStop, LetsARunEnd) {
  StuckDevice device;
  AnswerLog log(3);
  const auto pool = start_pool(fake_slots(echo_program(), 1, 1, device.behaviour()), kSync, log,
                               stopping_policy(1, kLong));
  ASSERT_TRUE(is_ok(pool->submit(samples_from(0, 3))));
  device.begun.wait();
  auto stopped = std::async(std::launch::async, [&] { return pool->stop(); });
  log.wait_answered(2);  // what waited is answered while the run goes on
  device.gate.open();
  EXPECT_TRUE(is_ok(stopped.get()));
  EXPECT_TRUE(log.each_once());
  EXPECT_TRUE(log.ok(0));
  EXPECT_EQ(log.codes()[Code::kClosed], 2u);
  EXPECT_EQ(pool->stats().samples_ok, 1u);
  EXPECT_EQ(pool->stats().samples_failed, 2u);
}

TEST(PoolStop, CancelsARunThatTakesTooLong) {
  CancellableDevice device;
  AnswerLog log(3);
  const auto slots = fake_slots(echo_program(), 1, 1, device.behaviour());
  const auto pool = start_pool(slots, kSync, log, stopping_policy(1, 1'000'000));
  ASSERT_TRUE(is_ok(pool->submit(samples_from(0, 3))));
  device.begun.wait();
  stop_cancelling(*pool, *slots);
  EXPECT_TRUE(log.each_once());
  EXPECT_TRUE(log.code(0) == Code::kCancelled || log.code(0) == Code::kClosed);
  EXPECT_EQ(log.code(1), Code::kClosed);
  EXPECT_EQ(log.code(2), Code::kClosed);
}

TEST(PoolStop, WithTheRingFullAndASubmitterWaiting) {
  CancellableDevice device;
  AnswerLog log(40);
  const auto slots = fake_slots(echo_program(), 1, 1, device.behaviour());
  const auto pool = start_pool(slots, kSync, log, stopping_policy(1, 0));
  std::atomic<uint64_t> accepted{0};
  std::thread submitter([&] {
    // 10 queries of 4: the third at the latest waits for places.
    while (accepted < 40 && pool->submit(samples_from(accepted, 4)).ok()) accepted += 4;
  });
  device.begun.wait();
  stop_cancelling(*pool, *slots);
  submitter.join();
  EXPECT_TRUE(log.each_once([&](uint64_t id) { return id < accepted; }));
}

TEST(PoolStop, WithABigQueryOnTheBoard) {
  CancellableDevice device;
  AnswerLog log(1000, 8);
  const auto slots = fake_slots(echo_program(8), 2, 1, device.behaviour());
  const auto pool = start_pool(slots, kSync, log, stopping_policy(8, 0));
  std::vector<std::thread> submitters;
  for (uint64_t t = 0; t < 2; ++t) {
    submitters.emplace_back([&, t] { (void)pool->submit(samples_from(500 * t, 500)); });
  }
  device.begun.wait();
  stop_cancelling(*pool, *slots);
  for (std::thread& submitter : submitters) submitter.join();
  // A submitter that came after the stop was refused.
  const bool both = log.answers(0) + log.answers(500) == 2;
  EXPECT_TRUE(
      log.each_once([&](uint64_t id) { return both || log.answers(id < 500 ? 0 : 500) == 1; }));
}

TEST(PoolStop, WhileABatchWaitsForMore) {
  for (const auto kind : {kSync, kAsync}) {
    AnswerLog log(3, 4);
    BatchPolicy policy = stopping_policy(4, kLong);
    policy.max_delay_ns = kLong;
    const auto slots = fake_slots(echo_program(4), 2, 1);
    const auto pool = start_pool(slots, kind, log, policy);
    ASSERT_TRUE(is_ok(pool->submit(samples_from(0, 3))));
    while (slots->idle(0) && slots->idle(1)) std::this_thread::yield();
    EXPECT_TRUE(is_ok(pool->stop()));
    EXPECT_TRUE(log.each_once());
    EXPECT_EQ(log.codes()[Code::kClosed], 3u);
  }
}

TEST(PoolStop, LeavesAStuckWorkerBehind) {
  StuckDevice device;
  const auto slots = fake_slots(echo_program(), 2, 1, device.behaviour());
  {
    AnswerLog log(6);
    const auto pool = start_pool(slots, kSync, log, stopping_policy(1, 1'000'000));
    ASSERT_TRUE(is_ok(pool->submit(samples_from(0, 4))));
    ASSERT_TRUE(is_ok(pool->submit(samples_from(4, 2))));
    while (device.running < 2) std::this_thread::yield();
    EXPECT_TRUE(is_error(pool->stop(), Code::kTimedOut, "2 runs", "answered as closed"));
    EXPECT_TRUE(log.each_once());
    EXPECT_EQ(log.codes()[Code::kClosed], 6u);
    EXPECT_EQ(pool->stats().samples_failed, 6u);
  }
  // Pool and handler are gone when the runs come back.
  device.gate.open();
  wait_all_free(*slots);
}

TEST(PoolStop, LeavesACallerBehind) {
  StuckDevice device;
  const auto slots = fake_slots(echo_program(), 1, 1, device.behaviour());
  AnswerLog log(2);
  const auto pool =
      start_pool(slots, kSync, log, stopping_policy(1, 1'000'000, CallerRuns::kIfIdle));
  Status submitted(Code::kInternal, "not returned");
  std::thread caller([&] { submitted = pool->submit(samples_from(0, 1)); });
  device.begun.wait();
  EXPECT_TRUE(is_error(pool->stop(), Code::kTimedOut, "1 run"));
  EXPECT_EQ(log.code(0), Code::kClosed);
  device.gate.open();
  caller.join();
  EXPECT_TRUE(is_ok(submitted));
  EXPECT_TRUE(log.each_once([](uint64_t id) { return id == 0; }));
}

// A worker is stuck in the middle of its part of a big query: the rest of the part is answered.
TEST(PoolStop, AnswersTheRestOfAStuckClaim) {
  StuckDevice device;
  std::atomic<bool> stuck{false};
  auto behaviour = device.behaviour();
  const auto wait = behaviour.run;
  behaviour.run = [&](FakeExecObj& exec) { return stuck ? wait(exec) : exec.echo(); };
  const auto slots = fake_slots(echo_program(), 1, 1, behaviour);
  {
    AnswerLog log(20'000);
    // The first batches are quick, so that the worker learns to claim many at once.
    log.on_gather = [&](const Batch& batch) { stuck = batch.samples[0].id >= 10'000; };
    const auto pool = start_pool(slots, kSync, log, stopping_policy(1, 1'000'000));
    std::thread submitter([&] { EXPECT_TRUE(is_ok(pool->submit(samples_from(0, 20'000)))); });
    device.begun.wait();
    EXPECT_TRUE(is_error(pool->stop(), Code::kTimedOut));
    submitter.join();
    EXPECT_TRUE(log.each_once());
    EXPECT_EQ(log.codes()[Code::kClosed], 10'000u);
  }
  device.gate.open();
  wait_all_free(*slots);
}

// The rest of a stuck claim is not answered again when the slot's next run is given up as well.
TEST(PoolStop, StuckTwiceOnTheSameSlot) {
  Gate gates[2];
  Gate begun[2];
  std::atomic<int> round{0};
  std::atomic<bool> stuck{false};
  FakeExecObj::Behaviour behaviour;
  behaviour.run = [&](FakeExecObj& exec) {
    if (!stuck) return exec.echo();
    const int r = round;
    begun[r].open();
    gates[r].wait();
    return exec.echo();
  };
  const auto slots = fake_slots(echo_program(), 1, 1, behaviour);
  const BatchPolicy policy = stopping_policy(1, 1'000'000);
  {
    AnswerLog log(1000);
    log.on_gather = [&](const Batch& batch) { stuck = batch.samples[0].id >= 500; };
    const auto pool = start_pool(slots, kSync, log, policy);
    std::thread submitter([&] { (void)pool->submit(samples_from(0, 1000)); });
    begun[0].wait();
    EXPECT_TRUE(is_error(pool->stop(), Code::kTimedOut));
    submitter.join();
    EXPECT_TRUE(log.each_once());
  }
  gates[0].open();
  wait_all_free(*slots);
  round = 1;
  {
    AnswerLog log(2);
    log.on_gather = [&](const Batch&) { stuck = true; };
    const auto pool = start_pool(slots, kSync, log, policy);
    ASSERT_TRUE(is_ok(pool->submit(samples_from(0, 2))));
    begun[1].wait();
    EXPECT_TRUE(is_error(pool->stop(), Code::kTimedOut));
    EXPECT_TRUE(log.each_once());
  }
  gates[1].open();
  wait_all_free(*slots);
}

// One worker is stuck and comes back just after it was given up; another is in the handler. The
// handler may be gone as soon as stop() returns, so that must not be before the other has left it.
TEST(PoolStop, WaitsForTheHandlerAlthoughAStuckRunCameBack) {
  StuckDevice device;
  Gate in_handler;
  Gate leave_handler;
  AnswerLog log(2);
  log.on_gather = [&](const Batch& batch) {
    if (batch.samples[0].id == 1) {
      in_handler.open();
      leave_handler.wait();
    }
  };
  auto behaviour = device.behaviour();
  const auto wait = behaviour.run;
  behaviour.run = [&](FakeExecObj& exec) {
    uint64_t id = 0;
    std::memcpy(&id, exec.input(0).data(), sizeof id);
    return id == 0 ? wait(exec) : exec.echo();
  };
  const auto slots = fake_slots(echo_program(), 2, 1, behaviour);
  const auto pool = start_pool(slots, kSync, log, stopping_policy(1, 0));
  ASSERT_TRUE(is_ok(pool->submit(samples_from(0, 1))));
  device.begun.wait();
  ASSERT_TRUE(is_ok(pool->submit(samples_from(1, 1))));
  in_handler.wait();
  auto stopped = std::async(std::launch::async, [&] { return pool->stop(); });
  log.wait_answered(1);  // the stuck one was given up
  device.gate.open();
  EXPECT_EQ(stopped.wait_for(100ms), std::future_status::timeout);
  leave_handler.open();
  EXPECT_TRUE(is_error(stopped.get(), Code::kTimedOut, "1 run"));
  EXPECT_TRUE(log.each_once());
  wait_all_free(*slots);
}

// A worker left behind by an earlier pool does not count as one of this pool's.
TEST(PoolStop, WaitsForTheHandlerAlthoughAnEarlierPoolsRunIsStuck) {
  StuckDevice device;
  Gate in_handler;
  Gate leave_handler;
  std::atomic<bool> first{true};
  auto behaviour = device.behaviour();
  const auto wait = behaviour.run;
  behaviour.run = [&](FakeExecObj& exec) {
    return first.exchange(false) ? wait(exec) : exec.echo();
  };
  const auto slots = fake_slots(echo_program(), 2, 1, behaviour);
  {
    AnswerLog log(1);
    const auto pool = start_pool(slots, kSync, log, stopping_policy(1, 0));
    ASSERT_TRUE(is_ok(pool->submit(samples_from(0, 1))));
    device.begun.wait();
    EXPECT_TRUE(is_error(pool->stop(), Code::kTimedOut));
  }
  AnswerLog log(1);
  log.on_scatter = [&](const Batch&) {
    in_handler.open();
    leave_handler.wait();
  };
  const auto pool = start_pool(slots, kSync, log, stopping_policy(1, 0));
  ASSERT_TRUE(is_ok(pool->submit(samples_from(0, 1))));
  in_handler.wait();
  auto stopped = std::async(std::launch::async, [&] { return pool->stop(); });
  EXPECT_EQ(stopped.wait_for(150ms), std::future_status::timeout);
  leave_handler.open();
  EXPECT_TRUE(is_ok(stopped.get()));
  EXPECT_TRUE(log.each_once());
  device.gate.open();
  wait_all_free(*slots);
}

// An asynchronous device whose completions the test makes.
struct ManualDevice {
  std::mutex mutex;
  std::vector<std::pair<FakeExecObj*, Completion*>> pending;
  std::atomic<size_t> enqueued{0};

  FakeExecObj::Behaviour behaviour() {
    FakeExecObj::Behaviour behaviour;
    behaviour.enqueue = [this](FakeExecObj& exec, Completion& done) {
      const std::lock_guard lock(mutex);
      pending.emplace_back(&exec, &done);
      enqueued.fetch_add(1);
      return Status();
    };
    return behaviour;
  }
  void wait_enqueued(size_t count) const {
    while (enqueued < count) std::this_thread::yield();
  }
  void complete_all() {
    std::vector<std::pair<FakeExecObj*, Completion*>> all;
    {
      const std::lock_guard lock(mutex);
      all.swap(pending);
    }
    for (const auto& [exec, done] : all) done->complete(exec->echo());
  }
};

TEST(PoolStop, WaitsForCompletions) {
  ManualDevice device;
  AnswerLog log(4);
  const auto pool = start_pool(fake_slots(echo_program(), 1, 2, device.behaviour()), kAsync, log,
                               stopping_policy(1, kLong));
  ASSERT_TRUE(is_ok(pool->submit(samples_from(0, 4))));
  device.wait_enqueued(2);
  auto stopped = std::async(std::launch::async, [&] { return pool->stop(); });
  log.wait_answered(2);  // those that waited
  EXPECT_EQ(stopped.wait_for(20ms), std::future_status::timeout);
  device.complete_all();
  EXPECT_TRUE(is_ok(stopped.get()));
  EXPECT_TRUE(log.each_once());
  EXPECT_EQ(log.codes()[Code::kOk], 2u);
}

// The handler may be gone as soon as stop() returns; a completion is in it.
TEST(PoolStop, WaitsForACompletionThatIsInTheHandler) {
  ManualDevice device;
  Gate in_handler;
  Gate leave_handler;
  std::thread completer;
  // Outlives the completion, which releases its slot after the pool is gone.
  const auto slots = fake_slots(echo_program(), 1, 1, device.behaviour());
  {
    AnswerLog log(1);
    log.on_scatter = [&](const Batch&) {
      in_handler.open();
      leave_handler.wait();
    };
    const auto pool = start_pool(slots, kAsync, log, stopping_policy(1, 0));
    ASSERT_TRUE(is_ok(pool->submit(samples_from(0, 1))));
    device.wait_enqueued(1);
    completer = std::thread([&] { device.complete_all(); });
    in_handler.wait();
    auto stopped = std::async(std::launch::async, [&] { return pool->stop(); });
    EXPECT_EQ(stopped.wait_for(150ms), std::future_status::timeout);
    leave_handler.open();
    EXPECT_TRUE(is_ok(stopped.get()));
    EXPECT_TRUE(log.each_once());
    EXPECT_TRUE(log.ok(0));
  }
  completer.join();
}

TEST(PoolStop, LateCompletionFindsNothingToAnswer) {
  ManualDevice device;
  const auto slots = fake_slots(echo_program(), 1, 3, device.behaviour());
  {
    AnswerLog log(5);
    const auto pool = start_pool(slots, kAsync, log, stopping_policy(1, 0));
    ASSERT_TRUE(is_ok(pool->submit(samples_from(0, 4))));
    ASSERT_TRUE(is_ok(pool->submit(samples_from(4, 1))));
    device.wait_enqueued(3);
    EXPECT_TRUE(is_error(pool->stop(), Code::kTimedOut, "3 runs"));
    EXPECT_TRUE(log.each_once());
    EXPECT_EQ(log.codes()[Code::kClosed], 5u);
  }
  device.complete_all();
  EXPECT_TRUE(slots->all_free());
}

TEST(PoolTimeout, CompletionThatIsLateIsTimedOutAndItsSlotUsedAgain) {
  ManualDevice device;
  AnswerLog log(2);
  BatchPolicy policy = stopping_policy(1, kLong);
  policy.exec_timeout_ns = 1'000'000;
  const auto pool =
      start_pool(fake_slots(echo_program(), 1, 1, device.behaviour()), kAsync, log, policy);
  ASSERT_TRUE(is_ok(pool->submit(samples_from(0, 1))));
  log.wait_answered(1);
  EXPECT_EQ(log.code(0), Code::kTimedOut);
  device.complete_all();
  // The device may be slow again: what matters is that the sample gets there.
  ASSERT_TRUE(is_ok(pool->submit(samples_from(1, 1))));
  device.wait_enqueued(2);
  device.complete_all();
  log.wait_all();
  EXPECT_TRUE(log.each_once());
  EXPECT_TRUE(is_ok(pool->stop()));
}

// A device that loses everything: once no ExecObj is left, samples fail instead of waiting for
// ever.
TEST(PoolTimeout, SamplesFailWhenEveryExecObjIsLost) {
  ManualDevice device;
  const auto slots = fake_slots(echo_program(), 2, 2, device.behaviour());
  {
    AnswerLog log(600);
    BatchPolicy policy = stopping_policy(1, 0);
    policy.exec_timeout_ns = 1'000'000;
    const auto pool = start_pool(slots, kAsync, log, policy);
    ASSERT_TRUE(is_ok(pool->submit(samples_from(0, 4))));
    ASSERT_TRUE(is_ok(pool->submit(samples_from(4, 4))));
    ASSERT_TRUE(is_ok(pool->submit(samples_from(8, 592))));  // more than the ring holds
    log.wait_all();
    EXPECT_TRUE(log.each_once());
    const auto codes = log.codes();
    EXPECT_EQ(codes.at(Code::kTimedOut), 4u);
    EXPECT_EQ(codes.at(Code::kDeviceError), 596u);
    (void)pool->stop();
    EXPECT_EQ(pool->stats().samples_failed, 600u);
  }
  device.complete_all();
}

TEST(PoolTimeout, UnboundedMeansNever) {
  ManualDevice device;
  AnswerLog log(1);
  BatchPolicy policy = stopping_policy(1, kLong);
  policy.exec_timeout_ns = UINT64_MAX;
  const auto pool =
      start_pool(fake_slots(echo_program(), 1, 1, device.behaviour()), kAsync, log, policy);
  ASSERT_TRUE(is_ok(pool->submit(samples_from(0, 1))));
  device.wait_enqueued(1);
  std::this_thread::sleep_for(20ms);  // several rounds of the worker
  EXPECT_EQ(log.answered(), 0u);
  device.complete_all();
  log.wait_all();
  EXPECT_TRUE(log.ok(0));
}

// Submitters keep at it while the pool is stopped and started again.
void stop_under_load(test::Kind kind, uint32_t batch, uint64_t max_delay_ns) {
  constexpr size_t kThreads = 3;
  constexpr size_t kRounds = 40;
  constexpr size_t kPerThread = 4000;
  const auto slots = fake_slots(echo_program(static_cast<int32_t>(batch)), 2, kind ? 3 : 1);
  for (size_t round = 0; round < kRounds; ++round) {
    AnswerLog log(kThreads * kPerThread, batch);
    std::vector<std::atomic<size_t>> accepted(kThreads);
    BatchPolicy policy = policy_of(batch, round % 2 ? CallerRuns::kIfIdle : CallerRuns::kNever);
    policy.queue_capacity = 16;
    policy.max_delay_ns = max_delay_ns;
    const auto pool = start_pool(slots, kind, log, policy);
    std::vector<std::thread> threads;
    for (size_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        constexpr size_t kSizes[] = {1, 3, 40, 16};
        for (size_t i = t; accepted[t] < kPerThread; ++i) {
          const size_t size = std::min(kSizes[i % 4], kPerThread - accepted[t]);
          const Status status = pool->submit(samples_from(t * kPerThread + accepted[t], size));
          if (!status.ok()) {
            EXPECT_EQ(status.code(), Code::kClosed);
            return;
          }
          accepted[t] += size;
        }
      });
    }
    log.wait_answered(round * 37);  // stop at many different points
    EXPECT_TRUE(is_ok(pool->stop()));
    for (std::thread& thread : threads) thread.join();
    EXPECT_TRUE(log.each_once(
        [&](uint64_t id) { return id % kPerThread < accepted[id / kPerThread].load(); }));
  }
}

TEST(PoolStopStress, UnderLoadSync) { stop_under_load(kSync, 1, 0); }
TEST(PoolStopStress, UnderLoadSyncBatched) { stop_under_load(kSync, 8, 0); }
TEST(PoolStopStress, UnderLoadSyncDelayed) { stop_under_load(kSync, 8, 50'000); }
TEST(PoolStopStress, UnderLoadAsync) { stop_under_load(kAsync, 8, 0); }
TEST(PoolStopStress, UnderLoadAsyncDelayed) { stop_under_load(kAsync, 8, 50'000); }

}  // namespace
}  // namespace qaickit
