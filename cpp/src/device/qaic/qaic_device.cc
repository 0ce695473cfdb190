#include <algorithm>
#include <cstring>
#include <optional>

#include "base/cat.h"
#include "device/device_mapping.h"
#include "device/qaic/qaic_backend.h"
#include "device/qaic/qaic_state.h"
#include "device/qaic/qaic_status.h"
#include "device/settings.h"

namespace qaickit {
namespace qaic {
namespace {

Result<Settings> read_settings(const DeviceSettings& settings) {
  SettingsReader reader(settings);
  Settings s;
  const auto number = [&](const char* name, uint32_t fallback, double min, double max) {
    return static_cast<uint32_t>(reader.number(name, fallback, min, max));
  };
  s.threads_per_queue = number("threads_per_queue", s.threads_per_queue, 1, 64);
  s.submit_num_retries = number("submit_num_retries", s.submit_num_retries, 0, 1e6);
  s.submit_retry_timeout_ms = number("submit_retry_timeout_ms", s.submit_retry_timeout_ms, 0, 4e9);
  s.skip_stage = reader.text("skip_stage", "");
  s.dev_mapping = reader.text("dev_mapping", "");
  QAICKIT_RETURN_IF_ERROR(reader.finish());
  return s;
}

bool contains(const std::vector<QID>& ids, QID id) {
  return std::ranges::find(ids, id) != ids.end();
}

std::string_view text_of(QDevStatus status) {
  switch (status) {
    case QDS_INITIALIZING: return "Initializing";
    case QDS_READY: return "Ready";
    case QDS_ERROR: return "Error";
  }
  return "Unknown";
}

DeviceInfo describe(const Api& api, QID id, const QDevInfo& info) {
  const std::string_view own(info.name, ::strnlen(info.name, sizeof info.name));
  std::string name = cat(own.empty() ? "Cloud AI 100" : own, ", ",
                         static_cast<int>(info.devData.resourceInfo.nspTotal), " NSPs");
  if (api.simulated && own.find("simulated") == own.npos) name += ", simulated";
  return {"qaic", id, std::move(name), api.simulated};
}

std::vector<std::pair<QID, QDevInfo>> list_devices(const Api& api) {
  std::vector<std::pair<QID, QDevInfo>> devices;
  for (const QID id : device_ids(api)) {
    QDevInfo info{};
    if (api.qaicGetDeviceInfo(id, &info) == QS_SUCCESS) devices.emplace_back(id, info);
  }
  return devices;
}

// Of anything that happens in a context; what the caller of a function gets says no more than a
// status.
void on_error(QAicContextID, const char* info, QAicErrorType, const void*, size_t, void* user) {
  auto& device = *static_cast<DeviceState*>(user);
  const std::lock_guard lock(device.report_mutex);
  device.report = info ? info : "";
}

// A context with those devices, all of which must be there and ready.
Result<std::shared_ptr<DeviceState>> open_devices(const Api& api, QID id, std::vector<QID> ids) {
  auto state = std::make_shared<DeviceState>(api, id, std::move(ids));
  std::vector<QDevInfo> infos(state->ids.size());
  for (size_t i = 0; i < infos.size(); ++i) {
    const QID one = state->ids[i];
    const QStatus status = api.qaicGetDeviceInfo(one, &infos[i]);
    if (status == QS_NODEV) {
      std::string known;
      for (const QID known_id : device_ids(api)) {
        known += cat(known.empty() ? "" : ", ", known_id);
      }
      return Status(Code::kNotFound, cat("qaic device ", one, " does not exist; there is ",
                                         known.empty() ? "none" : known));
    }
    QAICKIT_RETURN_IF_ERROR(to_status(status, "qaicGetDeviceInfo").with_context(cat("qaic:", one)));
  }
  const QStatus status =
      api.qaicCreateContext(&state->context, nullptr, static_cast<uint32_t>(state->ids.size()),
                            state->ids.data(), nullptr, nullptr, on_error, state.get());
  // After the context: one that is opened anew brings back a card that was reset.
  for (size_t i = 0; i < infos.size(); ++i) {
    const QID one = state->ids[i];
    if (infos[i].devStatus == QDS_READY || !contains(state->failed_ids(), one)) continue;
    return Status(Code::kUnavailable,
                  cat("qaic:", one, ": the device is not ready (", text_of(infos[i].devStatus),
                      "); look at it with: qaic-util -q -d ", one));
  }
  QAICKIT_RETURN_IF_ERROR(to_status(status, "qaicCreateContext").with_context(state->name()));
  return state;
}

class QaicActivation final : public Activation {
 public:
  explicit QaicActivation(std::shared_ptr<ActivationState> state) : state_(std::move(state)) {}
  Result<std::unique_ptr<ExecObj>> create_exec_obj() override {
    return qaic::create_exec_obj(state_);
  }

 private:
  std::shared_ptr<ActivationState> state_;
};

Status activate_on_card(ActivationState& a) {
  const ProgramState& program = *a.program;
  DeviceState& device = *program.device;
  const Api& api = device.api;
  QAicProgramProperties_t properties{};
  QAIC_RETURN_IF_ERROR(api, qaicProgramPropertiesInitDefault, &properties);
  properties.SubmitNumRetries = program.settings.submit_num_retries;
  properties.SubmitRetryTimeoutMs = program.settings.submit_retry_timeout_ms;
  if (device.ids.size() > 1) properties.devMapping = program.settings.dev_mapping.c_str();
  QAIC_RETURN_IF_ERROR(api, qaicCreateProgram, device.context, &a.handle, &properties, device.id,
                       program.qpc->program().name.c_str(), program.object);
  QAIC_RETURN_IF_ERROR(api, qaicLoadProgram, a.handle);
  a.loaded = true;
  QAIC_RETURN_IF_ERROR(api, qaicRunActivationCmd, a.handle, QAIC_PROGRAM_CMD_ACTIVATE_FULL);
  a.active = true;
  return {};
}

Status set_up_io(ActivationState& a) {
  const ProgramState& program = *a.program;
  const Api& api = a.api();
  const uint32_t threads = program.settings.threads_per_queue;
  const QAicQueueProperties queue{threads == 1 ? QAIC_QUEUE_PROPERTIES_ENABLE_SINGLE_THREADED_QUEUES
                                               : QAIC_QUEUE_PROPERTIES_ENABLE_MULTI_THREADED_QUEUES,
                                  threads};
  QAIC_RETURN_IF_ERROR(api, qaicCreateQueue, program.device->context, &a.queue, &queue,
                       program.device->id);
  QData descriptor{};
  QAIC_RETURN_IF_ERROR(api, qaicProgramGetIoDescriptor, a.handle, &descriptor);
  QAICKIT_ASSIGN_OR_RETURN(
      a.plan, plan_io({reinterpret_cast<const std::byte*>(descriptor.data), descriptor.size},
                      program.io, program.settings.skip_stage));
  return {};
}

class QaicProgram final : public Program {
 public:
  // `device` is the one that it is loaded on.
  QaicProgram(std::shared_ptr<ProgramState> state, const DeviceInfo& device)
      : state_(std::move(state)) {
    const std::vector<QID>& ids = state_->device->ids;
    if (ids.size() <= 1) return;
    info_ = device;
    info_->name = cat("each of ", state_->device->name(), ": ", device.name);
  }

  Result<std::unique_ptr<Activation>> activate() override {
    auto activation = std::make_shared<ActivationState>(state_);
    QAICKIT_RETURN_IF_ERROR(state_->explain(activate_on_card(*activation)));
    QAICKIT_RETURN_IF_ERROR(state_->device->explain(set_up_io(*activation)));
    return std::unique_ptr<Activation>(new QaicActivation(std::move(activation)));
  }
  std::string precision() const override {
    const auto manifest = state_->qpc->manifest();
    if (!manifest) return "as compiled";
    // The simulator computes with ONNX Runtime's CPU kernels.
    const bool widened = state_->device->api.simulated && manifest->precision == "fp16";
    return widened ? "fp32" : manifest->precision;
  }
  bool async() const noexcept override { return true; }
  const ProgramSpec* io() const noexcept override { return &state_->io; }
  bool keeps_state() const noexcept override { return !state_->retained.empty(); }
  const DeviceInfo* info() const noexcept override { return info_ ? &*info_ : nullptr; }

 private:
  std::shared_ptr<ProgramState> state_;
  std::optional<DeviceInfo> info_;  // of a mapping
};

class QaicDevice final : public Device {
 public:
  QaicDevice(std::shared_ptr<DeviceState> state, DeviceInfo info)
      : state_(std::move(state)), info_(std::move(info)) {}
  const DeviceInfo& info() const noexcept override { return info_; }

  Result<std::shared_ptr<Program>> load(std::shared_ptr<const Qpc> qpc,
                                        const ProgramOptions& options) override {
    auto program = std::make_shared<ProgramState>();
    QAICKIT_ASSIGN_OR_RETURN(program->settings, read_settings(options.settings));
    QAICKIT_ASSIGN_OR_RETURN(program->device, devices_of(program->settings.dev_mapping));
    program->qpc = std::move(qpc);
    QAICKIT_ASSIGN_OR_RETURN(program->io,
                             program_after(*program->qpc, program->settings.skip_stage));
    if (program->settings.skip_stage.empty()) program->retained = retained_pairs(program->io);
    const auto image = program->qpc->image();
    QAICKIT_RETURN_IF_ERROR(program->explain(to_status(
        state_->api.qaicOpenQpc(&program->object, reinterpret_cast<const uint8_t*>(image.data()),
                                image.size(), /*makeCopy=*/false),
        "qaicOpenQpc")));
    return std::shared_ptr<Program>(std::make_shared<QaicProgram>(std::move(program), info_));
  }

 private:
  // What a program with that mapping runs on.
  Result<std::shared_ptr<DeviceState>> devices_of(const std::string& mapping) const {
    QAICKIT_ASSIGN_OR_RETURN(const std::vector<int> ids, parse_device_mapping(mapping));
    if (!ids.empty() && !contains(ids, state_->id)) {
      return Status(Code::kInvalidArgument,
                    cat(kDevMapping, " '", mapping, "' has not got ", state_->name(),
                        ", on which the program is loaded; name it, or load the program on one of "
                        "the mapping"));
    }
    if (ids.size() <= 1) return state_;
    return open_devices(state_->api, state_->id, ids);
  }

  std::shared_ptr<DeviceState> state_;
  const DeviceInfo info_;
};

Result<std::shared_ptr<Device>> create(const Api& api, QID id) {
  QAICKIT_ASSIGN_OR_RETURN(auto state, open_devices(api, id, {id}));
  QDevInfo info{};
  QAICKIT_RETURN_IF_ERROR(
      to_status(api.qaicGetDeviceInfo(id, &info), "qaicGetDeviceInfo").with_context(state->name()));
  return std::shared_ptr<Device>(
      std::make_shared<QaicDevice>(std::move(state), describe(api, id, info)));
}

std::string details_of(const QDevInfo& info) {
  std::string text(text_of(info.devStatus));
  if (info.devStatus != QDS_READY) return text;
  const QResourceInfo& r = info.devData.resourceInfo;
  constexpr uint64_t kMiB = 1024;  // of KiB
  return cat(text, ", ", static_cast<int>(r.nspFree), " of ", static_cast<int>(r.nspTotal),
             " NSPs free, ", r.dramFree / kMiB, " of ", r.dramTotal / kMiB, " MiB DRAM free");
}

}  // namespace
}  // namespace qaic

Result<std::vector<DeviceInfo>> enumerate_qaic() {
  QAICKIT_ASSIGN_OR_RETURN(const qaic::Api* api, qaic::load_api());
  std::vector<DeviceInfo> infos;
  for (const auto& [id, info] : qaic::list_devices(*api)) {
    if (info.devStatus == QDS_READY) infos.push_back(qaic::describe(*api, id, info));
  }
  return infos;
}

Result<std::shared_ptr<Device>> create_qaic(int id) {
  QAICKIT_ASSIGN_OR_RETURN(const qaic::Api* api, qaic::load_api());
  return qaic::create(*api, id);
}

std::vector<std::pair<std::string, std::string>> qaic_details() {
  const auto loaded = qaic::load_api();
  if (!loaded.ok()) return {};
  const qaic::Api& api = *loaded.value();
  std::vector<std::pair<std::string, std::string>> details{
      {"library", api.path},
      {"version", cat(api.major, ".", api.minor, " ", api.patch, " ", api.variant,
                      api.simulated ? " (simulated)" : "")}};
  for (const auto& [id, info] : qaic::list_devices(api)) {
    details.emplace_back(cat("device ", id), qaic::details_of(info));
  }
  return details;
}

}  // namespace qaickit
