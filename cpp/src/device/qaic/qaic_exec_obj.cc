#include <algorithm>
#include <chrono>
#include <cstring>
#include <mutex>
#include <thread>

#include "base/cat.h"
#include "base/clock.h"
#include "device/qaic/qaic_state.h"
#include "device/qaic/qaic_status.h"

namespace qaickit::qaic {
namespace {

constexpr uint32_t kSubmitTimeoutMs = 5000;  // as the kernel's own, where the setting is 0
// Between tries of an enqueue.
constexpr auto kFirstPause = std::chrono::microseconds(50);
constexpr auto kLongestPause = std::chrono::microseconds(1000);

}  // namespace

class QaicExecObj final : public ExecObj {
 public:
  explicit QaicExecObj(std::shared_ptr<ActivationState> activation)
      : activation_(std::move(activation)),
        device_(*activation_->program->device),
        api_(device_.api),
        plan_(activation_->plan) {
    for (const IoPlace& place : plan_.inputs) inputs_.push_back({nullptr, nullptr, place.bytes});
    for (const IoPlace& place : plan_.outputs) outputs_.push_back({nullptr, nullptr, place.bytes});
    skipped_.resize(inputs_.size() + outputs_.size());
    shape_set_ = spec().default_shape_set();
    resize(shape_set_);
  }

  ~QaicExecObj() override {
    Run* const run = handles_.run.get();
    if (!run) return;
    // In flight only where nobody waits for it any more.
    uint64_t state = run->state.load(std::memory_order_acquire);
    if (Run::phase(state) == Run::kInFlight) {
      (void)run->state.compare_exchange_strong(state, Run::with_phase(state, Run::kRetired),
                                               std::memory_order_acq_rel);
    }
    activation_->release(std::move(handles_));
  }

  // Makes the library's objects, anew after a run was given up.
  Status init() {
    ExecHandles handles;
    handles.run = std::make_unique<Run>();
    handles.run->owner = this;
    if (const Status status = make(handles); !status.ok()) {
      activation_->release(std::move(handles));
      return device_.explain(status).with_context(device_.name());
    }
    handles_ = std::move(handles);
    return {};
  }

  Status bind_input(size_t i, const void* data) noexcept override {
    return bind(i, inputs_[i], const_cast<void*>(data));
  }
  Status bind_output(size_t i, void* data) noexcept override {
    return bind(inputs_.size() + i, outputs_[i], data);
  }

  Status skip(size_t t) noexcept override {
    if (plan_.zero_copy || t >= skipped_.size() || !activation_->program->keeps(t)) {
      return Status(Code::kUnsupported, cat(device_.name(), ": the program keeps no state there"));
    }
    if (!skipped_[t]) data_set_ = false;
    skipped_[t] = true;
    return {};
  }

  Status run() noexcept override {
    return Status(Code::kUnsupported, "qaic: an asynchronous device only enqueues");
  }

  Status enqueue(Completion& done) noexcept override {
    if (!broken_.ok()) return broken_;
    if (device_.health.suspicious() && !device_.ready()) device_.health.set_lost();
    if (device_.health.lost()) {
      return Status(
          Code::kDeviceError,
          cat(device_.name_failed(), ": the device is gone (failed or reset); set it up anew"));
    }
    if (const QStatus status = plan_.zero_copy ? copy_in() : set_data(); status != QS_SUCCESS) {
      return failure(status, "qaicExecObjSetData");
    }
    Run& run = *handles_.run;
    run.done = &done;
    // The number of the run goes up: a late look at an earlier one must not take it for this.
    const uint64_t starting =
        Run::with_phase(run.state.load(std::memory_order_relaxed), Run::kIdle) + Run::kPhases +
        Run::kStarting;
    // release: pairs with the exchange in on_event().
    run.state.store(starting, std::memory_order_release);
    // Public programs clear the event and set its callback for every run; whether it would stay is
    // not known.
    QStatus status = api_.qaicEventClear(handles_.event);
    if (status != QS_SUCCESS) return refused(run, status, "qaicEventClear");
    (void)api_.qaicEventRemoveCallback(handles_.event, on_event);
    status = api_.qaicEventAddCallback(handles_.event, on_event, &run);
    if (status != QS_SUCCESS) return refused(run, status, "qaicEventAddCallback");
    status = submit();
    if (status != QS_SUCCESS) return refused(run, status, "qaicEnqueueExecObj");
    // Fails when it has ended; then this may be another's ExecObj already.
    uint64_t expected = starting;
    (void)run.state.compare_exchange_strong(expected, Run::with_phase(starting, Run::kInFlight),
                                            std::memory_order_acq_rel);
    return {};
  }

  void cancel() noexcept override {
    std::unique_lock lock(cancel_mutex_);
    Run& run = *handles_.run;
    uint64_t state = run.state.load(std::memory_order_acquire);
    if (Run::phase(state) != Run::kInFlight) return;
    if (!run.state.compare_exchange_strong(state, Run::with_phase(state, Run::kRetired),
                                           std::memory_order_acq_rel)) {
      return;  // it has ended
    }
    // From here to complete() nobody else can use this object: its run has not been answered.
    Completion& done = *run.done;
    activation_->release(std::move(handles_));
    if (Status status = init(); !status.ok()) {
      broken_ = status.with_context("after a run without completion");
      handles_ = {};
      handles_.run = std::make_unique<Run>();
    }
    lock.unlock();
    done.complete(Status(Code::kCancelled, cat(device_.name(), ": the run was given up")));
  }

  bool lost() const noexcept override { return device_.health.lost(); }

  Status change_shapes(size_t set) noexcept override {
    const size_t sets = spec().num_shape_sets();
    if (set >= sets) {
      const bool skips = !activation_->program->settings.skip_stage.empty();
      return Status(Code::kInvalidArgument,
                    cat("shape set ", set, " does not exist; there are ", sets,
                        skips ? ": with skip_stage a program has its full shape only" : ""));
    }
    shape_set_ = set;
    resize(set);
    return {};
  }

 private:
  const ProgramSpec& spec() const noexcept { return activation_->program->io; }

  // Also takes back what was bound.
  void resize(size_t set) noexcept {
    for_each_tensor([&](size_t t, Buffer& buffer, const IoPlace&) {
      buffer.bytes = spec().bytes(set, t);
      buffer.bound = buffer.own;
      skipped_[t] = false;
    });
    data_set_ = false;
  }

  Status make(ExecHandles& handles) {
    QAicExecObjProperties_t properties = QAIC_EXECOBJ_PROPERTIES_DEFAULT;
    if (plan_.zero_copy) properties |= QAIC_EXECOBJ_PROPERTIES_ZERO_COPY_BUFFERS;
    std::string bytes = plan_.io_descriptor;
    const QData io_descriptor{bytes.size(), reinterpret_cast<uint8_t*>(bytes.data())};
    QAIC_RETURN_IF_ERROR(api_, qaicCreateExecObj, device_.context, &handles.exec, &properties,
                         activation_->handle, bytes.empty() ? nullptr : &io_descriptor, nullptr,
                         nullptr);
    QAIC_RETURN_IF_ERROR(api_, qaicCreateEvent, device_.context, &handles.event,
                         QAIC_EVENT_DEVICE_COMPLETE);
    return plan_.zero_copy ? take_dma_buffers(handles) : make_buffers(handles);
  }

  Status take_dma_buffers(ExecHandles& handles) {
    uint32_t count = 0;
    QBuffer* buffers = nullptr;
    QAIC_RETURN_IF_ERROR(api_, qaicExecObjGetIoBuffers, handles.exec, &count, &buffers);
    if (count != plan_.num_buffers) {
      return Status(Code::kDeviceError, cat("the exec object has ", count, " DMA buffers, the IO ",
                                            "descriptor says ", plan_.num_buffers));
    }
    return for_each_buffer([&](Buffer& buffer, const IoPlace& place) {
      const QBuffer& dma = buffers[place.buffer];
      if (!dma.buf || dma.size < place.offset + place.bytes) {
        return Status(Code::kDeviceError, cat("DMA buffer ", place.buffer, " has ", dma.size,
                                              " bytes, ", place.offset + place.bytes, " needed"));
      }
      own(buffer, reinterpret_cast<std::byte*>(dma.buf + place.offset));
      return Status();
    });
  }

  Status make_buffers(ExecHandles& handles) {
    data_.assign(plan_.num_buffers, QBuffer{0, nullptr, 0, 0, QBUFFER_TYPE_HEAP});
    dims_.assign(plan_.num_buffers, QBufferDimensions{});
    dim_values_.assign(plan_.num_buffers, {});
    data_set_ = false;
    return for_each_buffer([&](Buffer& buffer, const IoPlace& place) {
      own(buffer, handles.memory.emplace_back(place.bytes).data());
      return Status();
    });
  }

  template <class Visit>
  Status for_each_buffer(Visit visit) {
    Status status;
    for_each_tensor([&](size_t, Buffer& buffer, const IoPlace& place) {
      if (status.ok()) status = visit(buffer, place);
    });
    return status;
  }

  // In the program's order, inputs first.
  template <class Visit>
  void for_each_tensor(Visit visit) {
    const size_t inputs = inputs_.size();
    for (size_t i = 0; i < inputs; ++i) visit(i, inputs_[i], plan_.inputs[i]);
    for (size_t i = 0; i < outputs_.size(); ++i) visit(inputs + i, outputs_[i], plan_.outputs[i]);
  }

  static void own(Buffer& buffer, std::byte* data) {
    if (buffer.bound == buffer.own) buffer.bound = data;
    buffer.own = data;
  }

  Status bind(size_t t, Buffer& buffer, void* data) noexcept {
    std::byte* const target = data ? static_cast<std::byte*>(data) : buffer.own;
    if (buffer.bound != target || skipped_[t]) data_set_ = false;
    buffer.bound = target;
    skipped_[t] = false;
    return {};
  }

  // Only when a binding has changed.
  QStatus set_data() noexcept {
    if (data_set_) return QS_SUCCESS;
    for_each_tensor([&](size_t t, Buffer& buffer, const IoPlace& place) {
      data_[place.buffer].buf = skipped_[t] ? nullptr : reinterpret_cast<uint8_t*>(buffer.bound);
      data_[place.buffer].size = skipped_[t] ? 0 : buffer.bytes;
    });
    const bool skips = std::ranges::find(skipped_, true) != skipped_.end();
    const QStatus status =
        spec().allowed_shapes.empty() && !skips
            ? api_.qaicExecObjSetData(handles_.exec, plan_.num_buffers, data_.data())
            : api_.qaicExecObjSetDataExt(handles_.exec, plan_.num_buffers, data_.data(), dims());
    data_set_ = status == QS_SUCCESS;
    return status;
  }

  // Those of the shape set in use, by which the library picks among the allowed shapes; one dim of
  // 0 for what is skipped.
  const QBufferDimensions* dims() {
    for_each_tensor([&](size_t t, Buffer&, const IoPlace& place) {
      const auto dims = spec().dims(shape_set_, t);
      std::vector<uint32_t>& values = dim_values_[place.buffer];
      values.assign(dims.begin(), dims.end());
      if (skipped_[t]) values.assign(1, 0);
      dims_[place.buffer] = {static_cast<uint32_t>(values.size()),
                             static_cast<uint32_t>(dtype_bytes(spec().tensor(t).dtype)),
                             values.data()};
    });
    return dims_.data();
  }

  // The device takes its own buffers only.
  QStatus copy_in() noexcept {
    for (const Buffer& b : inputs_) {
      if (b.bound != b.own) std::memcpy(b.own, b.bound, b.bytes);
    }
    return QS_SUCCESS;
  }
  void copy_out() noexcept {
    for (const Buffer& b : outputs_) {
      if (b.bound != b.own) std::memcpy(b.bound, b.own, b.bytes);
    }
  }

  // Again, for a bounded time, where the library has no room for the run now.
  QStatus submit() noexcept {
    const Settings& settings = activation_->program->settings;
    const uint32_t timeout_ms = settings.submit_retry_timeout_ms;
    const uint64_t bound = (timeout_ms ? timeout_ms : kSubmitTimeoutMs) * uint64_t{1'000'000};
    uint64_t start = 0;
    auto pause = kFirstPause;
    for (uint32_t retry = 0;; ++retry) {
      const QStatus status =
          api_.qaicEnqueueExecObj(activation_->queue, handles_.exec, handles_.event);
      if (status != QS_AGAIN || retry == settings.submit_num_retries) return status;
      if (start == 0) start = now_ns();
      if (now_ns() - start >= bound) return status;
      std::this_thread::sleep_for(pause);
      pause = std::min(2 * pause, kLongestPause);
    }
  }

  Status failure(QStatus status, std::string_view call) noexcept {
    device_.health.note(status);
    return to_status(status, call).with_context(device_.name_failed());
  }

  Status refused(Run& run, QStatus status, std::string_view call) noexcept {
    run.state.store(Run::with_phase(run.state.load(std::memory_order_relaxed), Run::kIdle),
                    std::memory_order_relaxed);
    return failure(status, call);
  }

  static void on_event(QAicEvent*, QAicEventCompletionType type, void* user) {
    Run& run = *static_cast<Run*>(user);
    run.inside.fetch_add(1, std::memory_order_relaxed);
    uint64_t state = run.state.load(std::memory_order_relaxed);
    while (Run::phase(state) == Run::kStarting || Run::phase(state) == Run::kInFlight) {
      // acquire: pairs with enqueue().
      if (run.state.compare_exchange_weak(state, Run::with_phase(state, Run::kIdle),
                                          std::memory_order_acq_rel, std::memory_order_relaxed)) {
        run.owner->end(type, *run.done);
        break;
      }
    }
    // release: pairs with wait_left(). Nothing of ours is used after it.
    run.inside.fetch_sub(1, std::memory_order_release);
  }

  void end(QAicEventCompletionType type, Completion& done) noexcept {
    if (type == QAIC_EVENT_DEVICE_COMPLETE) {
      device_.health.note(QS_SUCCESS);
      if (plan_.zero_copy) copy_out();
      done.complete({});
      return;
    }
    // How the vendor's library tells that a run failed is not known; asking the exec object is the
    // way that its API offers. It has ended, so this does not wait.
    QStatus status = api_.qaicExecObjWaitForCompletion(handles_.exec, 1);
    if (status == QS_SUCCESS) status = QS_ERROR;
    done.complete(failure(status, "the run failed"));
  }

  const std::shared_ptr<ActivationState> activation_;
  DeviceState& device_;
  const Api& api_;
  const IoPlan& plan_;
  ExecHandles handles_;
  std::vector<bool> skipped_;                      // by tensor, inputs first
  std::vector<QBuffer> data_;                      // host buffers, by binding index
  std::vector<QBufferDimensions> dims_;            // of programs with several shapes; as data_
  std::vector<std::vector<uint32_t>> dim_values_;  // what dims_ point at
  bool data_set_ = false;                          // the library has them
  Status broken_;
  std::mutex cancel_mutex_;
};

Result<std::unique_ptr<ExecObj>> create_exec_obj(std::shared_ptr<ActivationState> activation) {
  auto exec = std::make_unique<QaicExecObj>(std::move(activation));
  QAICKIT_RETURN_IF_ERROR(exec->init());
  return std::unique_ptr<ExecObj>(std::move(exec));
}

}  // namespace qaickit::qaic
