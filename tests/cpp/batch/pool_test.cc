#include "batch/pool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "support/answer_log.h"
#include "support/pools.h"

namespace qaickit {
namespace {

using test::AnswerLog;
using test::echo_program;
using test::fake_slots;
using test::FakeExecObj;
using test::Gate;
using test::is_error;
using test::is_ok;
using test::kAsync;
using test::Kind;
using test::kSync;
using test::policy_of;
using test::samples_from;
using test::samples_in_batches;
using test::start_pool;

constexpr uint64_t kLong = 3'600'000'000'000;  // an hour: for ever, as far as a test goes

struct Shape {
  Kind kind;
  uint32_t activations;
  uint32_t batch;
};

class PoolShapes : public ::testing::TestWithParam<Shape> {
 protected:
  // Submits `count` samples in queries of `query` and expects one answer for each.
  void run(size_t count, size_t query, uint32_t queue_capacity) {
    const auto [kind, activations, batch] = GetParam();
    AnswerLog log(count, batch);
    BatchPolicy policy = policy_of(batch);
    policy.queue_capacity = queue_capacity;
    const auto slots =
        fake_slots(echo_program(static_cast<int32_t>(batch)), activations, kind == kAsync ? 3 : 1);
    const auto pool = start_pool(slots, kind, log, policy);
    EXPECT_EQ(log.slots(), slots->size());
    EXPECT_EQ(log.max_batch(), batch);
    for (size_t first = 0; first < count; first += query) {
      ASSERT_TRUE(is_ok(pool->submit(samples_from(first, std::min(query, count - first)))));
    }
    log.wait_all();
    EXPECT_TRUE(is_ok(pool->stop()));
    EXPECT_TRUE(log.each_once());
    const BatchStats stats = pool->stats();
    EXPECT_EQ(stats.samples_ok, count);
    EXPECT_EQ(stats.samples_failed, 0u);
    EXPECT_EQ(samples_in_batches(stats), count);
    EXPECT_EQ(stats.batch_sizes.size(), batch + 1);
    EXPECT_EQ(stats.batch_sizes[0], 0u);
    EXPECT_EQ(stats.activation_batches.size(), activations);
    EXPECT_EQ(std::accumulate(stats.activation_batches.begin(), stats.activation_batches.end(),
                              uint64_t{0}),
              stats.batches);
    EXPECT_EQ(stats.caller_batches, 0u);
  }
};

TEST_P(PoolShapes, OneSample) { run(1, 1, 64); }
TEST_P(PoolShapes, SmallQueriesThroughTheRing) { run(1000, 5, 64); }
TEST_P(PoolShapes, QueriesOfTheRingsSize) { run(1000, 64, 64); }
TEST_P(PoolShapes, HugeQueryThroughTheBoard) { run(20'001, 20'001, 64); }
TEST_P(PoolShapes, ManyQueriesThroughTheBoard) { run(999, 3, 2); }

INSTANTIATE_TEST_SUITE_P(All, PoolShapes,
                         ::testing::Values(Shape{kSync, 1, 1}, Shape{kSync, 1, 8},
                                           Shape{kSync, 3, 1}, Shape{kSync, 2, 8},
                                           Shape{kAsync, 1, 1}, Shape{kAsync, 2, 8}),
                         [](const auto& info) {
                           return std::string(info.param.kind == kAsync ? "async" : "sync") +
                                  std::to_string(info.param.activations) + "x" +
                                  std::to_string(info.param.batch);
                         });

TEST(Pool, EmptyQueryIsNothing) {
  AnswerLog log(0);
  const auto pool = start_pool(fake_slots(echo_program(), 1, 1), kSync, log, policy_of(1));
  EXPECT_TRUE(is_ok(pool->submit({})));
  EXPECT_TRUE(is_ok(pool->stop()));
}

TEST(Pool, PolicyIsChecked) {
  AnswerLog log(0);
  const auto start = [&](uint32_t max_batch, uint32_t capacity) {
    BatchPolicy policy = policy_of(max_batch);
    policy.queue_capacity = capacity;
    return Pool::start(fake_slots(echo_program(), 1, 1), kSync, nullptr, log, policy).status();
  };
  EXPECT_TRUE(is_error(start(0, 8), Code::kInvalidArgument, "max_batch"));
  EXPECT_TRUE(is_error(start(1, 0), Code::kInvalidArgument, "queue_capacity"));
}

TEST(Pool, PreparationErrorEndsTheStart) {
  struct Refuses final : BatchHandler {
    Status prepare(uint32_t, uint32_t) override {
      return Status(Code::kResourceExhausted, "no room");
    }
    Status gather(const Batch&) noexcept override { return {}; }
    void scatter(const Batch&) noexcept override {}
    void fail(std::span<const Sample>, const Status&) noexcept override {}
  } handler;
  EXPECT_TRUE(is_error(
      Pool::start(fake_slots(echo_program(), 1, 1), kSync, nullptr, handler, policy_of(1)).status(),
      Code::kResourceExhausted, "no room"));
}

struct RefusingLog final : AnswerLog {
  using AnswerLog::AnswerLog;
  Status gather(const Batch& batch) noexcept override {
    if (batch.samples[0].id % 2) return Status(Code::kFailedPrecondition, "odd");
    return AnswerLog::gather(batch);
  }
};

TEST(Pool, GatherErrorFailsItsBatchOnly) {
  for (const Kind kind : {kSync, kAsync}) {
    RefusingLog log(10);
    const auto pool = start_pool(fake_slots(echo_program(), 2, 1), kind, log, policy_of(1));
    ASSERT_TRUE(is_ok(pool->submit(samples_from(0, 10))));
    log.wait_all();
    EXPECT_TRUE(log.each_once());
    EXPECT_EQ(log.codes()[Code::kFailedPrecondition], 5u);
    EXPECT_TRUE(is_ok(pool->stop()));
    EXPECT_EQ(pool->stats().samples_ok, 5u);
    EXPECT_EQ(pool->stats().samples_failed, 5u);
  }
}

TEST(Pool, DeviceErrorFailsItsBatchOnly) {
  std::atomic<int> runs{0};
  FakeExecObj::Behaviour behaviour;
  behaviour.run = [&](FakeExecObj& exec) {
    return runs.fetch_add(1) == 1 ? Status(Code::kDeviceError, "second") : exec.echo();
  };
  AnswerLog log(12, 4);
  const auto pool =
      start_pool(fake_slots(echo_program(4), 1, 1, behaviour), kSync, log, policy_of(4));
  ASSERT_TRUE(is_ok(pool->submit(samples_from(0, 12))));
  log.wait_all();
  EXPECT_TRUE(log.each_once());
  EXPECT_GE(log.codes()[Code::kDeviceError], 1u);
  EXPECT_TRUE(is_ok(pool->stop()));
  EXPECT_EQ(pool->stats().samples_failed, log.codes()[Code::kDeviceError]);
}

TEST(Pool, RefusedEnqueueFailsItsBatchOnly) {
  std::atomic<int> calls{0};
  FakeExecObj::Behaviour behaviour;
  behaviour.enqueue = [&](FakeExecObj& exec, Completion& done) {
    if (calls.fetch_add(1) % 2) return Status(Code::kResourceExhausted, "full");
    done.complete(exec.echo());
    return Status();
  };
  AnswerLog log(10);
  const auto pool =
      start_pool(fake_slots(echo_program(), 1, 2, behaviour), kAsync, log, policy_of(1));
  ASSERT_TRUE(is_ok(pool->submit(samples_from(0, 10))));
  log.wait_all();
  EXPECT_TRUE(log.each_once());
  EXPECT_EQ(log.codes()[Code::kResourceExhausted], 5u);
}

TEST(Pool, FullBatchDoesNotWait) {
  AnswerLog log(8, 4);
  BatchPolicy policy = policy_of(4);
  policy.max_delay_ns = kLong;
  const auto pool = start_pool(fake_slots(echo_program(4), 1, 1), kSync, log, policy);
  for (uint64_t id = 0; id < 8; ++id) ASSERT_TRUE(is_ok(pool->submit(samples_from(id, 1))));
  log.wait_all();
  EXPECT_TRUE(is_ok(pool->stop()));
  EXPECT_TRUE(log.each_once());
  EXPECT_EQ(pool->stats().batch_sizes, (std::vector<uint64_t>{0, 0, 0, 0, 2}));
}

// Samples that arrive while one worker holds a part-filled batch join that batch; a second
// part-filled batch beside it would make all of them wait although there are enough. A worker has
// its slot a moment before it holds the batch, so one round in four may miss.
TEST(PoolStress, SamplesJoinTheBatchThatWaits) {
  constexpr size_t kRounds = 20;
  AnswerLog log(4 * kRounds, 4);
  BatchPolicy policy = policy_of(4);
  policy.max_delay_ns = 2'000'000'000;
  const auto slots = fake_slots(echo_program(4), 3, 1);
  const auto pool = start_pool(slots, kSync, log, policy);
  for (size_t id = 0; id < 4 * kRounds; ++id) {
    ASSERT_TRUE(is_ok(pool->submit(samples_from(id, 1))));
    if (id % 4 == 0) {
      while (slots->all_free()) std::this_thread::yield();
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    if (id % 4 == 3) {
      log.wait_answered(id + 1);
      while (!slots->all_free()) std::this_thread::yield();
    }
  }
  EXPECT_TRUE(is_ok(pool->stop()));
  EXPECT_TRUE(log.each_once());
  EXPECT_GE(pool->stats().batch_sizes[4], kRounds * 3 / 4);
}

// The worker that waits for more is woken for the batch, not for each of its samples.
TEST(Pool, AWorkerSleepsWhileItsBatchFills) {
  constexpr uint32_t kBatch = 16;
  constexpr size_t kBatches = 5;
  std::atomic<long> sleeps{0};
  FakeExecObj::Behaviour behaviour;
  behaviour.run = [&](FakeExecObj& exec) {
    rusage usage{};
    getrusage(RUSAGE_THREAD, &usage);  // of the worker
    sleeps.store(usage.ru_nvcsw);
    return exec.echo();
  };
  AnswerLog log(kBatch * kBatches, kBatch);
  BatchPolicy policy = policy_of(kBatch);
  policy.max_delay_ns = kLong;
  const auto pool =
      start_pool(fake_slots(echo_program(kBatch), 1, 1, behaviour), kSync, log, policy);
  long before = 0;
  for (size_t id = 0; id < kBatch * kBatches; ++id) {
    ASSERT_TRUE(is_ok(pool->submit(samples_from(id, 1))));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // so that it sleeps, if it does
    if ((id + 1) % kBatch != 0) continue;
    log.wait_answered(id + 1);
    // Before the first sample of a batch, and until its last; once more where it was early.
    if (before > 0) {
      EXPECT_LT(sleeps - before, 8);
    }
    before = sleeps;
  }
  EXPECT_TRUE(is_ok(pool->stop()));
  EXPECT_TRUE(log.each_once());
  EXPECT_EQ(pool->stats().batch_sizes[kBatch], kBatches);
}

// What one batch has no room for is another's, also where both wait for more.
TEST(PoolStress, BatchesThatWaitLoseNoSample) {
  constexpr size_t kSamples = 3000;
  for (const uint32_t capacity : {2u, 64u}) {
    AnswerLog log(kSamples, 4);
    BatchPolicy policy = policy_of(4);
    policy.max_delay_ns = 200'000;
    policy.queue_capacity = capacity;
    const auto pool = start_pool(fake_slots(echo_program(4), 3, 1), kSync, log, policy);
    std::vector<std::thread> submitters;
    for (size_t t = 0; t < 3; ++t) {
      submitters.emplace_back([&, t] {
        for (size_t id = t; id < kSamples; id += 3) {
          EXPECT_TRUE(is_ok(pool->submit(samples_from(id, 1))));
          if (id % 50 == t) std::this_thread::sleep_for(std::chrono::microseconds(300));
        }
      });
    }
    for (std::thread& submitter : submitters) submitter.join();
    log.wait_all();
    EXPECT_TRUE(is_ok(pool->stop()));
    EXPECT_TRUE(log.each_once());
  }
}

TEST(Pool, PartFilledBatchGoesAtItsDeadline) {
  AnswerLog log(3, 4);
  BatchPolicy policy = policy_of(4);
  policy.max_delay_ns = 20'000'000;
  const auto pool = start_pool(fake_slots(echo_program(4), 1, 1), kSync, log, policy);
  const uint64_t start = now_ns();
  ASSERT_TRUE(is_ok(pool->submit(samples_from(0, 3))));
  log.wait_all();
  EXPECT_GE(now_ns() - start, policy.max_delay_ns);
  EXPECT_TRUE(is_ok(pool->stop()));
  EXPECT_TRUE(log.each_once());
  // Not [0, 0, 0, 1, 0] on a machine that stops the submitter for the whole delay.
  EXPECT_EQ(samples_in_batches(pool->stats()), 3u);
}

TEST(Pool, FlushEndsTheWait) {
  for (const Kind kind : {kSync, kAsync}) {
    AnswerLog log(6, 4);
    BatchPolicy policy = policy_of(4);
    policy.max_delay_ns = kLong;
    const auto pool = start_pool(fake_slots(echo_program(4), 2, 1), kind, log, policy);
    pool->flush();
    ASSERT_TRUE(is_ok(pool->submit(samples_from(0, 3))));
    pool->flush();
    log.wait_answered(3);
    ASSERT_TRUE(is_ok(pool->submit(samples_from(3, 3))));
    pool->flush();
    log.wait_all();
    EXPECT_TRUE(is_ok(pool->stop()));
    EXPECT_TRUE(log.each_once());
  }
}

// Answers that thread gave itself.
bool answered_by_caller(const AnswerLog& log, uint64_t id) {
  return pthread_equal(log.thread(id), pthread_self());
}

TEST(PoolCallerRuns, NeverMeansAWorker) {
  AnswerLog log(50);
  const auto pool =
      start_pool(fake_slots(echo_program(), 2, 1), kSync, log, policy_of(1, CallerRuns::kNever));
  for (uint64_t id = 0; id < 50; ++id) {
    ASSERT_TRUE(is_ok(pool->submit(samples_from(id, 1))));
    log.wait_answered(id + 1);
    EXPECT_FALSE(answered_by_caller(log, id));
  }
  EXPECT_TRUE(is_ok(pool->stop()));
  EXPECT_EQ(pool->stats().caller_batches, 0u);
}

TEST(PoolCallerRuns, IfIdleMeansTheCaller) {
  AnswerLog log(50, 4);
  const auto pool =
      start_pool(fake_slots(echo_program(4), 1, 1), kSync, log, policy_of(4, CallerRuns::kIfIdle));
  for (uint64_t id = 0; id < 50; id += 2) {
    ASSERT_TRUE(is_ok(pool->submit(samples_from(id, 2))));
    ASSERT_EQ(log.answered(), id + 2);  // before submit() returned
    EXPECT_TRUE(answered_by_caller(log, id));
  }
  EXPECT_TRUE(is_ok(pool->stop()));
  EXPECT_TRUE(log.each_once());
  EXPECT_EQ(pool->stats().caller_batches, 25u);
  EXPECT_EQ(pool->stats().batch_sizes[2], 25u);
}

TEST(PoolCallerRuns, QueryBiggerThanABatchGoesToWorkers) {
  AnswerLog log(5, 4);
  const auto pool =
      start_pool(fake_slots(echo_program(4), 1, 1), kSync, log, policy_of(4, CallerRuns::kIfIdle));
  ASSERT_TRUE(is_ok(pool->submit(samples_from(0, 5))));
  log.wait_all();
  EXPECT_FALSE(answered_by_caller(log, 0));
}

TEST(PoolCallerRuns, NotWhileTheActivationIsBusy) {
  Gate gate;
  Gate running;
  FakeExecObj::Behaviour behaviour;
  behaviour.run = [&](FakeExecObj& exec) {
    running.open();
    gate.wait();
    return exec.echo();
  };
  AnswerLog log(2);
  const auto pool = start_pool(fake_slots(echo_program(), 1, 1, behaviour), kSync, log,
                               policy_of(1, CallerRuns::kIfIdle));
  std::thread other([&] { EXPECT_TRUE(is_ok(pool->submit(samples_from(0, 1)))); });
  running.wait();
  ASSERT_TRUE(is_ok(pool->submit(samples_from(1, 1))));  // returns, without an answer
  EXPECT_EQ(log.answers(1), 0u);
  gate.open();
  log.wait_all();
  EXPECT_FALSE(answered_by_caller(log, 1));
  other.join();
  EXPECT_TRUE(is_ok(pool->stop()));
  EXPECT_EQ(pool->stats().caller_batches, 1u);
}

TEST(PoolCallerRuns, NeverOnAnAsynchronousDevice) {
  std::thread::id enqueued;
  FakeExecObj::Behaviour behaviour;
  behaviour.enqueue = [&](FakeExecObj& exec, Completion& done) {
    enqueued = std::this_thread::get_id();
    done.complete(exec.echo());
    return Status();
  };
  AnswerLog log(1);
  const auto pool = start_pool(fake_slots(echo_program(), 1, 1, behaviour), kAsync, log,
                               policy_of(1, CallerRuns::kIfIdle));
  ASSERT_TRUE(is_ok(pool->submit(samples_from(0, 1))));
  log.wait_all();
  EXPECT_NE(enqueued, std::this_thread::get_id());
}

TEST(PoolCallerRuns, AutoFindsThatBatchesAreShort) {
  constexpr size_t kMax = 100'000;
  AnswerLog log(kMax);
  const auto pool =
      start_pool(fake_slots(echo_program(), 1, 1), kSync, log, policy_of(1, CallerRuns::kAuto));
  ASSERT_TRUE(is_ok(pool->submit(samples_from(0, 1))));
  log.wait_answered(1);
  EXPECT_FALSE(answered_by_caller(log, 0));  // nothing is known of the device yet
  uint64_t id = 1;
  for (; id < kMax && pool->stats().caller_batches == 0; ++id) {
    ASSERT_TRUE(is_ok(pool->submit(samples_from(id, 1))));
    log.wait_answered(id + 1);
  }
  EXPECT_LT(id, kMax);
}

TEST(PoolCallerRuns, AutoLeavesLongBatchesToWorkers) {
  FakeExecObj::Behaviour behaviour;
  behaviour.run = [](FakeExecObj& exec) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return exec.echo();
  };
  AnswerLog log(10);
  const auto pool = start_pool(fake_slots(echo_program(), 1, 1, behaviour), kSync, log,
                               policy_of(1, CallerRuns::kAuto));
  for (uint64_t id = 0; id < 10; ++id) {
    ASSERT_TRUE(is_ok(pool->submit(samples_from(id, 1))));
    log.wait_answered(id + 1);
  }
  EXPECT_EQ(pool->stats().caller_batches, 0u);
}

TEST(Pool, PinningToCpusThatAreNotThereIsNotFatal) {
  AnswerLog log(4);
  BatchPolicy policy = policy_of(1);
  policy.pin_cpus = {1'000'000, 0};
  const auto pool = start_pool(fake_slots(echo_program(), 3, 1), kSync, log, policy);
  ASSERT_TRUE(is_ok(pool->submit(samples_from(0, 4))));
  log.wait_all();
  EXPECT_TRUE(is_ok(pool->stop()));
}

// Several submitters with queries for the ring, the board and their own thread.
class PoolStressShapes : public ::testing::TestWithParam<Shape> {};

TEST_P(PoolStressShapes, MixedSubmitters) {
  const auto [kind, activations, batch] = GetParam();
  constexpr size_t kThreads = 4;
  constexpr size_t kPerThread = 6'000;
  constexpr size_t kSizes[] = {1, 2, 7, 1, 64, 300, 1, 16};
  AnswerLog log(kThreads * kPerThread, batch);
  BatchPolicy policy = policy_of(batch, CallerRuns::kAuto);
  policy.queue_capacity = 32;
  policy.max_delay_ns = batch > 1 ? 10'000 : 0;
  const auto pool = start_pool(
      fake_slots(echo_program(static_cast<int32_t>(batch)), activations, kind == kAsync ? 2 : 1),
      kind, log, policy);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      size_t done = 0;
      for (size_t i = t; done < kPerThread; ++i) {
        const size_t size = std::min(kSizes[i % std::size(kSizes)], kPerThread - done);
        ASSERT_TRUE(is_ok(pool->submit(samples_from(t * kPerThread + done, size))));
        if (i % 5 == 0) pool->flush();
        done += size;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  log.wait_all();
  EXPECT_TRUE(is_ok(pool->stop()));
  EXPECT_TRUE(log.each_once());
  EXPECT_EQ(pool->stats().samples_ok, kThreads * kPerThread);
  EXPECT_EQ(samples_in_batches(pool->stats()), kThreads * kPerThread);
}

INSTANTIATE_TEST_SUITE_P(All, PoolStressShapes,
                         ::testing::Values(Shape{kSync, 1, 1}, Shape{kSync, 3, 8},
                                           Shape{kAsync, 2, 1}, Shape{kAsync, 2, 8}),
                         [](const auto& info) { return std::to_string(info.index); });

}  // namespace
}  // namespace qaickit
