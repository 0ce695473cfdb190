#include "device/qaic/qaic_api.h"

#include <sys/utsname.h>

#include <cstdlib>

#include "base/cat.h"
#include "base/dynamic_library.h"
#include "base/load_once.h"
#include "device/wheel_library.h"

namespace qaickit::qaic {
namespace {

constexpr const char* kOverride = "QAIC_LIB";  // the vendor's own variable
constexpr const char* kLibrary = "libQAic.so";
constexpr const char* kAdvice =
    "install the Cloud AI platform SDK, or name its library in QAIC_LIB; without a card, the "
    "simulator will do: export QAIC_LIB=$(python -m qaickit.util --sim-path)";
constexpr std::string_view kSimulatorMark = "qaicsim";
constexpr QID kMaxDevices = 64;

const char* or_empty(const char* text) { return text ? text : ""; }

Status unfit(const std::string& path, const std::string& why) {
  return Status(Code::kUnavailable, cat(path, " cannot be used: ", why, "; ", kAdvice));
}

Result<Api> open_api() {
  auto library = DynamicLibrary::open_first(library_candidates(), kLibrary);
  if (!library.ok()) {
    return Status(Code::kUnavailable, cat(library.status().message(), "\n", kAdvice));
  }
  Api api;
  api.path = library->path();
  std::string missing;
#define QAIC_FUNCTION(name)                                                \
  api.name = reinterpret_cast<decltype(api.name)>(library->symbol(#name)); \
  if (!api.name) missing += cat(missing.empty() ? "" : ", ", #name);
#include "device/qaic/qaic_symbols.inc"
#undef QAIC_FUNCTION
  // The version first: it is the cause where symbols of another one are missing.
  std::string version = "of unknown version";
  if (api.qaicGetAicVersion) {
    const char* patch = nullptr;
    const char* variant = nullptr;
    const QStatus status = api.qaicGetAicVersion(&api.major, &api.minor, &patch, &variant);
    if (status != QS_SUCCESS) return unfit(api.path, "qaicGetAicVersion failed");
    api.patch = or_empty(patch);
    api.variant = or_empty(variant);
    api.simulated = api.patch.find(kSimulatorMark) != std::string::npos;
    version = cat("version ", api.major, ".", api.minor);
    if (!version_fits(api.major, api.minor)) {
      return unfit(api.path, cat("it is ", version, ", and ", LRT_LIB_MAJOR_VERSION, ".",
                                 LRT_LIB_MINOR_VERSION, " or a later ", LRT_LIB_MAJOR_VERSION,
                                 ".x is needed", missing.empty() ? "" : "; it lacks ", missing));
    }
  }
  if (!missing.empty()) return unfit(api.path, cat("it is ", version, " and lacks ", missing));
  if (api.simulated) {
#define QAIC_SIM_FUNCTION(name) \
  api.name = reinterpret_cast<decltype(api.name)>(library->symbol(#name));
#include "device/qaic/qaic_sim_symbols.inc"
#undef QAIC_SIM_FUNCTION
    // It computes with ONNX Runtime, which it would not find where this finds it.
    for (const std::string& dir : added_package_dirs()) {
      if (api.qaicsimAddPackageDir) (void)api.qaicsimAddPackageDir(dir.c_str());
    }
  }
  return api;
}

}  // namespace

bool version_fits(int major, int minor) noexcept {
  return major == LRT_LIB_MAJOR_VERSION && minor >= LRT_LIB_MINOR_VERSION;
}

std::vector<std::string> library_candidates() {
  if (const char* path = std::getenv(kOverride); path && *path) return {path};
  std::vector<std::string> candidates;
  if (utsname system{}; uname(&system) == 0) {
    candidates.push_back(cat("/opt/qti-aic/dev/lib/", system.machine, "/", kLibrary));
  }
  candidates.push_back(kLibrary);
  return candidates;
}

Result<const Api*> load_api() { return load_once<Api>(open_api); }

std::vector<QID> device_ids(const Api& api) {
  std::vector<QID> ids;
  for (QID id = 0; id < kMaxDevices; ++id) {
    QDevInfo info{};
    if (api.qaicGetDeviceInfo(id, &info) != QS_NODEV) ids.push_back(id);
  }
  return ids;
}

}  // namespace qaickit::qaic
