#include <array>

#include "base/cat.h"
#include "device/cpu/cpu_backend.h"
#include "device/null/null_backend.h"
#include "qaickit/device.h"

namespace qaickit {
namespace {

// The only list of backends, in the order in which a default is looked for.
constexpr std::array<Backend, 2> kBackends{cpu_backend(), null_backend()};

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
    if (backend.name == kNullBackendName) continue;
    const auto devices = backend.enumerate();
    if (devices.ok() && !(*devices).empty()) return &backend;
    reasons += cat("\n", backend.name, ": ",
                   devices.ok() ? std::string_view("no device") : devices.status().message());
  }
  return Status(Code::kUnavailable, cat("no device is usable here:", reasons));
}

}  // namespace qaickit
