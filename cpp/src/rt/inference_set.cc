#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>

#include "base/cat.h"
#include "qaickit/rt.h"
#include "rt/waiting.h"

namespace qaickit::rt {
namespace {

constexpr uint32_t kMaxHandles = 4096;

}  // namespace

struct InferenceSet::State {
  enum class Phase { kFree, kHeld, kRunning, kCompleted };
  struct Entry {
    Handle handle;
    Phase phase = Phase::kFree;
  };

  Entry& entry(const Handle& handle) { return entries[handle.index]; }
  Status check_held(const Handle& handle, std::string_view what_for) {
    if (entry(handle).phase == Phase::kHeld) return {};
    return Status(Code::kFailedPrecondition,
                  cat("the handle is not the caller's to ", what_for,
                      ": it is running, completed and not taken, or was put back"));
  }
  // What it is run with.
  static std::vector<ExecObject::Data> complete(const Handle& handle) {
    std::vector<ExecObject::Data> data = handle.data;
    const size_t inputs = data.size() - handle.outputs.size();
    for (size_t o = 0; o < handle.outputs.size(); ++o) {
      if (data[inputs + o].buffer.size == 0) data[inputs + o] = {handle.outputs[o], std::nullopt};
    }
    return data;
  }
  void end(Entry& ended, const Status& status) {
    if (status.ok()) hand_out_copies(ended.handle);
    {
      const std::lock_guard lock(mutex);
      ended.handle.status = status;
      ended.phase = Phase::kCompleted;
      order.push_back(ended.handle.index);
      --running;
      changed.notify_all();
    }
  }
  void hand_out_copies(const Handle& handle) const {
    if (handle.copies.empty()) return;
    const auto made = handle.exec->data();
    if (!made.ok()) return;
    const size_t inputs = made->size() - handle.copies.size();
    for (size_t o = 0; o < handle.copies.size(); ++o) {
      const Buffer& from = (*made)[inputs + o];
      const Buffer& to = handle.copies[o];
      const size_t bytes = std::min(from.size, to.size);
      if (bytes > 0) std::memcpy(to.data, from.data, bytes);
    }
  }
  Handle* take(std::vector<uint32_t>::iterator at) {
    Entry& taken = entries[*at];
    order.erase(at);
    taken.phase = Phase::kHeld;
    return &taken.handle;
  }

  std::shared_ptr<Program> program;
  std::string name;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Entry> entries;  // handles stay where they are
  std::vector<uint32_t> free;
  std::vector<uint32_t> order;  // completed, the oldest first
  size_t running = 0;
  std::shared_ptr<Profiler> profiler;
  std::unique_ptr<Queue> queue;  // last: ends before what its runs use
};

InferenceSet::InferenceSet(std::unique_ptr<State> state) : state_(std::move(state)) {}
InferenceSet::~InferenceSet() {
  state_->queue.reset();
  if (!state_->profiler) return;
  const Status status = state_->profiler->stop();
  if (!status.ok()) context()->log(LogLevel::kError, status.message());
}

Result<std::shared_ptr<InferenceSet>> InferenceSet::create(
    std::shared_ptr<Context> context, std::shared_ptr<const Qpc> qpc, std::optional<int> device,
    uint32_t set_size, uint32_t num_activations, SetProperties properties) {
  const uint64_t handles = uint64_t{set_size} * num_activations;
  if (handles == 0 || handles > kMaxHandles) {
    return Status(Code::kInvalidArgument, cat("setSize ", set_size, " times numActivations ",
                                              num_activations, " must be from 1 to ", kMaxHandles));
  }
  // A synchronous device computes on the thread that calls it.
  uint32_t threads = 1;
  if (properties.queue) {
    QAICKIT_ASSIGN_OR_RETURN(threads, properties.queue->threads());
    properties.program.threads_per_queue = threads;
  }
  auto state = std::make_unique<State>();
  state->name = std::move(properties.name);
  QAICKIT_ASSIGN_OR_RETURN(state->program,
                           Program::create(std::move(context), device, std::move(qpc),
                                           std::move(properties.program), num_activations));
  QAICKIT_RETURN_IF_ERROR(state->program->activate());
  const ProgramSpec& spec = state->program->spec();
  for (uint32_t h = 0; h < handles; ++h) {
    State::Entry& entry = state->entries.emplace_back();
    entry.handle.index = h;
    entry.handle.data.resize(spec.num_tensors());
    QAICKIT_ASSIGN_OR_RETURN(entry.handle.exec,
                             ExecObject::create(state->program, h % num_activations));
    for (const TensorSpec& output : spec.outputs) {
      entry.handle.outputs.push_back(Buffer::allocate(output.bytes()));
    }
    state->free.push_back(h);
  }
  const uint32_t each = state->program->async() ? set_size : std::min(threads, set_size);
  state->queue = std::make_unique<Queue>(each * num_activations);
  return std::shared_ptr<InferenceSet>(new InferenceSet(std::move(state)));
}

Status InferenceSet::profile() {
  State& s = *state_;
  QAICKIT_ASSIGN_OR_RETURN(auto profiler,
                           Profiler::create({s.program}, ProfileType::kLatency,
                                            s.name.empty() ? "aic-profiling" : s.name, "."));
  QAICKIT_RETURN_IF_ERROR(profiler->start());
  const std::lock_guard lock(s.mutex);
  s.profiler = std::move(profiler);
  return {};
}

const std::shared_ptr<Context>& InferenceSet::context() const noexcept {
  return state_->program->context();
}

const ProgramSpec& InferenceSet::spec() const noexcept { return state_->program->spec(); }

Result<InferenceSet::Handle*> InferenceSet::available(uint64_t timeout_us,
                                                      const KeepWaiting& keep_waiting) {
  QAICKIT_RETURN_IF_ERROR(context()->check_process());
  std::unique_lock lock(state_->mutex);
  QAICKIT_RETURN_IF_ERROR(wait_until(state_->changed, lock, bound_of(timeout_us), keep_waiting,
                                     [&] { return !state_->free.empty(); }));
  State::Entry& entry = state_->entries[state_->free.back()];
  state_->free.pop_back();
  entry.phase = State::Phase::kHeld;
  return &entry.handle;
}

Status InferenceSet::set_data(Handle* handle, std::vector<ExecObject::Data> data,
                              std::vector<Buffer> copies) {
  // Swapped, so that what was there goes after the lock: it may belong to Python.
  const std::lock_guard lock(state_->mutex);
  QAICKIT_RETURN_IF_ERROR(state_->check_held(*handle, "set data of"));
  handle->data.swap(data);
  handle->copies.swap(copies);
  return {};
}

std::vector<Buffer> InferenceSet::buffers(const Handle& handle) const {
  auto made = handle.exec->data();
  if (made.ok()) return std::move(made).value();
  std::vector<Buffer> given;
  const std::lock_guard lock(state_->mutex);
  for (const ExecObject::Data& data : state_->complete(handle)) given.push_back(data.buffer);
  return given;
}

Status InferenceSet::submit(Handle* handle, uint64_t id) {
  QAICKIT_RETURN_IF_ERROR(context()->check_process());
  State::Entry& entry = state_->entry(*handle);
  std::vector<ExecObject::Data> data;
  {
    const std::lock_guard lock(state_->mutex);
    QAICKIT_RETURN_IF_ERROR(state_->check_held(*handle, "submit"));
    data = state_->complete(*handle);
    entry.phase = State::Phase::kRunning;
    handle->id = id;
    ++state_->running;
  }
  Status status = handle->exec->set_data(std::move(data));
  if (status.ok()) {
    status = state_->queue->enqueue(
        handle->exec, [state = state_.get(), &entry](const Status& s) { state->end(entry, s); });
  }
  if (!status.ok()) {
    const std::lock_guard lock(state_->mutex);
    entry.phase = State::Phase::kHeld;
    --state_->running;
    state_->changed.notify_all();
  }
  return status;
}

Result<InferenceSet::Handle*> InferenceSet::completed(const KeepWaiting& keep_waiting) {
  QAICKIT_RETURN_IF_ERROR(context()->check_process());
  std::unique_lock lock(state_->mutex);
  QAICKIT_RETURN_IF_ERROR(wait_until(state_->changed, lock, std::nullopt, keep_waiting, [&] {
    return !state_->order.empty() || state_->running == 0;
  }));
  return state_->order.empty() ? nullptr : state_->take(state_->order.begin());
}

Result<InferenceSet::Handle*> InferenceSet::completed_id(uint64_t id,
                                                         const KeepWaiting& keep_waiting) {
  QAICKIT_RETURN_IF_ERROR(context()->check_process());
  std::unique_lock lock(state_->mutex);
  auto found = state_->order.end();
  QAICKIT_RETURN_IF_ERROR(wait_until(state_->changed, lock, std::nullopt, keep_waiting, [&] {
    found = std::ranges::find_if(
        state_->order, [&](uint32_t index) { return state_->entries[index].handle.id == id; });
    return found != state_->order.end();
  }));
  return state_->take(found);
}

Status InferenceSet::put_back(Handle* handle) {
  const std::lock_guard lock(state_->mutex);
  State::Entry& entry = state_->entry(*handle);
  QAICKIT_RETURN_IF_ERROR(state_->check_held(*handle, "put back"));
  entry.phase = State::Phase::kFree;
  state_->free.push_back(handle->index);
  state_->changed.notify_all();
  return {};
}

Status InferenceSet::wait_all(const KeepWaiting& keep_waiting) {
  QAICKIT_RETURN_IF_ERROR(context()->check_process());
  std::unique_lock lock(state_->mutex);
  QAICKIT_RETURN_IF_ERROR(wait_until(state_->changed, lock, std::nullopt, keep_waiting,
                                     [&] { return state_->running == 0; }));
  const std::shared_ptr<Profiler> profiler = state_->profiler;
  lock.unlock();
  return profiler ? profiler->write() : Status();
}

}  // namespace qaickit::rt
