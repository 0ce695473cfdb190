#include "device/cuda/cuda_lane.h"

#include <chrono>
#include <cstring>

#include "base/affinity.h"
#include "base/cat.h"
#include "base/keep_for_ever.h"
#include "queue/spin.h"

namespace qaickit::cuda {
namespace {

// A lane's threads spin before they sleep, since waking up costs up to 50 us; but not for long
// where CPUs are few, which they would take from those that they wait for.
constexpr uint64_t kSpinNs = 1'000'000;
constexpr uint64_t kShortSpinNs = 20'000;
constexpr size_t kManyCpus = 8;
constexpr uint64_t kParkNs = 1'000'000'000;  // bound of an idle sleep
constexpr uint64_t kStopNs = 2'000'000'000;
constexpr uint64_t kSetupNs = 600'000'000'000;  // TensorRT builds engines for minutes
constexpr auto kSetupPause = std::chrono::milliseconds(1);
// ONNX Runtime plans memory in the first run and allocates to that plan in the second.
constexpr int kWarmUpRuns = 2;

Status not_warm(const LaneState& lane) {
  return Status(Code::kTimedOut,
                cat(lane.gpu->name(), ": the first run with these shapes has not ended in ",
                    kSetupNs / 1'000'000'000, " s; the GPU may hang (see nvidia-smi)"));
}

// What follows a run that ended, well or not. Either thread of the lane.
void finish(LaneState& lane, Slot& slot, const Status& status) noexcept {
  lane.completing.fetch_add(1, std::memory_order_relaxed);
  // acquire: pairs with the release store in CudaExecObj::enqueue().
  uint64_t state = slot.state.load(std::memory_order_acquire);
  if (Slot::phase(state) == Slot::kInFlight &&
      slot.state.compare_exchange_strong(state, Slot::with_phase(state, Slot::kEnding),
                                         std::memory_order_acq_rel)) {
    if (status.ok()) slot.copy_to_targets();
    Completion& completion = *slot.completion;
    // release: pairs with the acquire loads in CudaExecObj; nothing of the slot is used after it.
    slot.state.store(Slot::with_phase(state, Slot::kIdle), std::memory_order_release);
    completion.complete(status);
    // release: pairs with the acquire load in Lane::~Lane().
    lane.completing.fetch_sub(1, std::memory_order_release);
    return;
  }
  lane.completing.fetch_sub(1, std::memory_order_release);
  {
    const std::lock_guard lock(lane.mutex);
    slot.state.store(Slot::with_phase(state, Slot::kIdle), std::memory_order_release);
    if (slot.orphaned) lane.free.push_back(&slot);  // which has room for all slots
  }
  lane.ended.notify_all();
}

Status start(LaneState& lane, Slot& slot) noexcept {
  Gpu& gpu = *lane.gpu;
  CUDA_RETURN_IF_ERROR(gpu, cudaStreamWaitEvent, lane.compute, slot.copied_in, 0);
  // acquire: pairs with the exchange in CudaExecObj::cancel().
  const bool wanted = Slot::phase(slot.state.load(std::memory_order_acquire)) == Slot::kInFlight;
  if (wanted) QAICKIT_RETURN_IF_ERROR(gpu.failure(slot.run(slot.set)));
  CUDA_RETURN_IF_ERROR(gpu, cudaEventRecord, slot.computed, lane.compute);
  CUDA_RETURN_IF_ERROR(gpu, cudaStreamWaitEvent, lane.copy_out, slot.computed, 0);
  if (wanted) QAICKIT_RETURN_IF_ERROR(slot.copy_out(lane.copy_out));
  CUDA_RETURN_IF_ERROR(gpu, cudaEventRecord, slot.done, lane.copy_out);
  return {};
}

Status warm_up(LaneState& lane, Slot& slot) noexcept {
  QAICKIT_ASSIGN_OR_RETURN(const auto lock, lock_setup());
  Gpu& gpu = *lane.gpu;
  QAICKIT_RETURN_IF_ERROR(slot.clear_device(lane.compute));
  for (int i = 0; i < kWarmUpRuns; ++i) {
    QAICKIT_RETURN_IF_ERROR(gpu.failure(slot.run(slot.set)));
  }
  CUDA_RETURN_IF_ERROR(gpu, cudaStreamSynchronize, lane.compute);
  return {};
}

// After a failure: what was started of the run ends before the caller has his memory back.
void drain(const LaneState& lane) noexcept {
  for (const CudaStream stream : {lane.copy_in, lane.compute, lane.copy_out}) {
    (void)lane.gpu->cuda.cudaStreamSynchronize(stream);
  }
}

void submit_all(LaneState& lane) noexcept {
  const CurrentGpu current(*lane.gpu);
  // A replay of a graph waits for the stream, and another program's lane may be capturing.
  const WhileOthersCapture waits(*lane.gpu);
  for (;;) {
    Slot* slot = nullptr;
    if (!lane.submitted.try_pop(slot)) {
      // acquire: pairs with the release store in Lane::~Lane(), before which nobody submits.
      if (lane.stopping.load(std::memory_order_acquire)) break;
      lane.work.await(
          [&] { return !lane.submitted.empty() || lane.stopping.load(std::memory_order_acquire); },
          kParkNs, lane.spin_ns);
      continue;
    }
    if (slot->warming.load(std::memory_order_relaxed)) {
      slot->warmed_up = warm_up(lane, *slot);
      // release: pairs with the acquire load in Lane::prepare().
      slot->warming.store(false, std::memory_order_release);
      lane.ended.notify_all();
    } else if (const Status status = start(lane, *slot); !status.ok()) {
      drain(lane);
      finish(lane, *slot, status);
    } else {
      (void)lane.running.try_push(slot);
      lane.started.notify_one();
    }
  }
  // release: pairs with the acquire load in complete_all().
  lane.submitter_left.store(true, std::memory_order_release);
  lane.started.notify_all();
}

void complete_all(LaneState& lane) noexcept {
  Gpu& gpu = *lane.gpu;
  const CurrentGpu current(gpu);
  const WhileOthersCapture waits(gpu);
  for (;;) {
    // acquire: pairs with the release store in submit_all(); read first, so that a ring found
    // empty after it stays empty.
    const bool last = lane.submitter_left.load(std::memory_order_acquire);
    Slot* slot = nullptr;
    if (lane.running.try_pop(slot)) {
      int error = kErrorNotReady;
      spin_until([&] { return (error = gpu.cuda.cudaEventQuery(slot->done)) != kErrorNotReady; },
                 lane.spin_ns);
      if (error == kErrorNotReady) error = gpu.cuda.cudaEventSynchronize(slot->done);
      finish(lane, *slot, gpu.check(error, "a run (cudaEventSynchronize)"));
      continue;
    }
    if (last) break;
    lane.started.await(
        [&] {
          return !lane.running.empty() || lane.submitter_left.load(std::memory_order_acquire);
        },
        kParkNs, lane.spin_ns);
  }
  // release: pairs with the acquire load in Lane::~Lane().
  lane.completer_left.store(true, std::memory_order_release);
  lane.ended.notify_all();
}

}  // namespace

Result<std::unique_lock<std::mutex>> lock_setup() {
  static auto* const mutex = new std::mutex;  // threads may outlive static destruction
  std::unique_lock lock(*mutex, std::try_to_lock);
  const uint64_t start = now_ns();
  while (!lock.owns_lock()) {
    if (now_ns() - start > kSetupNs) {
      return Status(Code::kTimedOut,
                    "cuda: another program has been in its set-up for 10 minutes; the GPU may "
                    "hang (see nvidia-smi)");
    }
    std::this_thread::sleep_for(kSetupPause);
    (void)lock.try_lock();
  }
  return lock;
}

LaneState::LaneState(std::shared_ptr<Gpu> gpu)
    : gpu(std::move(gpu)), spin_ns(allowed_cpus().size() >= kManyCpus ? kSpinNs : kShortSpinNs) {}

LaneState::~LaneState() {
  const CurrentGpu current(*gpu);
  const auto lock = lock_setup();
  for (const auto& slot : slots) slot->unbind();
  loaded.session.reset();
  slots.clear();
  for (const CudaStream stream : {copy_in, compute, copy_out}) {
    if (stream) (void)gpu->cuda.cudaStreamDestroy(stream);
  }
}

Status LaneState::make_streams() {
  for (CudaStream* stream : {&copy_in, &compute, &copy_out}) {
    CUDA_RETURN_IF_ERROR(*gpu, cudaStreamCreateWithFlags, stream, kStreamNonBlocking);
  }
  return {};
}

Lane::Lane(std::shared_ptr<LaneState> state)
    : state_(std::move(state)),
      submitter_([shared = state_] { submit_all(*shared); }),
      completer_([shared = state_] { complete_all(*shared); }) {}

Lane::~Lane() {
  LaneState& lane = *state_;
  // release: pairs with the acquire load in submit_all().
  lane.stopping.store(true, std::memory_order_release);
  lane.work.notify_all();
  const auto self = std::this_thread::get_id();
  const bool inside = self == submitter_.get_id() || self == completer_.get_id();
  const bool left =
      !inside && lane.ended.await(
                     [&] { return lane.completer_left.load(std::memory_order_acquire); }, kStopNs);
  // Threads that the GPU holds are left behind, but none that is in the session's code.
  // acquire: pairs with the release in finish().
  while (!left && !inside && lane.completing.load(std::memory_order_acquire) > 0) {
    std::this_thread::yield();
  }
  for (std::thread* thread : {&submitter_, &completer_}) left ? thread->join() : thread->detach();
  // What holds a thread, or is on a GPU whose context is broken, cannot be given back.
  if ((!left && !inside) || lane.gpu->lost()) keep_for_ever(std::move(state_));
}

Slot* Lane::take_free() {
  LaneState& lane = *state_;
  const std::lock_guard lock(lane.mutex);
  if (lane.free.empty()) return nullptr;
  Slot* const slot = lane.free.back();
  lane.free.pop_back();
  slot->orphaned = false;
  return slot;
}

Result<Slot*> Lane::acquire(size_t set) {
  LaneState& lane = *state_;
  Slot* slot = take_free();
  if (slot) {
    slot->clear();
  } else {
    QAICKIT_ASSIGN_OR_RETURN(const auto setup, lock_setup());
    const CurrentGpu current(*lane.gpu);
    QAICKIT_ASSIGN_OR_RETURN(auto made, Slot::create(*lane.gpu, lane.loaded));
    const std::lock_guard lock(lane.mutex);
    if (lane.slots.size() == LaneState::kMaxSlots) {
      return Status(Code::kResourceExhausted,
                    cat(lane.gpu->name(), ": a program has ", LaneState::kMaxSlots,
                        " ExecObjs at most; use fewer activations or a smaller set_size"));
    }
    lane.free.reserve(lane.slots.size() + 1);
    lane.slots.push_back(std::move(made));
    slot = lane.slots.back().get();
  }
  if (const Status status = prepare(*slot, set); !status.ok()) {
    give_back(*slot);
    return status;
  }
  return slot;
}

Status Lane::prepare(Slot& slot, size_t set) {
  LaneState& lane = *state_;
  if (slot.warming.load(std::memory_order_acquire)) return not_warm(lane);
  if (slot.is_bound(set)) return {};
  const int graph_id = [&] {
    const std::lock_guard lock(lane.mutex);
    return ++lane.graphs_made;
  }();
  {
    const CurrentGpu current(*lane.gpu);
    QAICKIT_RETURN_IF_ERROR(slot.bind(set, graph_id));
  }
  slot.set = set;
  slot.warming.store(true, std::memory_order_relaxed);
  submit(slot);
  // acquire: pairs with the release store in submit_all().
  const auto warm = [&] { return !slot.warming.load(std::memory_order_acquire); };
  if (!lane.ended.await(warm, kSetupNs)) return not_warm(lane);
  if (!slot.warmed_up.ok()) slot.unbind(set);
  return slot.warmed_up;
}

void Lane::give_back(Slot& slot) noexcept {
  LaneState& lane = *state_;
  const std::lock_guard lock(lane.mutex);
  slot.orphaned = true;
  const bool idle = Slot::phase(slot.state.load(std::memory_order_acquire)) == Slot::kIdle;
  if (idle && !slot.warming.load(std::memory_order_acquire)) {
    lane.free.push_back(&slot);  // which has room for all slots
  }
}

void Lane::submit(Slot& slot) noexcept {
  (void)state_->submitted.try_push(&slot);
  state_->work.notify_one();
}

bool Lane::await_idle(const Slot& slot, uint64_t timeout_ns) noexcept {
  return state_->ended.await(
      [&] { return Slot::phase(slot.state.load(std::memory_order_acquire)) == Slot::kIdle; },
      timeout_ns);
}

}  // namespace qaickit::cuda
