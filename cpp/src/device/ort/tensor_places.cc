#include "device/ort/tensor_places.h"

#include <string>

#include "device/ort/ort_session.h"

namespace qaickit::ort {
namespace {

// What differs between the inputs of a session and its outputs.
struct Side {
  OrtStatus* (*count)(const OrtSession*, size_t*);
  OrtStatus* (*name)(const OrtSession*, size_t, OrtAllocator*, char**);
  OrtStatus* (*places)(const OrtSession*, const OrtMemoryInfo**, size_t);
  size_t first;  // of the program's tensors
  const std::vector<TensorSpec>& specs;
};

Status mark(const Api& api, const OrtSession* session, const Side& side,
            std::vector<char>& on_host) {
  OrtAllocator* allocator = nullptr;
  ORT_RETURN_IF_ERROR(api, api.GetAllocatorWithDefaultOptions(&allocator), "allocator");
  size_t count = 0;
  ORT_RETURN_IF_ERROR(api, side.count(session, &count), "count");
  std::vector<const OrtMemoryInfo*> infos(count);
  ORT_RETURN_IF_ERROR(api, side.places(session, infos.data(), count), "places of the tensors");
  for (size_t i = 0; i < count; ++i) {
    OrtDeviceType device{};
    OrtMemType type{};
    api.MemoryInfoGetDeviceType(infos[i], &device);
    ORT_RETURN_IF_ERROR(api, api.MemoryInfoGetMemType(infos[i], &type), "place of a tensor");
    // Page-locked memory counts as the GPU's.
    if (device != kDeviceTypeCpu && type != kMemTypeCpuOutput) continue;
    char* name = nullptr;
    ORT_RETURN_IF_ERROR(api, side.name(session, i, allocator, &name), "name");
    for (size_t s = 0; s < side.specs.size(); ++s) {
      if (side.specs[s].name == name) on_host[side.first + s] = true;
    }
    (void)to_status(api, api.AllocatorFree(allocator, name), "");
  }
  return {};
}

}  // namespace

Result<std::vector<char>> tensors_on_host(const Api& api, const OrtSession* session,
                                          const ProgramSpec& program) {
  std::vector<char> on_host(program.num_tensors());
  const Side sides[] = {
      {api.SessionGetInputCount, api.SessionGetInputName, api.SessionGetMemoryInfoForInputs, 0,
       program.inputs},
      {api.SessionGetOutputCount, api.SessionGetOutputName, api.SessionGetMemoryInfoForOutputs,
       program.inputs.size(), program.outputs}};
  for (const Side& side : sides) QAICKIT_RETURN_IF_ERROR(mark(api, session, side, on_host));
  return on_host;
}

}  // namespace qaickit::ort
