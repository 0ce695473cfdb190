#include "onnxruntime/state.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>

namespace fakeort {
namespace {

struct ApiBase {
  const Slot* (*get_api)(uint32_t version);
  const char* (*get_version)();
};

[[noreturn]] void end(const std::string& message) {
  std::fprintf(stderr, "fake ONNX Runtime: %s\n", message.c_str());
  std::abort();
}

RealApi open_real() {
  const char* path = std::getenv("QAICKIT_FAKEORT_LIB");
  if (!path) end("QAICKIT_FAKEORT_LIB does not name the real library");
  void* const library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) end(dlerror());
  using GetBase = const ApiBase* (*)();
  const auto get_base = reinterpret_cast<GetBase>(dlsym(library, "OrtGetApiBase"));
  if (!get_base) end(std::string(path) + " has no OrtGetApiBase");
  const Slot* const table = get_base()->get_api(kApiVersion);
  if (!table) end(std::string(path) + " is too old");
  RealApi api;
#define FAKEORT_REAL(slot, name, result, arguments) \
  api.name = reinterpret_cast<result(*) arguments>(const_cast<void*>(table[slot]));
#include "onnxruntime/real_functions.inc"
#undef FAKEORT_REAL
  for (size_t i = 0; i < kSlots; ++i) api.table[i] = table[i];
  api.version = get_base()->get_version();
  return api;
}

std::string variable(const char* name, const std::string& otherwise) {
  const char* const value = std::getenv(name);
  return value ? value : otherwise;
}

bool one_of(const char* name, const char* first, const char* second, const char* otherwise) {
  const std::string value = variable(name, otherwise);
  if (value == first) return true;
  if (value == second) return false;
  end(std::string(name) + " is '" + value + "'; expected '" + first + "' or '" + second + "'");
}

}  // namespace

const RealApi& real() {
  static const auto* const api = new RealApi(open_real());
  return *api;
}

OrtStatus* error(ErrorCode code, const std::string& message) {
  return real().CreateStatus(code, message.c_str());
}

Config read_config() {
  Config config;
  config.version = variable("QAICKIT_FAKEORT_VERSION", real().version);
  config.providers = variable("QAICKIT_FAKEORT_PROVIDERS", config.providers);
  config.broken = variable("QAICKIT_FAKEORT_BROKEN", config.broken);
  config.echo = one_of("QAICKIT_FAKEORT_COMPUTE", "echo", "1", "1");
  config.cpu_nodes = one_of("QAICKIT_FAKEORT_CPU_NODES", "1", "0", "0");
  config.host_tensors = variable("QAICKIT_FAKEORT_HOST_TENSORS", "");
  config.sync_replay = one_of("QAICKIT_FAKEORT_SYNC_REPLAY", "1", "0", "1");
  return config;
}

State& state() {
  static auto* const all = new State;
  return *all;
}

namespace {

struct Misuse {
  std::mutex mutex;
  uint64_t count = 0;
  std::string first;
};
Misuse& all_misuse() {
  static auto* const all = new Misuse;
  return *all;
}

}  // namespace

void misuse(const std::string& what) {
  const std::lock_guard lock(all_misuse().mutex);
  if (all_misuse().count++ == 0) all_misuse().first = what;
}

uint64_t misuses(std::string* first) {
  const std::lock_guard lock(all_misuse().mutex);
  *first = all_misuse().first;
  return all_misuse().count;
}

void forget_misuse() {
  const std::lock_guard lock(all_misuse().mutex);
  all_misuse().count = 0;
  all_misuse().first.clear();
}

}  // namespace fakeort
