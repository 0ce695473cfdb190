#include "device/wheel_library.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>

#include "qaickit/device.h"

namespace qaickit {
namespace {

namespace fs = std::filesystem;

std::mutex dirs_mutex;
std::vector<std::string>& added_dirs() {
  static auto* dirs = new std::vector<std::string>;
  return *dirs;
}

// The directory two levels above this library: site-packages, when it lies in an installed wheel
// (site-packages/qaickit/lib/libqaickit.so).
fs::path dir_above_this_library() {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&add_package_dir), &info) == 0 || !info.dli_fname) return {};
  std::error_code error;
  const fs::path file = fs::canonical(info.dli_fname, error);
  return error ? fs::path() : file.parent_path().parent_path().parent_path();
}

}  // namespace

void add_package_dir(const std::string& dir) {
  const std::lock_guard lock(dirs_mutex);
  added_dirs().push_back(dir);
}

std::vector<std::string> added_package_dirs() {
  const std::lock_guard lock(dirs_mutex);
  return added_dirs();
}

std::vector<std::string> python_package_dirs() {
  std::vector<std::string> dirs = added_package_dirs();
  if (const fs::path own = dir_above_this_library(); !own.empty()) dirs.push_back(own.string());
  if (const char* venv = std::getenv("VIRTUAL_ENV")) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(fs::path(venv) / "lib", error)) {
      dirs.push_back((entry.path() / "site-packages").string());
    }
  }
  return dirs;
}

std::vector<std::string> wheel_library_candidates(const char* override_variable,
                                                  std::string_view package_dir,
                                                  std::string_view name,
                                                  std::vector<std::string> loader_names) {
  if (const char* path = std::getenv(override_variable); path && *path) return {path};
  std::vector<std::string> candidates;
  const std::string prefix = std::string(name) + ".";
  for (const fs::path dir : python_package_dirs()) {
    std::vector<std::string> found;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(dir / package_dir, error)) {
      const std::string file = entry.path().filename().string();
      if (file == name || file.starts_with(prefix)) found.push_back(entry.path().string());
    }
    // strverscmp: 1.9 comes before 1.10.
    std::sort(found.begin(), found.end(), [](const std::string& a, const std::string& b) {
      return strverscmp(a.c_str(), b.c_str()) > 0;
    });
    for (std::string& path : found) {
      if (std::find(candidates.begin(), candidates.end(), path) == candidates.end()) {
        candidates.push_back(std::move(path));
      }
    }
  }
  for (std::string& loader_name : loader_names) candidates.push_back(std::move(loader_name));
  return candidates;
}

}  // namespace qaickit
