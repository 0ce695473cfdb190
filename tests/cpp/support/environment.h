#pragma once

#include <cstdlib>
#include <optional>
#include <string>

namespace qaickit::test {

// Sets an environment variable (or unsets it: null) while it lives.
class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    set(value);
  }
  Environment(const Environment&) = delete;
  ~Environment() { set(old_ ? old_->c_str() : nullptr); }

 private:
  void set(const char* value) const {
    value ? setenv(name_.c_str(), value, 1) : unsetenv(name_.c_str());
  }
  std::string name_;
  std::optional<std::string> old_;
};

}  // namespace qaickit::test
