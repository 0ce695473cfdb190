#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "onnxruntime/config.h"
#include "onnxruntime/session.h"

namespace fakeort {

// What the library knows of the objects that it has given out. Any thread, under the mutex.
struct State {
  std::mutex mutex;
  Config config = read_config();
  std::map<const OrtSessionOptions*, std::vector<ProviderOptions>> session_options;
  using Entries = std::map<std::string, std::string>;
  std::map<const OrtSessionOptions*, Entries> session_entries;
  std::map<const OrtMemoryInfo*, int> device_memory;  // which GPU's
  std::map<const OrtValue*, ValueRef> values;
  std::map<const OrtSession*, std::shared_ptr<GpuSession>> sessions;
  // To each session that was made.
  std::vector<std::vector<ProviderOptions>> told;
  std::vector<Entries> told_entries;
  std::map<const OrtRunOptions*, RunSettings> run_settings;
  std::map<const OrtRunOptions*, bool> terminated;
  struct Binding {
    std::shared_ptr<GpuSession> session;
    std::shared_ptr<Bound> bound;
  };
  std::map<const OrtIoBinding*, Binding> bindings;
  uint64_t runs = 0, failed_runs = 0, captures = 0, replays = 0, waiting_runs = 0;
  uint64_t most_threads = 0;
};
State& state();  // never freed: streams may outlive everything

// Under a lock of their own: callers hold the state's or a session's.
void misuse(const std::string& what);
uint64_t misuses(std::string* first);
void forget_misuse();

}  // namespace fakeort
