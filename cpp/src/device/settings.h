#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "qaickit/device.h"
#include "qaickit/status.h"

namespace qaickit {

// Reads a backend's settings by name, with bounds, and refuses names that it was not asked for.
class SettingsReader {
 public:
  explicit SettingsReader(const DeviceSettings& settings) : settings_(settings) {}

  // The value of `name`, or `fallback` when it is not set.
  double number(const char* name, double fallback, double min, double max);
  bool flag(const char* name, bool fallback) { return number(name, fallback ? 1 : 0, 0, 1) != 0; }
  std::string text(const char* name, std::string fallback);
  // After all reads: the first thing that was wrong, an unknown name included.
  Status finish() const;

 private:
  // The value of `name`, now known; null when it is not set.
  const std::string* find(const char* name);

  const DeviceSettings& settings_;
  std::string known_;
  size_t used_ = 0;
  Status error_;
};

}  // namespace qaickit
