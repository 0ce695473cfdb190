#include "device/settings.h"

#include <charconv>
#include <utility>

#include "base/cat.h"
#include "device/device_mapping.h"

namespace qaickit {

const std::string* SettingsReader::find(const char* name) {
  known_ += cat(known_.empty() ? "" : ", ", name);
  const auto found = settings_.find(name);
  if (found == settings_.end()) return nullptr;
  ++used_;
  return &found->second;
}

std::string SettingsReader::text(const char* name, std::string fallback) {
  const std::string* found = find(name);
  return found ? *found : std::move(fallback);
}

double SettingsReader::number(const char* name, double fallback, double min, double max) {
  const std::string* found = find(name);
  if (!found) return fallback;
  const std::string& text = *found;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool parsed = error == std::errc() && end == text.data() + text.size();
  if (!parsed || !(value >= min && value <= max)) {
    if (error_.ok()) {
      error_ =
          Status(Code::kInvalidArgument, cat("device setting ", name, ": expected a number from ",
                                             min, " to ", max, ", got '", text, "'"));
    }
    return fallback;
  }
  return value;
}

Status SettingsReader::finish() const {
  if (!error_.ok() || used_ == settings_.size()) return error_;
  const std::string known = ", " + known_ + ",";
  for (const auto& [name, value] : settings_) {
    if (known.find(", " + name + ",") != std::string::npos) continue;
    if (name == kDevMapping) {
      return Status(Code::kUnsupported,
                    cat("device setting ", name,
                        ": a program over several devices needs cards "
                        "(backend qaic); this backend runs the whole program on one device"));
    }
    return Status(Code::kInvalidArgument,
                  cat("unknown device setting '", name, "'; this backend knows ",
                      known_.empty() ? "none" : known_));
  }
  return {};
}

}  // namespace qaickit
