#include <algorithm>

#include "sim/rig.h"

namespace qaickit::test {
namespace {

using StormStress = SimTest;

// Exec objects that enqueue themselves again from their callbacks, as often as `budget` lasts.
struct Storm {
  std::atomic<int64_t> budget{0};
  std::atomic<int64_t> completed{0};
  std::atomic<int64_t> failed{0};
  std::atomic<int64_t> refused{0};
  std::atomic<int64_t> idle{0};
  std::atomic<bool> down{false};  // the device: stop

  struct Member {
    Storm* storm;
    Inference* run;
  };

  // Enqueues until one is taken or the budget is used up.
  void go(Member* member) {
    while (budget.fetch_sub(1) > 0) {
      const QStatus status = member->run->enqueue();
      if (status == QS_SUCCESS) return;
      ++refused;
      if (status != QS_AGAIN) {
        down = true;
        break;
      }
    }
    ++idle;
  }
  static void told(QAicEvent*, QAicEventCompletionType type, void* user) {
    auto* member = static_cast<Member*>(user);
    Storm& storm = *member->storm;
    ++(type == QAIC_EVENT_DEVICE_COMPLETE ? storm.completed : storm.failed);
    storm.go(member);
  }
};

TEST_F(StormStress, CallbacksThatEnqueueAgain) {
  configure({{"QAICKIT_SIM_DEVICES", "2"}});
  constexpr int64_t kBudget = 100000;
  std::vector<std::unique_ptr<Rig>> rigs;
  for (QID device : {0, 0, 1, 1}) rigs.push_back(std::make_unique<Rig>(device));
  std::vector<std::unique_ptr<Inference>> runs;
  Storm storm;
  storm.budget = kBudget;
  std::vector<Storm::Member> members;
  for (const auto& rig : rigs) {
    for (int i = 0; i < 4; ++i) runs.push_back(std::make_unique<Inference>(*rig));
  }
  for (const auto& run : runs) members.push_back({&storm, run.get()});
  for (Storm::Member& member : members) {
    ASSERT_EQ(qaicEventAddCallback(member.run->event, Storm::told, &member), QS_SUCCESS);
  }
  std::vector<std::thread> starters;
  for (size_t t = 0; t < 4; ++t) {
    starters.emplace_back([&, t] {
      for (size_t i = t; i < members.size(); i += 4) storm.go(&members[i]);
    });
  }
  for (std::thread& starter : starters) starter.join();
  EXPECT_TRUE(soon([&] { return storm.idle.load() == static_cast<int64_t>(members.size()); }));
  EXPECT_EQ(storm.refused, 0);
  EXPECT_EQ(storm.completed, kBudget);
  EXPECT_EQ(storm.failed, 0);
  for (const auto& run : runs) {
    // Those that came late may have found the budget used up.
    const bool ran = qaicExecObjWaitForCompletion(run->exec, 0) == QS_SUCCESS;
    EXPECT_TRUE(!ran || run->has_output(1));
  }
}

// Every accepted enqueue is answered once, whatever happens in between.
TEST_F(StormStress, AllFaultsAtOnce) {
  configure({{"QAICKIT_SIM_LATENCY_US", "5"}, {"QAICKIT_SIM_JITTER_US", "20"}});
  QAicSimCounters before{};
  ASSERT_EQ(qaicsimGetCounters(0, &before), QS_SUCCESS);
  int64_t answered = 0;
  for (int round = 0; round < 30; ++round) {
    const std::string plan =
        "enqueue=0.02,error=0.02,lost=0.01,reset=0.005,seed=" + std::to_string(round);
    ASSERT_EQ(qaicsimSetFaults(plan.c_str()), QS_SUCCESS);
    Rig rig;
    std::vector<std::unique_ptr<Inference>> runs;
    Storm storm;
    storm.budget = 400;
    std::vector<Storm::Member> members;
    for (int i = 0; i < 8; ++i) {
      // As soon as a reset comes, nothing can be activated: the program has to be there before.
      runs.push_back(std::make_unique<Inference>(rig));
    }
    for (const auto& run : runs) members.push_back({&storm, run.get()});
    for (Storm::Member& member : members) {
      ASSERT_EQ(qaicEventAddCallback(member.run->event, Storm::told, &member), QS_SUCCESS);
    }
    for (Storm::Member& member : members) storm.go(&member);
    // Those that are lost come back with the queue.
    const auto settled = [&] {
      QAicSimCounters now{};
      (void)qaicsimGetCounters(0, &now);
      return storm.idle.load() == 8 || now.lost > before.lost;
    };
    ASSERT_TRUE(soon(settled));
    ASSERT_EQ(qaicReleaseQueue(rig.queue), QS_SUCCESS);
    rig.queue = nullptr;
    EXPECT_TRUE(soon([&] { return storm.idle.load() == 8; }));
    QAicSimCounters now{};
    ASSERT_EQ(qaicsimGetCounters(0, &now), QS_SUCCESS);
    answered = static_cast<int64_t>(now.completed + now.failed);
    EXPECT_EQ(static_cast<int64_t>(now.enqueued), answered);
    EXPECT_EQ(storm.completed + storm.failed, static_cast<int64_t>(now.enqueued - before.enqueued));
    before = now;
  }
  EXPECT_GT(answered, 1000);
  ASSERT_EQ(qaicsimSetFaults(""), QS_SUCCESS);
}

TEST_F(StormStress, ThreadsWithTheirOwnContexts) {
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&good] {
      for (int i = 0; i < 10; ++i) {
        Rig rig;
        Inference run(rig, static_cast<float>(i));
        for (int j = 0; j < 20; ++j) {
          if (run.enqueue_and_wait() == QS_SUCCESS && run.has_output(1)) ++good;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 4 * 10 * 20);
}

// Resets from outside while others enqueue, wait and set up again.
TEST_F(StormStress, ResetsInBetween) {
  configure({{"QAICKIT_SIM_LATENCY_US", "20"}});
  std::atomic<bool> stop{false};
  std::thread resetter([&stop] {
    while (!stop) {
      (void)qaicsimResetDevice(0);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  });
  std::atomic<int> good{0};
  std::atomic<int> bad{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      Rig rig;
      Inference run(rig);
      for (int i = 0; i < 400; ++i) {
        const QStatus status = run.enqueue_and_wait();
        if (status == QS_SUCCESS) {
          ++good;
        } else {
          ++bad;
          EXPECT_EQ(status, QS_DEV_ERROR);
          const QStatus again = qaicRunActivationCmd(rig.program, QAIC_PROGRAM_CMD_ACTIVATE_FULL);
          EXPECT_TRUE(again == QS_SUCCESS || again == QS_DEV_ERROR) << again;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  stop = true;
  resetter.join();
  EXPECT_GT(good, 0);
  QResourceInfo resources{};
  ASSERT_EQ(qaicGetResourceInfo(0, &resources), QS_SUCCESS);
  EXPECT_EQ(resources.nspFree, resources.nspTotal);
}

}  // namespace
}  // namespace qaickit::test
