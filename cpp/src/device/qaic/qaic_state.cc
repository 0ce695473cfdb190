#include "device/qaic/qaic_state.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/cat.h"
#include "base/clock.h"
#include "base/keep_for_ever.h"
#include "device/qaic/qaic_status.h"

namespace qaickit::qaic {
namespace {

constexpr uint32_t kLostAfter = 8;              // faults in a row
constexpr uint64_t kReleaseNs = 1'000'000'000;  // for the library to let go of an object
constexpr auto kPause = std::chrono::microseconds(100);

std::string name_of(const std::vector<QID>& ids) {
  std::string name = "qaic";
  for (const QID id : ids) name += cat(":", id);
  return name;
}

// Calls until the library does not say that the object is in use, for a bounded time.
template <class Call>
QStatus until_free(Call call) {
  const uint64_t start = now_ns();
  QStatus status = call();
  while (status == QS_BUSY && now_ns() - start < kReleaseNs) {
    std::this_thread::sleep_for(kPause);
    status = call();
  }
  return status;
}

}  // namespace

void Health::note(QStatus status) noexcept {
  // A success ends the row, but costs no write to shared memory where there is none.
  if (status == QS_SUCCESS) {
    if (suspicious()) faults_.store(0, std::memory_order_relaxed);
  } else if (meaning_of(status).device_fault &&
             faults_.fetch_add(1, std::memory_order_relaxed) + 1 >= kLostAfter) {
    set_lost();
  }
}

DeviceState::~DeviceState() {
  if (context) (void)api.qaicReleaseContext(context);
}

std::vector<QID> DeviceState::failed_ids() const {
  std::vector<QID> failed;
  for (const QID one : ids) {
    QDevInfo info{};
    const bool ready =
        api.qaicGetDeviceInfo(one, &info) == QS_SUCCESS && info.devStatus == QDS_READY;
    if (!ready) failed.push_back(one);
  }
  return failed;
}

std::string DeviceState::name() const { return name_of(ids); }

std::string DeviceState::name_failed() const {
  const std::vector<QID> failed = failed_ids();
  return name_of(failed.empty() ? ids : failed);
}

Status DeviceState::explain(const Status& status) {
  const std::lock_guard lock(report_mutex);
  if (status.ok() || report.empty()) return status;
  return Status(status.code(), cat(status.message(), " (library: ", report, ")"));
}

ProgramState::~ProgramState() {
  if (object) (void)device->api.qaicCloseQpc(object);
}

Status ProgramState::explain(const Status& status) const {
  // The simulator runs the host half, so it fails for other reasons.
  if (status.code() == Code::kResourceExhausted) {
    return Status(status.code(), cat(device->explain(status).message(), short_of_nsps()));
  }
  if (status.ok() || qpc->has_card_half() || device->api.simulated) return device->explain(status);
  return Status(Code::kUnsupported,
                cat("the QPC has no card half (network.elf is a placeholder), so a card does not "
                    "take it; compile it where the vendor's compiler is installed, or run it on "
                    "another backend. The library says: ",
                    device->explain(status).message()));
}

bool ProgramState::keeps(size_t t) const noexcept {
  return std::ranges::any_of(
      retained, [t](const RetainedPair& pair) { return pair.input == t || pair.output == t; });
}

std::string ProgramState::short_of_nsps() const {
  const uint32_t wanted = qpc->program().num_cores;
  std::string text;
  for (const QID id : device->ids) {
    QDevInfo info{};
    if (device->api.qaicGetDeviceInfo(id, &info) != QS_SUCCESS) continue;
    const uint32_t free = info.devData.resourceInfo.nspFree;
    if (free < wanted) text += cat("; qaic:", id, " has ", free, " NSPs free of ", wanted);
  }
  return text;
}

void Run::wait_left() const noexcept {
  // A callback's end, after its answer: next to nothing. acquire: pairs with its last store.
  while (inside.load(std::memory_order_acquire) != 0) std::this_thread::sleep_for(kPause);
}

void ActivationState::release(ExecHandles handles) {
  if (!handles.exec && !handles.event) return;
  if (Run::phase(handles.run->state.load(std::memory_order_acquire)) != Run::kRetired) {
    handles.run->wait_left();
    const QStatus status = handles.exec
                               ? until_free([&] { return api().qaicReleaseExecObj(handles.exec); })
                               : QS_SUCCESS;
    if (status != QS_BUSY) {
      if (handles.event) release_event(handles);
      return;
    }
    handles.run->state.store(Run::kRetired, std::memory_order_release);
  }
  const std::lock_guard lock(aside_mutex_);
  for (ExecHandles& earlier : aside_) (void)release_aside(earlier);
  aside_.push_back(std::move(handles));
}

void ActivationState::release_event(ExecHandles& handles) {
  (void)until_free([&] { return api().qaicReleaseEvent(handles.event); });
  handles.event = nullptr;
}

bool ActivationState::release_aside(ExecHandles& handles) {
  if (!handles.exec) return true;
  if (api().qaicReleaseExecObj(handles.exec) == QS_BUSY) return false;
  handles.exec = nullptr;
  release_event(handles);
  handles.memory.clear();  // not the run: a callback may be on its way to it
  return true;
}

ActivationState::~ActivationState() {
  if (active) {
    (void)until_free(
        [&] { return api().qaicRunActivationCmd(handle, QAIC_PROGRAM_CMD_DEACTIVATE_FULL); });
  }
  // No activation, no run: what was put aside is free now, or never.
  const auto release_all = [&] {
    bool all = true;
    for (ExecHandles& h : aside_) all &= release_aside(h);
    return all ? QS_SUCCESS : QS_BUSY;
  };
  const bool stuck = until_free(release_all) == QS_BUSY;
  if (loaded) (void)api().qaicUnloadProgram(handle);
  if (handle) (void)api().qaicReleaseProgram(handle);
  if (queue) (void)api().qaicReleaseQueue(queue);
  for (const ExecHandles& h : aside_) h.run->wait_left();
  if (stuck) keep_for_ever(std::make_shared<std::vector<ExecHandles>>(std::move(aside_)));
}

}  // namespace qaickit::qaic
