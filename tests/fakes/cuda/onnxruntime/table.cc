// The table that programs get: the real one, with what has to do with GPUs replaced.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>

#include "fake_cuda.h"
#include "fake_onnxruntime.h"
#include "onnxruntime/state.h"
#include "runtime/sanitizer.h"

namespace fakeort {
namespace {

using fakecuda::Hidden;
using Lock = std::lock_guard<std::mutex>;

struct Names {
  const char* key;      // in the options
  const char* listed;   // by GetAvailableProviders
  const char* library;  // that the main one loads
};
constexpr Names kTensorRt{"tensorrt", "TensorrtExecutionProvider",
                          "libonnxruntime_providers_tensorrt.so"};
constexpr Names kCuda{"cuda", "CUDAExecutionProvider", "libonnxruntime_providers_cuda.so"};

// Providers and their options. ---------------------------------------------------------------

OrtStatus* get_providers(char*** names, int* count) {
  std::vector<const char*> found;
  for (const Names& each : {kTensorRt, kCuda}) {
    if (state().config.has(each.key)) found.push_back(each.listed);
  }
  found.push_back("CPUExecutionProvider");
  *names = new char*[found.size()];
  *count = static_cast<int>(found.size());
  for (size_t i = 0; i < found.size(); ++i) (*names)[i] = strdup(found[i]);
  return nullptr;
}

OrtStatus* release_providers(char** names, int count) {
  for (int i = 0; i < count; ++i) free(names[i]);
  delete[] names;
  return nullptr;
}

OrtStatus* check_provider(const Names& names) {
  if (!state().config.has(names.key)) {
    return error(kFail,
                 std::string(names.key) + " execution provider is not enabled in this build.");
  }
  if (!state().config.is_broken(names.key)) return nullptr;
  return error(kFail, std::string("Failed to load library ") + names.library +
                          " with error: a library that it needs: cannot open shared object file: "
                          "No such file or directory");
}

template <const Names& kNames>
OrtStatus* create_options(ProviderOptions** options) {
  if (!state().config.has(kNames.key)) return check_provider(kNames);
  *options = new ProviderOptions(kNames.key);
  return nullptr;
}

template <const Names& kNames>
OrtStatus* update_options(ProviderOptions* options, const char* const* keys,
                          const char* const* values, size_t count) {
  if (OrtStatus* const problem = check_provider(kNames)) return problem;
  return options->update(keys, values, count);
}

OrtStatus* update_with_value(ProviderOptions* options, const char* key, void* value) {
  return options->update(key, value);
}

void release_options(ProviderOptions* options) { delete options; }

template <const Names& kNames>
OrtStatus* append(OrtSessionOptions* session, const ProviderOptions* options) {
  if (OrtStatus* const problem = check_provider(kNames)) return problem;
  const Lock lock(state().mutex);
  state().session_options[session].push_back(*options);
  return nullptr;
}

void release_session_options(OrtSessionOptions* options) {
  {
    const Lock lock(state().mutex);
    state().session_options.erase(options);
    state().session_entries.erase(options);
  }
  real().ReleaseSessionOptions(options);
}

OrtStatus* add_session_entry(OrtSessionOptions* options, const char* key, const char* value) {
  {
    const Lock lock(state().mutex);
    state().session_entries[options][key] = value;
  }
  return real().AddSessionConfigEntry(options, key, value);
}

// Sessions. ----------------------------------------------------------------------------------

OrtStatus* create_session(const OrtEnv* env, const void* model, size_t bytes,
                          const OrtSessionOptions* options, OrtSession** out) {
  std::vector<ProviderOptions> providers;
  Config config;
  {
    const Lock lock(state().mutex);
    config = state().config;
    if (const auto found = state().session_options.find(options);
        found != state().session_options.end()) {
      providers = found->second;
    }
  }
  OrtSession* made = nullptr;
  if (OrtStatus* const problem = real().CreateSessionFromArray(env, model, bytes, options, &made)) {
    return problem;
  }
  if (!providers.empty()) {
    OrtStatus* problem = nullptr;
    auto session = GpuSession::create(made, providers, config, bytes, &problem);
    if (!session) {
      real().ReleaseSession(made);
      return problem;
    }
    const Lock lock(state().mutex);
    state().sessions[made] = std::move(session);
    state().told.push_back(std::move(providers));
    state().told_entries.push_back(state().session_entries[options]);
  }
  *out = made;
  return nullptr;
}

std::shared_ptr<GpuSession> find_session(const OrtSession* session) {
  const Hidden hidden;
  const Lock lock(state().mutex);
  const auto found = state().sessions.find(session);
  return found == state().sessions.end() ? nullptr : found->second;
}

void release_session(OrtSession* session) {
  std::shared_ptr<GpuSession> gone;
  {
    const Lock lock(state().mutex);
    if (const auto found = state().sessions.find(session); found != state().sessions.end()) {
      gone = std::move(found->second);
      state().sessions.erase(found);
    }
    for (const auto& [binding, bound] : state().bindings) {
      if (gone && bound.session == gone) misuse("a session is released before its bindings");
    }
  }
  if (gone) {
    const size_t threads = gone->threads();
    const Lock lock(state().mutex);
    state().most_threads = std::max<uint64_t>(state().most_threads, threads);
  }
  gone.reset();
  real().ReleaseSession(session);
}

OrtStatus* run(OrtSession* session, const OrtRunOptions* options, const char* const* input_names,
               const OrtValue* const* inputs, size_t num_inputs, const char* const* output_names,
               size_t num_outputs, OrtValue** outputs) {
  if (find_session(session)) {
    return error(kFail, "the fake does not copy: bind device memory and use RunWithBinding");
  }
  return real().Run(session, options, input_names, inputs, num_inputs, output_names, num_outputs,
                    outputs);
}

// Memory. ------------------------------------------------------------------------------------

OrtStatus* create_memory_info(const char* name, int allocator, int id, int type,
                              OrtMemoryInfo** out) {
  OrtStatus* const problem = real().CreateMemoryInfo(name, allocator, id, type, out);
  if (!problem && std::string_view(name) == "Cuda") {
    const Lock lock(state().mutex);
    state().device_memory[*out] = id;
  }
  return problem;
}

void release_memory_info(OrtMemoryInfo* info) {
  {
    const Lock lock(state().mutex);
    state().device_memory.erase(info);
  }
  real().ReleaseMemoryInfo(info);
}

const OrtMemoryInfo* cpu_memory() {
  static OrtMemoryInfo* const info = [] {
    OrtMemoryInfo* made = nullptr;
    constexpr int kDeviceAllocator = 0;
    (void)real().CreateCpuMemoryInfo(kDeviceAllocator, 0, &made);
    return made;
  }();
  return info;
}

OrtStatus* create_tensor(const OrtMemoryInfo* info, void* data, size_t bytes, const int64_t* dims,
                         size_t num_dims, int type, OrtValue** out) {
  int device = DeviceValue::kHost;
  {
    const Lock lock(state().mutex);
    const auto found = state().device_memory.find(info);
    if (found != state().device_memory.end()) device = found->second;
  }
  if (device < 0 && fakecudaMemoryType(data) == 2) {
    return error(kInvalidArgument, "device memory is given as the CPU's");
  }
  auto value = std::make_shared<DeviceValue>();
  int owner = device;
  static char nothing;  // what an empty tensor has
  value->address = data;
  value->bytes = bytes;
  value->device = device;
  value->contents = !bytes ? &nothing : device < 0 ? data : fakecudaContents(data, bytes, &owner);
  if (!value->contents || owner != device) {
    return error(kInvalidArgument,
                 "the tensor is not in the memory of GPU " + std::to_string(device));
  }
  // One for the program, and one that lives as long as something is bound to it.
  for (OrtValue** each : {out, &value->value}) {
    if (OrtStatus* const problem = real().CreateTensorWithDataAsOrtValue(
            cpu_memory(), value->contents, bytes, dims, num_dims, type, each)) {
      return problem;
    }
  }
  const Lock lock(state().mutex);
  state().values[*out] = std::move(value);
  return nullptr;
}

void release_value(OrtValue* value) {
  {
    const Lock lock(state().mutex);
    state().values.erase(value);
  }
  real().ReleaseValue(value);
}

// Bindings. ----------------------------------------------------------------------------------

OrtStatus* create_binding(OrtSession* session, OrtIoBinding** out) {
  auto gpu = find_session(session);
  if (!gpu) return real().CreateIoBinding(session, out);
  *out = reinterpret_cast<OrtIoBinding*>(new char);
  const Lock lock(state().mutex);
  state().bindings[*out] = {std::move(gpu), std::make_shared<Bound>()};
  return nullptr;
}

void release_binding(OrtIoBinding* binding) {
  {
    const Lock lock(state().mutex);
    if (state().bindings.erase(binding) == 1) {
      delete reinterpret_cast<char*>(binding);
      return;
    }
  }
  real().ReleaseIoBinding(binding);
}

using BindReal = OrtStatus* (*)(OrtIoBinding*, const char*, const OrtValue*);

OrtStatus* bind(OrtIoBinding* binding, const char* name, const OrtValue* value, BindReal bind_real,
                std::vector<std::string> Bound::* names, std::vector<ValueRef> Bound::* values) {
  const Lock lock(state().mutex);
  const auto found = state().bindings.find(binding);
  if (found == state().bindings.end()) return bind_real(binding, name, value);
  const auto device_value = state().values.find(value);
  const bool on_host = found->second.session->is_on_host(name);
  const bool is_host =
      device_value == state().values.end() || device_value->second->device == DeviceValue::kHost;
  if (is_host != on_host) {
    return error(kInvalidArgument, std::string("'") + name + "' is not in " +
                                       (on_host ? "the host's" : "device") + " memory");
  }
  if (!is_host && device_value->second->device != found->second.session->device()) {
    return error(kInvalidArgument, std::string("'") + name + "' is in another GPU's memory");
  }
  // A run that is under way keeps what it was started with.
  auto changed = std::make_shared<Bound>(*found->second.bound);
  auto& bound_names = (*changed).*names;
  auto& bound_values = (*changed).*values;
  const auto at = std::find(bound_names.begin(), bound_names.end(), std::string_view(name)) -
                  bound_names.begin();
  if (static_cast<size_t>(at) == bound_names.size()) {
    bound_names.emplace_back(name);
    bound_values.emplace_back();
  }
  bound_values[static_cast<size_t>(at)] = device_value->second;
  found->second.bound = std::move(changed);
  return nullptr;
}

OrtStatus* bind_input(OrtIoBinding* binding, const char* name, const OrtValue* value) {
  return bind(binding, name, value, real().BindInput, &Bound::input_names, &Bound::inputs);
}

OrtStatus* bind_output(OrtIoBinding* binding, const char* name, const OrtValue* value) {
  return bind(binding, name, value, real().BindOutput, &Bound::output_names, &Bound::outputs);
}

// Where a session uses its inputs, or its outputs.
template <bool kInputs>
OrtStatus* get_places(const OrtSession* session, const OrtMemoryInfo** infos, size_t count) {
  static OrtMemoryInfo* const device_memory = [] {
    OrtMemoryInfo* made = nullptr;
    (void)real().CreateMemoryInfo("Cuda", 0, 0, 0, &made);
    return made;
  }();
  OrtAllocator* allocator = nullptr;
  (void)real().GetAllocatorWithDefaultOptions(&allocator);
  const auto gpu = find_session(session);
  for (size_t i = 0; i < count; ++i) {
    char* name = nullptr;
    OrtStatus* const problem = kInputs ? real().SessionGetInputName(session, i, allocator, &name)
                                       : real().SessionGetOutputName(session, i, allocator, &name);
    if (problem) return problem;
    infos[i] = !gpu || gpu->is_on_host(name) ? cpu_memory() : device_memory;
    (void)real().AllocatorFree(allocator, name);
  }
  return nullptr;
}

// Runs. --------------------------------------------------------------------------------------

OrtStatus* create_run_options(OrtRunOptions** options) {
  OrtStatus* const problem = real().CreateRunOptions(options);
  if (problem) return problem;
  const Lock lock(state().mutex);
  state().run_settings[*options] = {};
  state().terminated[*options] = false;
  return nullptr;
}

void release_run_options(OrtRunOptions* options) {
  {
    const Lock lock(state().mutex);
    state().run_settings.erase(options);
    state().terminated.erase(options);
  }
  real().ReleaseRunOptions(options);
}

// onnxruntime_run_options_config_keys.h.
OrtStatus* add_run_config(OrtRunOptions* options, const char* key, const char* value) {
  {
    const Lock lock(state().mutex);
    RunSettings& settings = state().run_settings[options];
    const std::string_view name = key;
    if (name == "gpu_graph_id") settings.graph_id = std::stoll(value);
    if (name == "disable_synchronize_execution_providers") {
      settings.waits = std::string_view(value) != "1";
    }
  }
  return real().AddRunConfigEntry(options, key, value);
}

template <bool kTerminated>
OrtStatus* set_terminated(OrtRunOptions* options) {
  {
    const Lock lock(state().mutex);
    state().terminated[options] = kTerminated;
  }
  return kTerminated ? real().RunOptionsSetTerminate(options)
                     : real().RunOptionsUnsetTerminate(options);
}

OrtStatus* run_with_binding(OrtSession* session, const OrtRunOptions* options,
                            const OrtIoBinding* binding) {
  const auto gpu = find_session(session);
  if (!gpu) return real().RunWithBinding(session, options, binding);
  std::shared_ptr<const Bound> bound;
  RunSettings settings;
  bool terminated = false;
  {
    const Hidden hidden;
    const Lock lock(state().mutex);
    ++state().runs;
    const auto found = state().bindings.find(binding);
    if (found != state().bindings.end() && found->second.session == gpu) {
      bound = found->second.bound;
    }
    if (const auto known = state().run_settings.find(options);
        known != state().run_settings.end()) {
      settings = known->second;
      terminated = state().terminated[options];
    }
    if (settings.waits) ++state().waiting_runs;
  }
  OrtStatus* problem = nullptr;
  if (!bound) {
    problem = error(kInvalidArgument, "the binding is not of this session");
  } else if (terminated) {
    problem = error(kFail, "Exiting due to terminate flag being set to true.");
  } else {
    problem = gpu->run(bound, settings);
  }
  if (problem) {
    const Lock lock(state().mutex);
    ++state().failed_runs;
  }
  return problem;
}

// --------------------------------------------------------------------------------------------

struct Replacement {
  size_t slot;
  Slot function;
};

template <class F>
Slot slot_of(F* function) {
  return reinterpret_cast<Slot>(function);
}

const Slot* get_api(uint32_t version) {
  unsigned major = 0;
  unsigned minor = 0;
  (void)std::sscanf(state().config.version.c_str(), "%u.%u", &major, &minor);
  if (version > kApiVersion || (major <= 1 && minor < version)) return nullptr;
  static const auto* const table = [] {
    const Replacement replacements[] = {
        {8, slot_of(create_session)},
        {9, slot_of(run)},
        {39, slot_of(create_run_options)},
        {46, slot_of(set_terminated<true>)},
        {47, slot_of(set_terminated<false>)},
        {49, slot_of(create_tensor)},
        {68, slot_of(create_memory_info)},
        {94, slot_of(release_memory_info)},
        {95, slot_of(release_session)},
        {96, slot_of(release_value)},
        {97, slot_of(release_run_options)},
        {100, slot_of(release_session_options)},
        {125, slot_of(get_providers)},
        {126, slot_of(release_providers)},
        {130, slot_of(add_session_entry)},
        {133, slot_of(run_with_binding)},
        {134, slot_of(create_binding)},
        {135, slot_of(release_binding)},
        {136, slot_of(bind_input)},
        {137, slot_of(bind_output)},
        {165, slot_of(add_run_config)},
        {170, slot_of(append<kTensorRt>)},
        {171, slot_of(create_options<kTensorRt>)},
        {172, slot_of(update_options<kTensorRt>)},
        {174, slot_of(release_options)},
        {204, slot_of(append<kCuda>)},
        {205, slot_of(create_options<kCuda>)},
        {206, slot_of(update_options<kCuda>)},
        {208, slot_of(release_options)},
        {261, slot_of(update_with_value)},
        {263, slot_of(update_with_value)},
        {380, slot_of(get_places<true>)},
        {381, slot_of(get_places<false>)},
    };
    auto* const made = new Slot[kSlots];
    std::copy(std::begin(real().table), std::end(real().table), made);
    for (const Replacement& each : replacements) made[each.slot] = each.function;
    return made;
  }();
  return table;
}

struct ApiBase {
  const Slot* (*get_api)(uint32_t version);
  const char* (*get_version)();
};

}  // namespace
}  // namespace fakeort

#define FAKE_ORT_EXPORT extern "C" __attribute__((visibility("default")))

using namespace fakeort;

FAKE_ORT_EXPORT const ApiBase* OrtGetApiBase() {
  static const ApiBase base{get_api, [] { return state().config.version.c_str(); }};
  return &base;
}

FAKE_ORT_EXPORT void fakeortReload(void) {
  const Lock lock(state().mutex);
  state().config = read_config();
  forget_misuse();
}

FAKE_ORT_EXPORT void fakeortGetCounters(FakeOrtCounters* counters) {
  const Lock lock(state().mutex);
  uint64_t threads = state().most_threads;
  for (const auto& [pointer, session] : state().sessions) {
    threads = std::max<uint64_t>(threads, session->threads());
  }
  *counters = {
      .sessions = state().told.size(),
      .live_sessions = state().sessions.size(),
      .live_bindings = state().bindings.size(),
      .live_values = state().values.size(),
      .runs = state().runs,
      .failed_runs = state().failed_runs,
      .captures = state().captures,
      .replays = state().replays,
      .waiting_runs = state().waiting_runs,
      .most_threads = threads,
  };
}

FAKE_ORT_EXPORT int fakeortSessionOption(uint64_t nth, const char* provider, const char* key,
                                         char* text, size_t bytes) {
  const Lock lock(state().mutex);
  if (nth >= state().told.size()) return 0;
  if (std::string_view(provider) == "session") {
    const auto found = state().told_entries[nth].find(key);
    if (found == state().told_entries[nth].end()) return 0;
    std::snprintf(text, bytes, "%s", found->second.c_str());
    return 1;
  }
  for (const ProviderOptions& options : state().told[nth]) {
    const std::string* const value = options.provider() == provider ? options.find(key) : nullptr;
    if (!value) continue;
    std::snprintf(text, bytes, "%s", value->c_str());
    return 1;
  }
  return 0;
}

FAKE_ORT_EXPORT uint64_t fakeortMisuse(char* text, size_t bytes) {
  std::string first;
  const uint64_t count = misuses(&first);
  if (text && bytes > 0) std::snprintf(text, bytes, "%s", first.c_str());
  return count;
}
