#include "device/cuda/cuda_slot.h"

#include <cstring>

#include "base/cat.h"

namespace qaickit::cuda {
namespace {

constexpr size_t kTensorAlignment = 256;  // as cudaMalloc gives

// Where each tensor lies in one block of memory; the last is the size of the block.
Result<std::vector<size_t>> lay_out(const ProgramSpec& program) {
  std::vector<size_t> offsets;
  size_t end = 0;
  for (size_t t = 0; t < program.num_tensors(); ++t) {
    offsets.push_back(end);
    size_t bytes = program.tensor(t).bytes();
    // At least one unit, so that an empty tensor has an address of its own.
    if (__builtin_add_overflow(bytes, kTensorAlignment, &bytes) ||
        __builtin_add_overflow(end, bytes - bytes % kTensorAlignment, &end)) {
      return Status(Code::kResourceExhausted,
                    cat("the tensors of program '", program.name, "' are larger than memory"));
    }
  }
  offsets.push_back(end);
  return offsets;
}

}  // namespace

Result<std::unique_ptr<Slot>> Slot::create(Gpu& gpu, const Loaded& loaded) {
  std::unique_ptr<Slot> slot(new Slot(gpu, loaded));
  QAICKIT_RETURN_IF_ERROR(slot->init());
  return slot;
}

Status Slot::init() {
  const ProgramSpec& program = loaded_.qpc->program();
  QAICKIT_ASSIGN_OR_RETURN(offsets_, lay_out(program));
  bytes_ = offsets_.back();
  sets_.resize(program.num_shape_sets());
  targets.resize(program.outputs.size());
  const Api& cuda = gpu_.cuda;
  void* memory = nullptr;
  QAICKIT_RETURN_IF_ERROR(gpu_.check(cuda.cudaMalloc(&memory, bytes_), "cudaMalloc", bytes_));
  device_ = static_cast<std::byte*>(memory);
  QAICKIT_RETURN_IF_ERROR(
      gpu_.check(cuda.cudaHostAlloc(&memory, bytes_, kHostAllocPortable), "cudaHostAlloc", bytes_));
  host_ = static_cast<std::byte*>(memory);
  clear();
  for (CudaEvent* event : {&copied_in, &computed}) {
    CUDA_RETURN_IF_ERROR(gpu_, cudaEventCreateWithFlags, event, kEventDisableTiming);
  }
  CUDA_RETURN_IF_ERROR(gpu_, cudaEventCreateWithFlags, &done,
                       kEventDisableTiming | kEventBlockingSync);
  return {};
}

Slot::~Slot() {
  const Api& cuda = gpu_.cuda;
  for (const CudaEvent event : {copied_in, computed, done}) {
    if (event) (void)cuda.cudaEventDestroy(event);
  }
  if (host_) (void)cuda.cudaFreeHost(host_);
  if (device_) (void)cuda.cudaFree(device_);
}

void Slot::clear() noexcept { std::memset(host_, 0, bytes_); }

Status Slot::clear_device(CudaStream stream) noexcept {
  CUDA_RETURN_IF_ERROR(gpu_, cudaMemsetAsync, device_, 0, bytes_, stream);
  return {};
}

Status Slot::copy_in(size_t t, const std::byte* from, size_t bytes, CudaStream stream) noexcept {
  if (bytes == 0 || on_host(t)) return {};
  CUDA_RETURN_IF_ERROR(gpu_, cudaMemcpyAsync, device(t), from, bytes, kHostToDevice, stream);
  return {};
}

Status Slot::copy_out(CudaStream stream) noexcept {
  for (size_t i = 0; i < targets.size(); ++i) {
    const size_t t = num_inputs() + i;
    if (targets[i].bytes == 0 || on_host(t)) continue;
    CUDA_RETURN_IF_ERROR(gpu_, cudaMemcpyAsync, host(t), device(t), targets[i].bytes, kDeviceToHost,
                         stream);
  }
  return {};
}

void Slot::copy_to_targets() noexcept {
  for (size_t i = 0; i < targets.size(); ++i) {
    if (targets[i].to) std::memcpy(targets[i].to, host(num_inputs() + i), targets[i].bytes);
  }
}

Status Slot::bind(size_t set, int graph_id) {
  if (is_bound(set)) return {};
  const ort::Api& api = gpu_.ort;
  const ProgramSpec& program = loaded_.qpc->program();
  ShapeSet made;
  ort::OrtRunOptions* options = nullptr;
  ORT_RETURN_IF_ERROR(api, api.CreateRunOptions(&options), "CreateRunOptions");
  made.options = {options, {api.ReleaseRunOptions}};
  // The events tell when a run has ended; waiting inside would keep the next from being prepared.
  ORT_RETURN_IF_ERROR(
      api, api.AddRunConfigEntry(options, "disable_synchronize_execution_providers", "1"),
      "run option");
  if (loaded_.graphs) {
    ORT_RETURN_IF_ERROR(
        api, api.AddRunConfigEntry(options, "gpu_graph_id", std::to_string(graph_id).c_str()),
        "run option");
  }
  ort::OrtIoBinding* binding = nullptr;
  ORT_RETURN_IF_ERROR(api, api.CreateIoBinding(loaded_.session.get(), &binding), "CreateIoBinding");
  made.binding = {binding, {api.ReleaseIoBinding}};
  for (size_t t = 0; t < program.num_tensors(); ++t) {
    const auto& memory = on_host(t) ? loaded_.host_memory : loaded_.device_memory;
    QAICKIT_ASSIGN_OR_RETURN(auto value, ort::wrap(api, memory.get(), program, set, t,
                                                   on_host(t) ? host(t) : device(t)));
    const char* const name = program.tensor(t).name.c_str();
    const auto bind_one = t < program.inputs.size() ? api.BindInput : api.BindOutput;
    ORT_RETURN_IF_ERROR(api, bind_one(binding, name, value.get()), "binding a tensor");
    made.values.push_back(std::move(value));
  }
  sets_[set] = std::move(made);
  return {};
}

Status Slot::run(size_t set) noexcept {
  const ShapeSet& shapes = sets_[set];
  return ort::to_status(
      gpu_.ort,
      gpu_.ort.RunWithBinding(loaded_.session.get(), shapes.options.get(), shapes.binding.get()),
      "RunWithBinding");
}

}  // namespace qaickit::cuda
