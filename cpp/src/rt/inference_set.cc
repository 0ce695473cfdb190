#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>

#include "base/cat.h"
#include "qaickit/rt.h"

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
  void end(Entry& ended, const Status& status) {
    {
      const std::lock_guard lock(mutex);
      ended.handle.status = status;
      ended.phase = Phase::kCompleted;
      order.push_back(ended.handle.index);
      --running;
      changed.notify_all();
    }
  }
  Handle* take(std::vector<uint32_t>::iterator at) {
    Entry& taken = entries[*at];
    order.erase(at);
    taken.phase = Phase::kHeld;
    return &taken.handle;
  }

  std::shared_ptr<Program> program;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Entry> entries;  // handles stay where they are
  std::vector<uint32_t> free;
  std::vector<uint32_t> order;  // completed, the oldest first
  size_t running = 0;
  std::unique_ptr<Queue> queue;  // last: ends before what its runs use
};

InferenceSet::InferenceSet(std::unique_ptr<State> state) : state_(std::move(state)) {}
InferenceSet::~InferenceSet() = default;

Result<std::shared_ptr<InferenceSet>> InferenceSet::create(
    std::shared_ptr<Context> context, std::shared_ptr<const Qpc> qpc, std::optional<int> device,
    uint32_t set_size, uint32_t num_activations, ProgramProperties properties) {
  const uint64_t handles = uint64_t{set_size} * num_activations;
  if (handles == 0 || handles > kMaxHandles) {
    return Status(Code::kInvalidArgument, cat("setSize ", set_size, " times numActivations ",
                                              num_activations, " must be from 1 to ", kMaxHandles));
  }
  auto state = std::make_unique<State>();
  QAICKIT_ASSIGN_OR_RETURN(state->program,
                           Program::create(std::move(context), device, std::move(qpc),
                                           std::move(properties), num_activations));
  QAICKIT_RETURN_IF_ERROR(state->program->activate());
  const ProgramSpec& spec = state->program->spec();
  State* const raw = state.get();
  for (uint32_t h = 0; h < handles; ++h) {
    State::Entry& entry = state->entries.emplace_back();
    entry.handle.index = h;
    entry.handle.data.resize(spec.num_tensors());
    QAICKIT_ASSIGN_OR_RETURN(entry.handle.exec,
                             ExecObject::create(state->program, h % num_activations));
    for (const TensorSpec& output : spec.outputs) {
      entry.handle.outputs.push_back(Buffer::allocate(output.bytes()));
    }
    entry.handle.exec->on_done = [raw, &entry](const Status& status) { raw->end(entry, status); };
    state->free.push_back(h);
  }
  // A synchronous device computes on the thread that calls it: one for each activation.
  state->queue = std::make_unique<Queue>(state->program->async() ? static_cast<uint32_t>(handles)
                                                                 : num_activations);
  return std::shared_ptr<InferenceSet>(new InferenceSet(std::move(state)));
}

const ProgramSpec& InferenceSet::spec() const noexcept { return state_->program->spec(); }

InferenceSet::Handle* InferenceSet::available(uint64_t timeout_us) {
  std::unique_lock lock(state_->mutex);
  const auto any = [&] { return !state_->free.empty(); };
  if (timeout_us == 0) {
    state_->changed.wait(lock, any);
  } else if (!state_->changed.wait_for(lock, std::chrono::microseconds(timeout_us), any)) {
    return nullptr;
  }
  State::Entry& entry = state_->entries[state_->free.back()];
  state_->free.pop_back();
  entry.phase = State::Phase::kHeld;
  return &entry.handle;
}

Status InferenceSet::submit(Handle* handle, uint64_t id) {
  State::Entry& entry = state_->entry(*handle);
  {
    const std::lock_guard lock(state_->mutex);
    if (entry.phase != State::Phase::kHeld) {
      return Status(Code::kFailedPrecondition, "the handle is not the caller's to submit");
    }
    entry.phase = State::Phase::kRunning;
    handle->id = id;
    ++state_->running;
  }
  // Outputs without memory are made in the handle's own.
  std::vector<ExecObject::Data> data = handle->data;
  const size_t inputs = spec().inputs.size();
  for (size_t o = 0; o < handle->outputs.size(); ++o) {
    if (data[inputs + o].buffer.size == 0) data[inputs + o] = {handle->outputs[o], std::nullopt};
  }
  Status status = handle->exec->set_data(std::move(data));
  if (status.ok()) status = state_->queue->enqueue(handle->exec);
  if (!status.ok()) {
    const std::lock_guard lock(state_->mutex);
    entry.phase = State::Phase::kHeld;
    --state_->running;
    state_->changed.notify_all();
  }
  return status;
}

InferenceSet::Handle* InferenceSet::completed() {
  std::unique_lock lock(state_->mutex);
  state_->changed.wait(lock, [&] { return !state_->order.empty() || state_->running == 0; });
  return state_->order.empty() ? nullptr : state_->take(state_->order.begin());
}

InferenceSet::Handle* InferenceSet::completed_id(uint64_t id) {
  std::unique_lock lock(state_->mutex);
  auto found = state_->order.end();
  state_->changed.wait(lock, [&] {
    found = std::ranges::find_if(
        state_->order, [&](uint32_t index) { return state_->entries[index].handle.id == id; });
    return found != state_->order.end();
  });
  return state_->take(found);
}

Status InferenceSet::put_back(Handle* handle) {
  const std::lock_guard lock(state_->mutex);
  State::Entry& entry = state_->entry(*handle);
  if (entry.phase != State::Phase::kHeld) {
    return Status(Code::kFailedPrecondition, "the handle is not the caller's to put back");
  }
  entry.phase = State::Phase::kFree;
  state_->free.push_back(handle->index);
  state_->changed.notify_all();
  return {};
}

void InferenceSet::wait_all() {
  std::unique_lock lock(state_->mutex);
  state_->changed.wait(lock, [&] { return state_->running == 0; });
}

}  // namespace qaickit::rt
