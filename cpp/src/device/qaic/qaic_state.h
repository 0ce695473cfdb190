#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/aligned_array.h"
#include "device/qaic/qaic_api.h"
#include "device/qaic/qaic_io.h"
#include "qaickit/device.h"

// What a device, a program and an activation hold of the library. Each keeps the one above it
// alive, and gives its objects back when it dies: so they go in reverse order.
namespace qaickit::qaic {

// Faults of a device, to tell those of a run from the end of the device. Lock-free.
class Health {
 public:
  void note(QStatus status) noexcept;
  bool suspicious() const noexcept { return faults_.load(std::memory_order_relaxed) > 0; }
  bool lost() const noexcept { return lost_.load(std::memory_order_relaxed); }
  void set_lost() noexcept { lost_.store(true, std::memory_order_relaxed); }

 private:
  std::atomic<uint32_t> faults_{0};  // in a row
  std::atomic<bool> lost_{false};
};

struct DeviceState {
  DeviceState(const Api& api, QID id, std::vector<QID> ids)
      : api(api), id(id), ids(std::move(ids)) {}
  ~DeviceState();
  // QDS_READY of all of them, as the library says now.
  bool ready() const noexcept { return failed_ids().empty(); }
  // Those that are not.
  std::vector<QID> failed_ids() const;
  std::string name() const;  // "qaic:2", or "qaic:0:1" of a mapping
  // Of those that are not ready, where some are not; else name().
  std::string name_failed() const;
  // `status` with the last thing that the library reported through its error handler, if any.
  Status explain(const Status& status);

  const Api& api;
  const QID id;                // the one that programs belong to
  const std::vector<QID> ids;  // all that the context has; more than one for a devMapping
  QAicContext* context = nullptr;
  Health health;
  std::mutex report_mutex;
  std::string report;
};

struct Settings {
  uint32_t threads_per_queue = 4;
  uint32_t submit_num_retries = 5;
  uint32_t submit_retry_timeout_ms = 0;
  std::string skip_stage;
  std::string dev_mapping;
};

struct ProgramState {
  ~ProgramState();
  // `status` of a call that needs the card half, with what to do where that is missing, and with
  // the cards that have too few NSPs, which the library's status does not tell.
  Status explain(const Status& status) const;
  // Whether tensor t of `io`, inputs first, is state that the card keeps.
  bool keeps(size_t t) const noexcept;

  std::shared_ptr<DeviceState> device;
  std::shared_ptr<const Qpc> qpc;  // the library reads its image, in place
  Settings settings;
  ProgramSpec io;                      // what goes in and out, with skip_stage
  std::vector<RetainedPair> retained;  // none with skip_stage: that has other buffers
  QAicQpcObj* object = nullptr;

 private:
  std::string short_of_nsps() const;
};

class QaicExecObj;

// One run at a time of an exec object of the library's; the user pointer of its callback.
//
// `state` is a number of the run and a phase, which settles who tells its Completion:
//   idle -> starting        by enqueue
//   starting -> in flight   by enqueue, when the library has taken it
//   starting, in flight -> idle   by the callback: it tells
//   starting -> idle        by enqueue, when the library has refused it
//   in flight -> retired    by cancel(), which tells; the library's objects are put aside, and a
//                           callback that comes after all finds this and goes
struct Run {
  enum Phase : uint64_t { kIdle, kStarting, kInFlight, kRetired, kPhases };

  static uint64_t phase(uint64_t state) noexcept { return state % kPhases; }
  static uint64_t with_phase(uint64_t state, Phase phase) noexcept {
    return state - state % kPhases + phase;
  }
  // Waits until no callback is in here.
  void wait_left() const noexcept;

  QaicExecObj* owner = nullptr;
  Completion* done = nullptr;
  std::atomic<uint64_t> state{kIdle};
  std::atomic<uint32_t> inside{0};  // callbacks
};

// The library's objects behind an ExecObj, and what the library uses as long as it has them.
struct ExecHandles {
  QAicExecObj* exec = nullptr;
  QAicEvent* event = nullptr;
  std::unique_ptr<Run> run;
  std::vector<AlignedBuffer> memory;
};

struct ActivationState {
  explicit ActivationState(std::shared_ptr<ProgramState> program) : program(std::move(program)) {}
  ~ActivationState();
  const Api& api() const noexcept { return program->device->api; }

  // Gives the objects back; those that the library does not let go of yet are kept until the
  // activation ends.
  void release(ExecHandles handles);

  std::shared_ptr<ProgramState> program;
  QAicProgram* handle = nullptr;
  QAicQueue* queue = nullptr;
  bool loaded = false;
  bool active = false;
  IoPlan plan;

 private:
  void release_event(ExecHandles& handles);
  // False while the library does not let go of them.
  bool release_aside(ExecHandles& handles);

  std::mutex aside_mutex_;
  std::vector<ExecHandles> aside_;
};

Result<std::unique_ptr<ExecObj>> create_exec_obj(std::shared_ptr<ActivationState> activation);

}  // namespace qaickit::qaic
