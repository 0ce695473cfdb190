#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>

#include "base/cat.h"
#include "base/clock.h"
#include "rt/program.h"
#include "rt/runs.h"
#include "rt/sharing.h"
#include "rt/waiting.h"

namespace qaickit::rt {
namespace {

using Dims = ExecObject::Dims;
using Data = ExecObject::Data;

bool is_skipped(const Data& data) noexcept { return data.buffer.size == 0; }

// Whether what is given says which shape is meant.
bool tells_shape(const Data& data) noexcept { return !is_skipped(data) && !data.starts; }

Status check_slice(const TensorSpec& tensor, std::span<const int64_t> part, const Data& whole) {
  const Dims& dims = *whole.dims;
  const Dims& starts = *whole.starts;
  bool inside = dims.size() == part.size() && starts.size() == part.size();
  for (size_t d = 0; inside && d < part.size(); ++d) {
    inside = starts[d] >= 0 && starts[d] <= dims[d] && part[d] <= dims[d] - starts[d];
  }
  const auto bytes = checked_bytes(dims, dtype_bytes(tensor.dtype));
  if (inside && bytes.ok() && *bytes == whole.buffer.size) return {};
  return Status(Code::kInvalidArgument,
                cat("'", tensor.name, "' ", dims_to_string(part), " at ", dims_to_string(starts),
                    " does not lie in the array ", dims_to_string(dims), " of ", whole.buffer.size,
                    " bytes"));
}

// Visits each row of a part of an array: (bytes into the whole, bytes into the part, bytes).
template <class Visit>
void for_each_row(std::span<const int64_t> part, const Data& whole, size_t element, Visit visit) {
  const size_t rank = part.size();
  const size_t row = (rank == 0 ? 1 : static_cast<size_t>(part.back())) * element;
  size_t rows = 1;
  for (size_t d = 0; d + 1 < rank; ++d) rows *= static_cast<size_t>(part[d]);
  for (size_t r = 0; r < rows && row > 0; ++r) {
    size_t rest = r;
    size_t stride = element;
    size_t at = 0;
    for (size_t d = rank; d-- > 0;) {
      size_t index = static_cast<size_t>((*whole.starts)[d]);
      if (d + 1 < rank) {
        index += rest % static_cast<size_t>(part[d]);
        rest /= static_cast<size_t>(part[d]);
      }
      at += index * stride;
      stride *= static_cast<size_t>((*whole.dims)[d]);
    }
    visit(at, r * row, row);
  }
}

// Clients give a scalar one dim of 1.
bool same_dims(const Dims& given, std::span<const int64_t> wanted) noexcept {
  return std::ranges::equal(given, wanted) || (wanted.empty() && given == Dims{1});
}

// Which bindings must fit how.
enum class Fit { kAll, kLargeOutputs, kPartial };

bool fits(const ProgramSpec& spec, size_t set, const std::vector<Data>& data, Fit fit) noexcept {
  // With one set there is nothing to pick, and memory in any shape of the right size will do.
  const bool by_dims = spec.num_shape_sets() > 1;
  for (size_t t = 0; t < data.size(); ++t) {
    if (!tells_shape(data[t])) continue;
    const bool is_input = t < spec.inputs.size();
    const size_t wanted = spec.bytes(set, t);
    const size_t given = data[t].buffer.size;
    if (fit == Fit::kPartial) {
      if (given < wanted && (!is_input || spec.tensor(t).partial)) continue;
      if (given > wanted && !is_input) continue;
    }
    if (by_dims && data[t].dims) {
      if (!same_dims(*data[t].dims, spec.dims(set, t))) return false;
      // Memory of the largest shape does for an output.
      if (given == wanted || (!is_input && given > wanted)) continue;
      return false;
    }
    if (given == wanted || (fit == Fit::kLargeOutputs && !is_input && given > wanted)) continue;
    return false;
  }
  return true;
}

std::string describe(const ProgramSpec& spec, const std::vector<Data>& data) {
  std::string text;
  for (size_t t = 0; t < data.size(); ++t) {
    text += cat(t == 0 ? "" : ", ", spec.tensor(t).name, " ");
    if (is_skipped(data[t])) {
      text += "skipped";
    } else if (data[t].dims) {
      text += dims_to_string(*data[t].dims);
    } else {
      text += cat(data[t].buffer.size, " bytes");
    }
  }
  return text;
}

Status no_match(const ProgramSpec& spec, const std::vector<Data>& data) {
  constexpr size_t kListedSets = 16;
  std::string text =
      cat("No matching dimension found: got ", describe(spec, data), "; allowed are ");
  for (size_t set = 0; set < std::min(spec.num_shape_sets(), kListedSets); ++set) {
    text += set == 0 ? "" : "; or ";
    for (size_t t = 0; t < spec.num_tensors(); ++t) {
      text += cat(t == 0 ? "" : ", ", spec.tensor(t).name, " ", dims_to_string(spec.dims(set, t)),
                  " (", spec.bytes(set, t), " bytes)");
    }
  }
  if (spec.num_shape_sets() > kListedSets) text += "; and more";
  return Status(Code::kInvalidArgument, std::move(text));
}

Result<size_t> match(const ProgramSpec& spec, const std::vector<Data>& data) {
  for (const Fit fit : {Fit::kAll, Fit::kLargeOutputs, Fit::kPartial}) {
    for (size_t set = 0; set < spec.num_shape_sets(); ++set) {
      if (fits(spec, set, data, fit)) return set;
    }
  }
  return no_match(spec, data);
}

void copy_bytes(std::byte* to, const std::byte* from, size_t bytes) noexcept {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

// One run of an asynchronous device.
class Waiter final : public Completion {
 public:
  void complete(const Status& status) noexcept override {
    // Notified under the lock: the waiter destroys this as soon as it has it.
    const std::lock_guard lock(mutex_);
    status_ = status;
    done_ = true;
    changed_.notify_all();
  }
  Status wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done_; });
    return status_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
  Status status_;
};

// Lets go of a device's object before what it is of.
class Release {
 public:
  explicit Release(std::shared_ptr<qaickit::ExecObj>* exec) : exec_(exec) {}
  ~Release() { exec_->reset(); }
  Release(const Release&) = delete;
  Release& operator=(const Release&) = delete;

 private:
  std::shared_ptr<qaickit::ExecObj>* const exec_;
};

}  // namespace

struct ExecObject::State {
  enum class Phase { kNew, kRunning, kDone };

  ~State() {
    if (const auto live = active.lock()) live->drop(made.lock());
  }

  std::shared_ptr<Program> program;
  std::shared_ptr<Program::State> program_state;
  uint32_t activation = 0;
  // Gone: the program was deactivated.
  std::weak_ptr<Active> active;
  std::weak_ptr<qaickit::ExecObj> made;
  uint32_t id = 0;

  mutable std::mutex mutex;
  std::condition_variable changed;
  Phase phase = Phase::kNew;
  Status status;               // of the last run
  std::vector<Data> data;      // of the next run; the run's own while it goes on
  std::vector<Buffer> result;  // see ExecObject::data
  uint64_t data_version = 0;
  RunTimes ended;  // of the last run
  // Of the run in progress, and its own while it goes on.
  std::shared_ptr<qaickit::ExecObj> exec;
  RunTimes times;

  const ProgramSpec& spec() const noexcept { return program->spec(); }

  // Makes the device's object anew, of the program as it is active now.
  Status attach();
  Status compute();
  Status bind(const Active& active, size_t set, size_t t, std::vector<bool>* kept);
  void finish(const Active& active, size_t set, const std::vector<bool>& kept);
  void hand_out_slice(size_t set, size_t t) noexcept;
  // The program's memory for tensor t, if it keeps that; its part in the next run.
  static std::byte* kept_memory(const Active& active, size_t t) noexcept;
  std::span<std::byte> own(size_t t) const noexcept {
    const size_t inputs = spec().inputs.size();
    return t < inputs ? exec->input(t) : exec->output(t - inputs);
  }
  Status bind_to(size_t t, void* memory) const noexcept {
    const size_t inputs = spec().inputs.size();
    return t < inputs ? exec->bind_input(t, memory) : exec->bind_output(t - inputs, memory);
  }
};

std::byte* ExecObject::State::kept_memory(const Active& active, size_t t) noexcept {
  for (const Retained& r : active.retained) {
    if (r.pair.input == t) return const_cast<std::byte*>(r.memory[r.current].data());
    if (r.pair.output == t) return const_cast<std::byte*>(r.memory[1 - r.current].data());
  }
  return nullptr;
}

// Makes tensor t of the run point at the caller's memory where that is whole, else at the program's
// or the ExecObj's own. `kept`: whether it is the program's.
Status ExecObject::State::bind(const Active& active, size_t set, size_t t,
                               std::vector<bool>* kept) {
  const TensorSpec& tensor = spec().tensor(t);
  const bool is_input = t < spec().inputs.size();
  const size_t wanted = spec().bytes(set, t);
  const Data& given = data[t];
  if (given.starts && !is_skipped(given)) {
    const std::span<const int64_t> part = spec().dims(set, t);
    QAICKIT_RETURN_IF_ERROR(check_slice(tensor, part, given));
    // An output that the program keeps is made there, and handed out from there.
    std::byte* const memory = is_input ? nullptr : kept_memory(active, t);
    (*kept)[t] = memory != nullptr;
    QAICKIT_RETURN_IF_ERROR(bind_to(t, memory));
    if (!is_input) return {};
    std::byte* const to = own(t).data();
    for_each_row(part, given, dtype_bytes(tensor.dtype), [&](size_t at, size_t row, size_t bytes) {
      std::memcpy(to + row, given.buffer.data + at, bytes);
    });
    return {};
  }
  if (active.on_device[t] && is_skipped(given)) return exec->skip(t);
  if (wanted == 0 || is_skipped(given)) {
    std::byte* const memory = kept_memory(active, t);
    (*kept)[t] = memory != nullptr;
    if (is_input && wanted > 0 && !memory && !tensor.partial) {
      return Status(Code::kInvalidArgument, cat("input '", tensor.name, "' was not given, and is ",
                                                "neither partial nor kept by the program"));
    }
    QAICKIT_RETURN_IF_ERROR(bind_to(t, memory));
    if (is_input && !memory && wanted > 0) std::memset(own(t).data(), 0, wanted);
    return {};
  }
  const bool whole = given.buffer.size >= wanted;
  QAICKIT_RETURN_IF_ERROR(bind_to(t, whole ? given.buffer.data : nullptr));
  if (whole || !is_input) return {};
  const std::span<std::byte> to = own(t);
  copy_bytes(to.data(), given.buffer.data, given.buffer.size);
  std::memset(to.data() + given.buffer.size, 0, to.size() - given.buffer.size);
  return {};
}

// After a run that ended well: hands out what is not there already, and keeps what is to be kept.
void ExecObject::State::finish(const Active& active, size_t set, const std::vector<bool>& kept) {
  const size_t inputs = spec().inputs.size();
  for (size_t t = 0; t < data.size(); ++t) {
    const size_t wanted = spec().bytes(set, t);
    Buffer buffer = data[t].buffer;
    if (data[t].starts && !is_skipped(data[t])) {
      if (t >= inputs) hand_out_slice(set, t);
      result.push_back({});
      continue;
    }
    if (!is_skipped(data[t]) && t >= inputs) {
      if (buffer.size < wanted) copy_bytes(buffer.data, own(t).data(), buffer.size);
      std::byte* const memory = kept_memory(active, t);
      if (memory && !kept[t]) copy_bytes(memory, own(t).data(), wanted);
    }
    buffer.size = std::min(buffer.size, wanted);
    if (data[t].dims && !data[t].dims->empty()) {
      const auto bytes = checked_bytes(*data[t].dims, dtype_bytes(spec().tensor(t).dtype));
      if (bytes.ok()) buffer.size = std::min(buffer.size, *bytes);
    }
    result.push_back(std::move(buffer));
  }
}

void ExecObject::State::hand_out_slice(size_t set, size_t t) noexcept {
  const std::byte* const from = own(t).data();
  std::byte* const to = data[t].buffer.data;
  for_each_row(
      spec().dims(set, t), data[t], dtype_bytes(spec().tensor(t).dtype),
      [&](size_t at, size_t row, size_t bytes) { std::memcpy(to + at, from + row, bytes); });
}

Status ExecObject::State::attach() {
  const std::lock_guard lock(program_state->mutex);
  const std::shared_ptr<Active>& now = program_state->active;
  if (!now) return Status(Code::kFailedPrecondition, "the program is not active");
  QAICKIT_ASSIGN_OR_RETURN(auto fresh, now->activations[activation]->create_exec_obj());
  made = now->keep(std::move(fresh));
  active = now;
  return {};
}

Status ExecObject::State::compute() {
  const Turn of_group(program_state);
  QAICKIT_RETURN_IF_ERROR(of_group.status());
  std::shared_ptr<Active> live = active.lock();
  // Its program had given its cores up.
  if (!live && program_state->sharing) {
    QAICKIT_RETURN_IF_ERROR(attach());
    live = active.lock();
  }
  exec = made.lock();
  const Release before_live(&exec);
  if (!live || !exec) {
    return Status(Code::kFailedPrecondition,
                  "the program was deactivated after this exec object was made");
  }
  QAICKIT_ASSIGN_OR_RETURN(const size_t set, match(spec(), data));
  // What the program keeps is read and written by one run at a time.
  std::unique_lock<std::mutex> turn;
  if (!live->retained.empty()) turn = std::unique_lock(live->mutex);
  QAICKIT_RETURN_IF_ERROR(exec->select_shapes(set));
  std::vector<bool> kept(data.size());
  for (size_t t = 0; t < data.size(); ++t) QAICKIT_RETURN_IF_ERROR(bind(*live, set, t, &kept));
  times.gathered = now_ns();
  if (live->loaded->async()) {
    Waiter waiter;
    QAICKIT_RETURN_IF_ERROR(exec->enqueue(waiter));
    QAICKIT_RETURN_IF_ERROR(waiter.wait());
  } else {
    QAICKIT_RETURN_IF_ERROR(exec->run());
  }
  times.computed = now_ns();
  finish(*live, set, kept);
  for (Retained& r : live->retained) r.current = 1 - r.current;
  return {};
}

ExecObject::ExecObject(std::unique_ptr<State> state) : state_(std::move(state)) {}
ExecObject::~ExecObject() {
  state_->program_state->exec_objects.fetch_sub(1, std::memory_order_relaxed);
}

Result<std::shared_ptr<ExecObject>> ExecObject::create(std::shared_ptr<Program> program,
                                                       uint32_t activation) {
  QAICKIT_RETURN_IF_ERROR(program->activate());
  if (activation >= program->state_->num_activations) {
    return Status(Code::kInvalidArgument, cat("activation ", activation, " does not exist"));
  }
  auto state = std::make_unique<State>();
  state->program_state = program->state_;
  state->activation = activation;
  {
    const Turn of_group(state->program_state);
    QAICKIT_RETURN_IF_ERROR(of_group.status());
    QAICKIT_RETURN_IF_ERROR(state->attach());
  }
  state->data.resize(program->spec().num_tensors());
  state->program = std::move(program);
  Program::State& of = *state->program_state;
  static std::atomic<uint32_t> next_id{0};
  state->id = next_id.fetch_add(1, std::memory_order_relaxed);
  of.exec_objects.fetch_add(1, std::memory_order_relaxed);
  return std::shared_ptr<ExecObject>(new ExecObject(std::move(state)));
}

const std::shared_ptr<Program>& ExecObject::program() const noexcept { return state_->program; }

Status ExecObject::set_data(std::vector<Data> data) {
  QAICKIT_RETURN_IF_ERROR(state_->program->context()->check_process());
  const std::lock_guard lock(state_->mutex);
  if (state_->phase == State::Phase::kRunning) {
    return Status(Code::kFailedPrecondition, "a run of this exec object is in progress");
  }
  if (data.size() != state_->data.size()) {
    return Status(Code::kInvalidArgument, cat("expected a buffer for each of ", state_->data.size(),
                                              " bindings, got ", data.size()));
  }
  state_->data.swap(data);
  ++state_->data_version;
  return {};
}

Status ExecObject::set_data(std::vector<std::pair<uint32_t, Data>> data) {
  QAICKIT_RETURN_IF_ERROR(state_->program->context()->check_process());
  const std::lock_guard lock(state_->mutex);
  if (state_->phase == State::Phase::kRunning) {
    return Status(Code::kFailedPrecondition, "a run of this exec object is in progress");
  }
  for (const auto& [index, unused] : data) {
    if (index < state_->data.size()) continue;
    return Status(Code::kInvalidArgument,
                  cat("binding ", index, " does not exist; there are ", state_->data.size()));
  }
  for (auto& [index, value] : data) std::swap(state_->data[index], value);
  ++state_->data_version;
  return {};
}

Result<std::vector<Buffer>> ExecObject::data() const {
  QAICKIT_RETURN_IF_ERROR(state_->program->context()->check_process());
  const std::lock_guard lock(state_->mutex);
  if (state_->phase != State::Phase::kDone) {
    return Status(Code::kFailedPrecondition, "no run of this exec object has ended");
  }
  if (!state_->status.ok()) return state_->status;
  return state_->result;
}

uint32_t ExecObject::id() const noexcept { return state_->id; }

RunTimes ExecObject::times() const {
  const std::lock_guard lock(state_->mutex);
  return state_->ended;
}

uint64_t ExecObject::data_version() const {
  const std::lock_guard lock(state_->mutex);
  return state_->data_version;
}

Status ExecObject::begin() {
  QAICKIT_RETURN_IF_ERROR(state_->program->context()->check_process());
  const std::lock_guard lock(state_->mutex);
  if (state_->phase == State::Phase::kRunning) {
    return Status(Code::kFailedPrecondition, "a run of this exec object is in progress");
  }
  state_->phase = State::Phase::kRunning;
  state_->times = {};
  state_->times.enqueued = now_ns();
  state_->times.in_flight =
      state_->program_state->in_flight.fetch_add(1, std::memory_order_relaxed) + 1;
  return {};
}

Status ExecObject::execute() noexcept {
  const std::shared_ptr<ExecObject> self = shared_from_this();
  state_->result.clear();
  state_->times.started = now_ns();
  Status status = begin_run();
  if (status.ok()) {
    status = state_->compute();
    end_run();
  }
  state_->times.ended = now_ns();
  state_->program_state->in_flight.fetch_sub(1, std::memory_order_relaxed);
  if (status.ok()) {
    // Before the run is seen to have ended: what is profiled is complete then.
    state_->program_state->recordings.add({state_->times, state_->id});
  } else {
    state_->program->context()->log(LogLevel::kError, status.message());
  }
  {
    const std::lock_guard lock(state_->mutex);
    state_->status = status;
    state_->ended = status.ok() ? state_->times : RunTimes();
    state_->phase = State::Phase::kDone;
    state_->changed.notify_all();
  }
  return status;
}

Status ExecObject::run() {
  QAICKIT_RETURN_IF_ERROR(begin());
  return execute();
}

Status ExecObject::wait(const KeepWaiting& keep_waiting) {
  const Context& context = *state_->program->context();
  // As runs do with theirs.
  const auto told = [&](Status status) {
    context.log(LogLevel::kError, status.message());
    return status;
  };
  const Status here = context.check_process();
  if (!here.ok()) return told(here);
  std::unique_lock lock(state_->mutex);
  if (state_->phase == State::Phase::kNew) {
    return told(Status(Code::kFailedPrecondition, "no run of this exec object was started"));
  }
  const uint32_t bound_ms = state_->program->properties().data_path_timeout_ms;
  const Status waited =
      wait_until(state_->changed, lock, bound_of(uint64_t{bound_ms} * 1000), keep_waiting,
                 [&] { return state_->phase == State::Phase::kDone; });
  if (waited.code() == Code::kTimedOut) {
    return told(Status(Code::kTimedOut, cat("the run did not end within the ", bound_ms,
                                            " ms of the program's dataPathTimeoutMs")));
  }
  return waited.ok() ? state_->status : waited;
}

}  // namespace qaickit::rt
