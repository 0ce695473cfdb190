#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "base/cat.h"
#include "qaickit/rt.h"

namespace qaickit::rt {

Result<uint32_t> QueueProperties::threads() const {
  if (properties != kSingleThreaded && properties != kMultiThreaded) {
    return Status(Code::kInvalidArgument,
                  cat("properties of a queue: expected ", kSingleThreaded, " (one thread) or ",
                      kMultiThreaded, " (several), got ", properties));
  }
  if (num_threads == 0 || num_threads > kMaxThreads) {
    return Status(Code::kInvalidArgument,
                  cat("numThreadsPerQueue: expected 1 to ", kMaxThreads, ", got ", num_threads));
  }
  return properties == kSingleThreaded ? 1 : num_threads;
}

struct Queue::State {
  explicit State(uint32_t threads) : max_threads(std::max<uint32_t>(threads, 1)) {}

  struct Job {
    std::shared_ptr<ExecObject> exec;
    std::function<void(const Status&)> done;
  };

  void serve() {
    std::unique_lock lock(mutex);
    for (;;) {
      ++idle;
      changed.wait(lock, [&] { return stopping || !jobs.empty(); });
      --idle;
      if (jobs.empty()) return;
      Job job = std::move(jobs.front());
      jobs.pop_front();
      lock.unlock();
      run(std::move(job));
      lock.lock();
    }
  }
  // The job is gone, with what it kept, when this returns.
  static void run(Job job) {
    const Status status = job.exec->execute();
    if (job.done) job.done(status);
  }

  const uint32_t max_threads;
  std::shared_ptr<Context> context;  // null: of any context, and device
  int device = 0;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Job> jobs;
  std::vector<std::thread> threads;  // started as they are needed
  size_t idle = 0;
  bool stopping = false;
};

Queue::Queue(uint32_t threads) : state_(std::make_unique<State>(threads)) {}

Result<std::shared_ptr<Queue>> Queue::create(std::shared_ptr<Context> context, int device,
                                             const QueueProperties& properties) {
  QAICKIT_ASSIGN_OR_RETURN(const uint32_t threads, properties.threads());
  QAICKIT_RETURN_IF_ERROR(context->device(device).status());
  auto queue = std::make_shared<Queue>(threads);
  queue->state_->context = std::move(context);
  queue->state_->device = device;
  return queue;
}

Queue::~Queue() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->changed.notify_all();
  for (std::thread& thread : state_->threads) thread.join();
}

Status Queue::enqueue(std::shared_ptr<ExecObject> exec, std::function<void(const Status&)> done) {
  const Program& program = *exec->program();
  if (state_->context && program.context() != state_->context) {
    return Status(Code::kInvalidArgument, "the exec object's program is of another context");
  }
  if (state_->context && !program.runs_on(state_->device)) {
    return Status(Code::kInvalidArgument,
                  cat("the queue is of device ", state_->device,
                      ", and the exec object's program runs on another one"));
  }
  QAICKIT_RETURN_IF_ERROR(exec->begin());
  const std::lock_guard lock(state_->mutex);
  state_->jobs.push_back({std::move(exec), std::move(done)});
  if (state_->jobs.size() > state_->idle && state_->threads.size() < state_->max_threads) {
    State* const state = state_.get();
    state_->threads.emplace_back([state] { state->serve(); });
  }
  state_->changed.notify_one();
  return {};
}

}  // namespace qaickit::rt
