// What fake_cuda.h has for tests and for the fake of ONNX Runtime.

#include <chrono>
#include <thread>

#include "runtime/api.h"
#include "runtime/sanitizer.h"

using namespace fakecuda;

FAKE_CUDA_EXPORT void fakecudaReload(void) {
  Machine::reload();
  thread() = {};
}

FAKE_CUDA_EXPORT int fakecudaSetFaults(const char* plan) {
  return Machine::get().set_faults(plan) ? 0 : 1;
}

FAKE_CUDA_EXPORT int fakecudaGetCounters(int id, FakeCudaCounters* counters) {
  const Machine& machine = Machine::get();
  if (id < 0 || id >= static_cast<int>(machine.devices.size())) return 1;
  const Device& device = *machine.devices[static_cast<size_t>(id)];
  *counters = {
      .allocations = device.allocations.get(),
      .live_allocations = device.live_allocations.get(),
      .live_bytes = device.live_bytes.get(),
      .pinned_allocations = machine.pinned_allocations.get(),
      .live_pinned = machine.live_pinned.get(),
      .live_streams = device.live_streams.get(),
      .live_events = machine.live_events.get(),
      .copies = device.copies.get(),
      .pageable_copies = device.pageable_copies.get(),
      .fills = device.fills.get(),
      .launches = device.launches.get(),
      .default_stream_ops = device.default_stream_ops.get(),
      .stream_waits = device.stream_waits.get(),
      .busy_streams = device.most_busy.get(),
  };
  return 0;
}

FAKE_CUDA_EXPORT uint64_t fakecudaMisuse(char* text, size_t bytes) {
  return Machine::get().misuses(text, bytes);
}

FAKE_CUDA_EXPORT void* fakecudaContents(const void* device_memory, size_t bytes, int* device) {
  const Hidden hidden;
  BlockRef block;
  std::byte* const contents = Machine::get().memory.contents(device_memory, bytes, &block);
  if (!contents || block->device == kHost) return nullptr;
  if (device) *device = block->device;
  return contents;
}

FAKE_CUDA_EXPORT int fakecudaLaunch(void* handle, void (*kernel)(void*, int), void* argument) {
  std::shared_ptr<Stream> stream;
  if (const int error = use_stream(static_cast<cudaStream_t>(handle), &stream)) return error;
  if (const int error = check_capture(*stream)) return error;
  Machine& machine = Machine::get();
  Device& device = stream->device();
  // A kernel must be launched while its stream's device is the current one (CUDA Programming Guide,
  // "Stream and Event Behavior").
  if (thread().device != device.id) return fail(cudaErrorInvalidResourceHandle);
  const FaultPlan faults = machine.faults();
  const uint64_t nth = device.fault_launches.add();
  Operation launch;
  if (faults.hits(device.id)) {
    if (nth == faults.lost_at_launch) {
      device.lose();
      return fail(device.status());
    }
    if (nth == faults.refuse_at || faults.draw(faults.refuse, 2, nth)) {
      return fail(cudaErrorLaunchOutOfResources);
    }
    launch.loses = nth == faults.lost_in_kernel || faults.draw(faults.lost, 3, nth);
    if (nth == faults.hang_at) launch.hangs_with = faults.number;
  }
  launch.kind = Operation::Kind::kKernel;
  launch.kernel = kernel;
  launch.argument = argument;
  launch.duration_us = machine.config.latency_us;
  device.launches.add();
  device.issue(*stream, std::move(launch));
  return 0;
}

FAKE_CUDA_EXPORT int fakecudaStreamDevice(void* handle, int* device) {
  std::shared_ptr<Stream> stream;
  if (const int error = use_stream(static_cast<cudaStream_t>(handle), &stream)) return error;
  *device = stream->device().id;
  return 0;
}

FAKE_CUDA_EXPORT uint64_t fakecudaMemory(void) { return Machine::get().config.memory; }

FAKE_CUDA_EXPORT unsigned fakecudaMemoryType(const void* address) {
  const Hidden hidden;
  const BlockRef block = Machine::get().memory.around(address);
  return !block ? 0u : block->device == kHost ? 1u : 2u;
}

FAKE_CUDA_EXPORT int fakecudaBeginCapture(void* handle) {
  std::shared_ptr<Stream> stream;
  if (const int error = use_stream(static_cast<cudaStream_t>(handle), &stream)) return error;
  Machine& machine = Machine::get();
  // The legacy default stream cannot be captured (CUDA Runtime API, cudaStreamBeginCapture).
  if (reinterpret_cast<uintptr_t>(handle) <= 1) return fail(cudaErrorStreamCaptureUnsupported);
  Stream* none = nullptr;
  if (!machine.capturing.compare_exchange_strong(none, stream.get())) {
    return fail(cudaErrorStreamCaptureUnsupported);
  }
  machine.capturer.store(std::this_thread::get_id());
  machine.capture_invalid.store(false);
  std::this_thread::sleep_for(std::chrono::microseconds(machine.config.capture_us));
  return 0;
}

FAKE_CUDA_EXPORT int fakecudaEndCapture(void*) {
  Machine& machine = Machine::get();
  machine.capturing.store(nullptr);
  return machine.capture_invalid.load() ? fail(cudaErrorStreamCaptureInvalidated) : 0;
}
