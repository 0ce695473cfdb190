#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "qaickit/rt.h"

namespace qaickit::rt {

struct Queue::State {
  explicit State(uint32_t threads) : max_threads(std::clamp<uint32_t>(threads, 1, 64)) {}

  void serve() {
    std::unique_lock lock(mutex);
    for (;;) {
      ++idle;
      changed.wait(lock, [&] { return stopping || !jobs.empty(); });
      --idle;
      if (jobs.empty()) return;
      const std::shared_ptr<ExecObject> job = std::move(jobs.front());
      jobs.pop_front();
      lock.unlock();
      job->execute();
      lock.lock();
    }
  }

  const uint32_t max_threads;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::shared_ptr<ExecObject>> jobs;
  std::vector<std::thread> threads;  // started as they are needed
  size_t idle = 0;
  bool stopping = false;
};

Queue::Queue(uint32_t threads) : state_(std::make_unique<State>(threads)) {}

Queue::~Queue() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->changed.notify_all();
  for (std::thread& thread : state_->threads) thread.join();
}

Status Queue::enqueue(std::shared_ptr<ExecObject> exec) {
  QAICKIT_RETURN_IF_ERROR(exec->begin());
  const std::lock_guard lock(state_->mutex);
  state_->jobs.push_back(std::move(exec));
  if (state_->jobs.size() > state_->idle && state_->threads.size() < state_->max_threads) {
    State* const state = state_.get();
    state_->threads.emplace_back([state] { state->serve(); });
  }
  state_->changed.notify_one();
  return {};
}

}  // namespace qaickit::rt
