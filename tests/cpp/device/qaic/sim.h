#pragma once

#include <dlfcn.h>

#include <cstdlib>
#include <initializer_list>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>

#include "qaicsim.h"

namespace qaickit::test {

// The simulator as the library of the `qaic` backend, with an environment of its own: cards that
// echo input 0 to output 0 unless said. Every test starts with one.
class Sim {
 public:
  Sim(std::initializer_list<std::pair<const std::string, std::string>> values = {}) {
    setenv("QAIC_LIB", QAIC_SIM_LIBRARY, 1);
    std::map<std::string, std::string> variables(values);
    variables.emplace("COMPUTE", "echo");
    for (const char* name : {"DEVICES", "NSPS", "LATENCY_US", "PER_SAMPLE_US", "JITTER_US",
                             "SPIN_US", "COMPUTE", "LOG", "FAULTS"}) {
      const std::string full = std::string("QAICKIT_SIM_") + name;
      const auto found = variables.find(name);
      found == variables.end() ? unsetenv(full.c_str())
                               : setenv(full.c_str(), found->second.c_str(), 1);
    }
    handle_ = dlopen(QAIC_SIM_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!handle_) throw std::runtime_error(dlerror());
    expect(find<decltype(::qaicsimReload)>("qaicsimReload")());
  }

  void faults(const std::string& plan) {
    expect(find<decltype(::qaicsimSetFaults)>("qaicsimSetFaults")(plan.c_str()));
  }
  void reset(QID device) {
    expect(find<decltype(::qaicsimResetDevice)>("qaicsimResetDevice")(device));
  }
  uint64_t live_objects() { return find<decltype(::qaicsimLiveObjects)>("qaicsimLiveObjects")(); }
  QAicSimCounters counters(QID device) {
    QAicSimCounters counters{};
    expect(find<decltype(::qaicsimGetCounters)>("qaicsimGetCounters")(device, &counters));
    return counters;
  }

 private:
  template <class F>
  F* find(const char* name) {
    return reinterpret_cast<F*>(dlsym(handle_, name));
  }

  void expect(QStatus status) {
    if (status != QS_SUCCESS) throw std::runtime_error("qaicsim: " + std::to_string(status));
  }
  void* handle_;
};

}  // namespace qaickit::test
