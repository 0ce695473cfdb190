#include "device/cuda/cuda_exec_obj.h"

#include <cstring>

#include "base/cat.h"
#include "queue/spin.h"

namespace qaickit::cuda {
namespace {

// For a run that was given up, before the next of the same ExecObj.
constexpr uint64_t kGivenUpNs = 1'000'000'000;
// For the lane to copy a run's outputs.
constexpr uint64_t kEndingNs = 1'000'000'000;
// For copies from the caller's memory. No kernel holds them up, so only a GPU that is dead takes as
// long; and then every ExecObj that is given up does.
constexpr uint64_t kCopyNs = 1'000'000'000;

class CudaExecObj final : public ExecObj {
 public:
  static Result<std::unique_ptr<ExecObj>> create(std::shared_ptr<Lane> lane) {
    const size_t set = lane->state().loaded.qpc->program().default_shape_set();
    QAICKIT_ASSIGN_OR_RETURN(Slot * slot, lane->acquire(set));
    return std::unique_ptr<ExecObj>(new CudaExecObj(std::move(lane), *slot, set));
  }

  ~CudaExecObj() override {
    // In flight only where nobody waits for it any more.
    uint64_t state = slot_.state.load(std::memory_order_acquire);
    if (Slot::phase(state) == Slot::kInFlight) {
      if (slot_.state.compare_exchange_strong(state, Slot::with_phase(state, Slot::kRetired),
                                              std::memory_order_acq_rel)) {
        await_copies();
      }
    }
    spin_until(
        [&] { return Slot::phase(slot_.state.load(std::memory_order_acquire)) != Slot::kEnding; },
        kEndingNs);
    lane_->give_back(slot_);
  }

  Status bind_input(size_t i, const void* data) noexcept override {
    Buffer& buffer = inputs_[i];
    auto* const target = static_cast<std::byte*>(const_cast<void*>(data));
    buffer.bound = target ? target : buffer.own;
    // Each time: other memory may lie at the same address now.
    pinned_[i] = buffer.bound == buffer.own || (!slot_.on_host(i) && is_pinned(buffer));
    return {};
  }
  Status bind_output(size_t i, void* data) noexcept override {
    Buffer& buffer = outputs_[i];
    buffer.bound = data ? static_cast<std::byte*>(data) : buffer.own;
    return {};
  }

  Status run() noexcept override {
    return Status(Code::kUnsupported, "cuda: an asynchronous device only enqueues");
  }

  Status enqueue(Completion& done) noexcept override {
    if (gpu_.lost()) return gpu_.lost_status();
    QAICKIT_RETURN_IF_ERROR(await_earlier_run());
    if (const Status status = copy_in(); !status.ok()) {
      // Those of the inputs before it may be under way.
      const WhileOthersCapture waits(gpu_);
      (void)gpu_.cuda.cudaStreamSynchronize(lane_->state().copy_in);
      return status;
    }
    slot_.completion = &done;
    slot_.set = shape_set_;
    for (size_t i = 0; i < outputs_.size(); ++i) {
      const Buffer& b = outputs_[i];
      slot_.targets[i] = {b.bound == b.own ? nullptr : b.bound, b.bytes};
    }
    // The number of the run goes up: a late look at an earlier one must not take it for this.
    const uint64_t before = slot_.state.load(std::memory_order_relaxed);
    // release: pairs with the acquire load in finish().
    slot_.state.store(Slot::with_phase(before, Slot::kInFlight) + Slot::kPhases,
                      std::memory_order_release);
    lane_->submit(slot_);
    return {};
  }

  void cancel() noexcept override {
    uint64_t state = slot_.state.load(std::memory_order_acquire);
    if (Slot::phase(state) != Slot::kInFlight) return;
    // acq_rel: pairs with the loads in finish() and start().
    if (!slot_.state.compare_exchange_strong(state, Slot::with_phase(state, Slot::kRetired),
                                             std::memory_order_acq_rel)) {
      return;  // it has ended
    }
    await_copies();
    // From here to complete() nobody else can use this object: its run has not been answered.
    slot_.completion->complete(
        Status(Code::kCancelled, cat(gpu_.name(), ": the run was given up")));
  }

  bool lost() const noexcept override { return gpu_.lost(); }

  Status change_shapes(size_t set) noexcept override {
    if (set >= program_.num_shape_sets()) {
      return Status(Code::kInvalidArgument, cat("shape set ", set, " does not exist; there are ",
                                                program_.num_shape_sets()));
    }
    QAICKIT_RETURN_IF_ERROR(await_earlier_run());
    QAICKIT_RETURN_IF_ERROR(lane_->prepare(slot_, set));
    resize(set);
    return {};
  }

 private:
  CudaExecObj(std::shared_ptr<Lane> lane, Slot& slot, size_t set)
      : lane_(std::move(lane)),
        gpu_(*lane_->state().gpu),
        program_(lane_->state().loaded.qpc->program()),
        slot_(slot),
        pinned_(program_.inputs.size(), true) {
    inputs_.resize(program_.inputs.size());
    outputs_.resize(program_.outputs.size());
    resize(set);
  }

  // Also takes back what was bound.
  void resize(size_t set) noexcept {
    size_t t = 0;
    for (std::vector<Buffer>* side : {&inputs_, &outputs_}) {
      for (Buffer& buffer : *side) {
        buffer.own = buffer.bound = slot_.host(t);
        buffer.bytes = program_.bytes(set, t++);
      }
    }
    pinned_.assign(pinned_.size(), true);
    shape_set_ = set;
  }

  bool is_pinned(const Buffer& buffer) const noexcept {
    if (buffer.bytes == 0) return false;
    for (const std::byte* place : {buffer.bound, buffer.bound + buffer.bytes - 1}) {
      unsigned type = 0;
      const auto address = reinterpret_cast<uintptr_t>(place);
      if (gpu_.cuda.cuPointerGetAttribute(&type, kPointerMemoryType, address) != kSuccess ||
          type != kMemoryTypeHost) {
        return false;
      }
    }
    return true;
  }

  // Until the GPU has read the inputs of a run that was given up: they are the caller's then.
  void await_copies() noexcept {
    const CurrentGpu current(gpu_);
    const WhileOthersCapture waits(gpu_);
    const auto copied = [&] { return gpu_.cuda.cudaEventQuery(slot_.copied_in) != kErrorNotReady; };
    if (copied()) return;
    spin_until(copied, kCopyNs);
    (void)gpu_.cuda.cudaGetLastError();  // "not ready" stays else
  }

  // Pinned memory goes straight to the device, other memory through the slot's.
  Status copy_in() noexcept {
    const CurrentGpu current(gpu_);
    const CudaStream stream = lane_->state().copy_in;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const Buffer& b = inputs_[i];
      if (!pinned_[i]) std::memcpy(b.own, b.bound, b.bytes);
      QAICKIT_RETURN_IF_ERROR(slot_.copy_in(i, pinned_[i] ? b.bound : b.own, b.bytes, stream));
    }
    CUDA_RETURN_IF_ERROR(gpu_, cudaEventRecord, slot_.copied_in, stream);
    return {};
  }

  // Only one that was given up can still be going on.
  Status await_earlier_run() noexcept {
    if (lane_->await_idle(slot_, stuck_ ? 0 : kGivenUpNs)) {
      stuck_ = false;
      return {};
    }
    stuck_ = true;
    return Status(Code::kDeviceError,
                  cat(gpu_.name(),
                      ": the run before, which was given up, has not ended yet; the "
                      "GPU may hang (see nvidia-smi)"));
  }

  const std::shared_ptr<Lane> lane_;
  Gpu& gpu_;
  const ProgramSpec& program_;
  Slot& slot_;
  std::vector<char> pinned_;  // of each input: what is bound is
  bool stuck_ = false;
};

}  // namespace

Result<std::unique_ptr<ExecObj>> create_exec_obj(std::shared_ptr<Lane> lane) {
  return CudaExecObj::create(std::move(lane));
}

}  // namespace qaickit::cuda
