#include "base/dynamic_library.h"

#include <dlfcn.h>

#include "base/cat.h"

namespace qaickit {

Result<DynamicLibrary> DynamicLibrary::open_first(std::span<const std::string> candidates,
                                                  const std::string& what) {
  std::string tried;
  for (const std::string& path : candidates) {
    if (void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
      return DynamicLibrary(handle, path);
    }
    const char* why = dlerror();
    tried += cat("\n  ", path, ": ", why ? why : "unknown error");
  }
  if (tried.empty()) tried = "\n  (no file of that name in the places searched)";
  return Status(Code::kUnavailable, cat(what, " could not be loaded; tried:", tried));
}

void* DynamicLibrary::symbol(const char* name) const noexcept { return dlsym(handle_, name); }

}  // namespace qaickit
