#pragma once

#include <memory>
#include <span>
#include <string>
#include <utility>

#include "qaickit/status.h"

namespace qaickit {

// A shared library opened at run time. Never unloaded: vendor libraries keep threads and
// thread-local destructors that would run into unmapped code.
class DynamicLibrary {
 public:
  // Opens the first of `candidates` that loads. Error kUnavailable lists each path tried and why it
  // failed.
  static Result<DynamicLibrary> open_first(std::span<const std::string> candidates,
                                           const std::string& what);

  const std::string& path() const noexcept { return path_; }
  // Null when there is no such symbol.
  void* symbol(const char* name) const noexcept;

 private:
  DynamicLibrary(void* handle, std::string path) : handle_(handle), path_(std::move(path)) {}
  void* handle_;
  std::string path_;
};

}  // namespace qaickit
