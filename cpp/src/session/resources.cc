#include "session/resources.h"

#include <algorithm>

#include "base/cat.h"

namespace qaickit {
namespace {

constexpr uint32_t kMaxSetSize = 64;  // bits of a slot mask

Status check_options(const SessionOptions& options) {
  auto in_range = [](const char* name, uint32_t value, uint32_t max) {
    if (value >= 1 && value <= max) return Status();
    return Status(Code::kInvalidArgument, cat(name, " is ", value, "; expected 1 to ", max));
  };
  QAICKIT_RETURN_IF_ERROR(in_range("num_activations", options.num_activations, 1024));
  QAICKIT_RETURN_IF_ERROR(in_range("set_size", options.set_size, kMaxSetSize));
  return in_range("threads_per_activation", options.threads_per_activation, 1024);
}

}  // namespace

Result<std::shared_ptr<Resources>> acquire_resources(std::shared_ptr<const Qpc> qpc,
                                                     const SessionOptions& options) {
  QAICKIT_RETURN_IF_ERROR(check_options(options));
  auto resources = std::make_shared<Resources>();
  Resources& r = *resources;
  QAICKIT_ASSIGN_OR_RETURN(
      r.backend, options.backend.empty() ? default_backend() : find_backend(options.backend));
  r.qpc = qpc;
  r.io = qpc->program();

  const std::vector<int> ids =
      options.device_ids.empty() ? std::vector<int>{0} : options.device_ids;
  const ProgramOptions program_options{options.num_activations, options.threads_per_activation,
                                       options.device_settings};
  std::vector<std::vector<std::unique_ptr<ExecObj>>> exec_objs;
  std::vector<std::string> names;
  std::string device_names;
  for (size_t d = 0; d < ids.size(); ++d) {
    if (std::count(ids.begin(), ids.end(), ids[d]) > 1) {
      return Status(Code::kInvalidArgument, cat("device ", ids[d], " is listed more than once"));
    }
    const std::string where = cat(r.backend->name, ":", ids[d]);
    QAICKIT_ASSIGN_OR_RETURN(std::shared_ptr<Device> device, r.backend->create(ids[d]));
    r.infos.push_back(device->info());
    r.devices.push_back(device);
    auto loaded = device->load(qpc, program_options);
    if (!loaded.ok()) {
      const bool is_said = loaded.status().message().starts_with(where);
      return is_said ? loaded.status() : loaded.status().with_context(where);
    }
    r.programs.push_back(std::move(loaded).value());
    if (const DeviceInfo* info = r.programs.back()->info()) r.infos.back() = *info;
    r.precision = r.programs.back()->precision();
    r.async = r.programs.back()->async();
    // The same for all: they have the same settings.
    if (const ProgramSpec* io = r.programs.back()->io()) r.io = *io;
    device_names += cat(d == 0 ? "" : ", ", where);
    for (uint32_t a = 0; a < options.num_activations; ++a) {
      names.push_back(cat(where, ": activation ", a));
      auto activated = r.programs.back()->activate();
      if (!activated.ok()) {
        return activated.status().with_context(names.back());
      }
      r.activations.push_back(std::move(activated).value());
      auto& set = exec_objs.emplace_back();
      // A synchronous device computes on the thread that calls it: one at a time for each
      // activation.
      for (uint32_t s = 0; s < (r.async ? options.set_size : 1); ++s) {
        QAICKIT_ASSIGN_OR_RETURN(auto exec, r.activations.back()->create_exec_obj());
        set.push_back(std::move(exec));
      }
    }
  }
  r.slots = std::make_unique<SlotTable>(std::move(exec_objs));
  r.slots->set_names(std::move(names), std::move(device_names));
  return resources;
}

}  // namespace qaickit
