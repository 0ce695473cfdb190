#include <algorithm>
#include <array>

#include "base/cat.h"
#include "device/cpu/cpu_backend.h"
#include "device/cuda/cuda_backend.h"
#include "device/null/null_backend.h"
#include "device/qaic/qaic_backend.h"
#include "qaickit/device.h"

namespace qaickit {
namespace {

// The only list of backends, in the order in which a default is looked for.
constexpr std::array<Backend, 4> kBackends{qaic_backend(), cuda_backend(), cpu_backend(),
                                           null_backend()};

}  // namespace

std::span<const Backend> backends() noexcept { return kBackends; }

Result<const Backend*> find_backend(std::string_view name) {
  std::string known;
  for (const Backend& backend : kBackends) {
    if (backend.name == name) return &backend;
    known += cat(known.empty() ? "" : ", ", backend.name);
  }
  return Status(Code::kNotFound, cat("unknown backend '", name, "'; this build knows ", known));
}

Result<const Backend*> default_backend() {
  std::string reasons;
  for (const Backend& backend : kBackends) {
    if (backend.only_by_name) continue;
    const auto devices = backend.enumerate();
    std::string_view why = devices.status().message();
    if (devices.ok()) {
      const auto& infos = devices.value();
      if (std::any_of(infos.begin(), infos.end(), [](const auto& d) { return !d.simulated; })) {
        return &backend;
      }
      why = infos.empty() ? "no device" : "only simulated devices, which have to be asked for";
    }
    reasons += cat("\n", backend.name, ": ", why);
  }
  return Status(Code::kUnavailable, cat("no device is usable here:", reasons));
}

Result<std::shared_ptr<void>> Program::pin(std::span<std::byte>) { return std::shared_ptr<void>(); }

Status ExecObj::skip(size_t) noexcept {
  return Status(Code::kUnsupported, "this device keeps nothing between runs: bind a buffer");
}

Status ExecObj::change_shapes(size_t) noexcept {
  return Status(Code::kUnsupported, "this device runs a program with its own shapes only");
}

}  // namespace qaickit
