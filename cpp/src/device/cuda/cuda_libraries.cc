#include "device/cuda/cuda_libraries.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>

#include "base/cat.h"
#include "base/dynamic_library.h"
#include "container/file_image.h"
#include "device/cuda/elf_needed.h"
#include "device/wheel_library.h"

namespace qaickit::cuda {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kRuntime = "libcudart.so.";
constexpr std::array kRuntimeNames = {"libcudart.so.13", "libcudart.so.12"};
constexpr const char* kCudnn = "libcudnn.so.9";
// What the provider opens by itself when a graph has use for it, by the runtime it was built with.
struct OptionalLibrary {
  std::string_view runtime;
  const char* name;
};
constexpr std::array<OptionalLibrary, 6> kOptional{{{"libcudart.so.13", "libnvrtc.so.13"},
                                                    {"libcudart.so.13", "libcufft.so.12"},
                                                    {"libcudart.so.13", kCudnn},
                                                    {"libcudart.so.12", "libnvrtc.so.12"},
                                                    {"libcudart.so.12", "libcufft.so.11"},
                                                    {"libcudart.so.12", kCudnn}}};

// Its folder differs by wheel: nvidia/cu13/lib, nvidia/cudnn/lib, ..., tensorrt_libs.
std::vector<std::string> places_of(const std::string& name) {
  std::vector<std::string> places;
  for (const std::string& dir : python_package_dirs()) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(fs::path(dir) / "nvidia", error)) {
      const fs::path file = entry.path() / "lib" / name;
      if (fs::exists(file, error)) places.push_back(file.string());
    }
    const fs::path file = fs::path(dir) / "tensorrt_libs" / name;
    if (fs::exists(file, error)) places.push_back(file.string());
  }
  places.push_back(name);
  return places;
}

// What the provider needs of NVIDIA's, but for the driver, which cuda_api.cc opens.
std::vector<std::string> needs_of(const std::string& provider) {
  if (provider.empty()) return {};
  const auto image = FileImage::map(provider);
  if (!image.ok()) return {};
  auto needed = needed_libraries(image.value().bytes());
  if (!needed.ok()) return {};
  std::erase_if(*needed, [](const std::string& name) {
    return name.starts_with("libcuda.so") ||
           !(name.starts_with("libcu") || name.starts_with("libnv"));
  });
  return std::move(needed).value();
}

std::vector<std::string> options_of(const std::vector<std::string>& needs) {
  std::vector<std::string> names;
  for (const OptionalLibrary& row : kOptional) {
    const auto has = [&needs](std::string_view name) {
      return std::find(needs.begin(), needs.end(), name) != needs.end();
    };
    if (has(row.runtime) && !has(row.name)) names.emplace_back(row.name);
  }
  return names;
}

struct Opened {
  std::string name;
  Result<DynamicLibrary> library;
};

// A library that needs one further down the list is opened in the second round.
std::vector<Opened> open_all(std::vector<std::string> names) {
  std::vector<Opened> opened;
  for (std::string& name : names) {
    auto library = DynamicLibrary::open_first(places_of(name), name);
    opened.push_back({std::move(name), std::move(library)});
  }
  for (Opened& each : opened) {
    if (!each.library.ok()) {
      each.library = DynamicLibrary::open_first(places_of(each.name), each.name);
    }
  }
  return opened;
}

}  // namespace

std::string find_provider(const std::string& ort_path, const char* name) {
  const fs::path file = fs::path(ort_path).parent_path() / name;
  std::error_code error;
  return file.has_parent_path() && fs::exists(file, error) ? file.string() : std::string();
}

std::vector<std::string> runtime_candidates(const std::string& provider) {
  std::vector<std::string> names(kRuntimeNames.begin(), kRuntimeNames.end());
  for (const std::string& needed : needs_of(provider)) {
    if (needed.starts_with(kRuntime)) names = {needed};
  }
  std::vector<std::string> candidates;
  for (const std::string& name : names) {
    for (std::string& place : places_of(name)) candidates.push_back(std::move(place));
  }
  return candidates;
}

int needed_runtime(const std::string& provider) {
  int major = 0;
  for (const std::string& needed : needs_of(provider)) {
    if (needed.starts_with(kRuntime)) {
      (void)std::from_chars(needed.data() + kRuntime.size(), needed.data() + needed.size(), major);
    }
  }
  return major;
}

Status load_libraries(const std::string& provider, const char* advice) {
  const std::vector<std::string> needs = needs_of(provider);
  for (const Opened& each : open_all(needs)) {
    if (each.library.ok()) continue;
    return Status(Code::kUnavailable, cat(provider, " needs a library that is missing: ",
                                          each.library.status().message(), "\n", advice));
  }
  (void)open_all(options_of(needs));
  return {};
}

std::vector<std::pair<std::string, std::string>> library_details(const std::string& provider) {
  std::vector<std::string> names = needs_of(provider);
  for (std::string& name : options_of(names)) names.push_back(std::move(name));
  std::vector<std::pair<std::string, std::string>> details;
  for (const Opened& each : open_all(std::move(names))) {
    details.emplace_back(each.name, each.library.ok() ? each.library.value().path()
                                                      : cat("not found; ", kInstallAdvice));
  }
  return details;
}

}  // namespace qaickit::cuda
