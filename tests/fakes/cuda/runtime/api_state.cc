// Errors, versions, devices, threads.

#include <cstdio>
#include <cstring>

#include "runtime/api.h"
#include "runtime/sanitizer.h"

namespace fakecuda {

Thread& thread() {
  thread_local Thread state;
  return state;
}

int fail(int error) {
  if (error) thread().error = error;
  return error;
}

int driver_status() {
  const Machine& machine = Machine::get();
  if (machine.config.driver / 1000 < machine.config.runtime / 1000) {
    return cudaErrorInsufficientDriver;
  }
  return machine.devices.empty() ? cudaErrorNoDevice : 0;
}

int use_device(Device** device) {
  if (const int error = driver_status()) return fail(error);
  *device = Machine::get().devices.at(static_cast<size_t>(thread().device)).get();
  return fail((*device)->status());
}

int use_stream(cudaStream_t handle, std::shared_ptr<Stream>* stream) {
  if (const int error = driver_status()) return fail(error);
  if (reinterpret_cast<uintptr_t>(handle) <= 1) {
    Device* device = nullptr;
    if (const int error = use_device(&device)) return error;
    *stream = device->default_stream();
    return 0;
  }
  if (reinterpret_cast<uintptr_t>(handle) == 2) return fail(cudaErrorNotSupported);  // per thread
  *stream = handle->stream;
  if (!*stream) {
    Machine::get().misuse("a stream is used that was destroyed");
    return fail(cudaErrorInvalidResourceHandle);
  }
  return fail((*stream)->device().status());
}

int use_event(cudaEvent_t event) {
  if (const int error = driver_status()) return fail(error);
  if (!event) return fail(cudaErrorInvalidResourceHandle);
  if (!event->device) {
    Machine::get().misuse("an event is used that was destroyed");
    return fail(cudaErrorInvalidResourceHandle);
  }
  return fail(event->device->status());
}

int check_capture() {
  Machine& machine = Machine::get();
  if (!machine.capturing.load()) return 0;
  const bool own = machine.capturer.load() == std::this_thread::get_id();
  const int mode = thread().capture_mode;
  if (mode == cudaStreamCaptureModeRelaxed) return 0;
  if (mode == cudaStreamCaptureModeThreadLocal && !own) return 0;
  machine.capture_invalid.store(true);
  return fail(cudaErrorStreamCaptureUnsupported);
}

int check_capture(const Stream& stream) {
  Machine& machine = Machine::get();
  if (machine.capturing.load() != &stream) return 0;
  machine.misuse("something is put on a stream while a graph is captured on it");
  machine.capture_invalid.store(true);
  return fail(cudaErrorStreamCaptureUnsupported);
}

namespace {

struct ErrorRow {
  int code;
  const char* name;
  const char* text;
};
constexpr ErrorRow kErrors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorHostMemoryAlreadyRegistered, "cudaErrorHostMemoryAlreadyRegistered",
     "part or all of the requested memory range is already mapped"},
    {cudaErrorHostMemoryNotRegistered, "cudaErrorHostMemoryNotRegistered",
     "pointer does not correspond to a registered memory region"},
    {cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection",
     "invalid copy direction for memcpy"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {214, "cudaErrorECCUncorrectable", "uncorrectable ECC error encountered"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {700, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources",
     "too many resources requested for launch"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
};

const ErrorRow* row_of(int code) {
  for (const ErrorRow& row : kErrors) {
    if (row.code == code) return &row;
  }
  return nullptr;
}

// An error of the thread's device that stays, else the thread's last one.
int last_error() {
  if (driver_status() == 0) {
    const Machine& machine = Machine::get();
    if (const int lost = machine.devices[static_cast<size_t>(thread().device)]->lost()) return lost;
  }
  return thread().error;
}

}  // namespace
}  // namespace fakecuda

using namespace fakecuda;

FAKE_CUDA_EXPORT int cudaRuntimeGetVersion(int* version) {
  *version = static_cast<int>(Machine::get().config.runtime);
  return 0;
}

FAKE_CUDA_EXPORT int cudaDriverGetVersion(int* version) {
  *version = static_cast<int>(Machine::get().config.driver);
  return 0;
}

FAKE_CUDA_EXPORT int cudaGetDeviceCount(int* count) {
  *count = 0;
  if (const int error = driver_status()) return fail(error);
  *count = static_cast<int>(Machine::get().devices.size());
  return 0;
}

FAKE_CUDA_EXPORT int cudaGetDevice(int* device) {
  if (const int error = driver_status()) return fail(error);
  *device = thread().device;
  return 0;
}

FAKE_CUDA_EXPORT int cudaSetDevice(int device) {
  if (const int error = driver_status()) return fail(error);
  const auto& devices = Machine::get().devices;
  if (device < 0 || device >= static_cast<int>(devices.size())) {
    return fail(cudaErrorInvalidDevice);
  }
  thread().device = device;
  // From 12.0 on this makes the device's context, or fails to.
  return fail(devices[static_cast<size_t>(device)]->status());
}

FAKE_CUDA_EXPORT int cudaDeviceGetAttribute(int* value, int attribute, int device) {
  if (const int error = driver_status()) return fail(error);
  if (device < 0 || device >= static_cast<int>(Machine::get().devices.size())) {
    return fail(cudaErrorInvalidDevice);
  }
  switch (attribute) {
    case 16: *value = 132; return 0;  // cudaDevAttrMultiProcessorCount
    case 40: *value = 3; return 0;    // cudaDevAttrAsyncEngineCount
    case 41: *value = 1; return 0;    // cudaDevAttrUnifiedAddressing
    case 75: *value = 9; return 0;    // cudaDevAttrComputeCapabilityMajor
    case 76: *value = 0; return 0;    // cudaDevAttrComputeCapabilityMinor
    default: return fail(cudaErrorInvalidValue);
  }
}

FAKE_CUDA_EXPORT int cudaDeviceGetPCIBusId(char* text, int bytes, int device) {
  if (const int error = driver_status()) return fail(error);
  if (device < 0 || device >= static_cast<int>(Machine::get().devices.size())) {
    return fail(cudaErrorInvalidDevice);
  }
  if (!text || bytes < 13) return fail(cudaErrorInvalidValue);
  std::snprintf(text, static_cast<size_t>(bytes), "0000:%02X:00.0", 0x11 + device);
  return 0;
}

FAKE_CUDA_EXPORT int cudaThreadExchangeStreamCaptureMode(int* mode) {
  if (!mode || *mode < cudaStreamCaptureModeGlobal || *mode > cudaStreamCaptureModeRelaxed) {
    return fail(cudaErrorInvalidValue);
  }
  std::swap(*mode, thread().capture_mode);
  return 0;
}

FAKE_CUDA_EXPORT int cudaGetLastError() {
  const int error = last_error();
  thread().error = 0;
  return error;
}

FAKE_CUDA_EXPORT int cudaPeekAtLastError() { return last_error(); }

FAKE_CUDA_EXPORT const char* cudaGetErrorName(int error) {
  const ErrorRow* const row = row_of(error);
  return row ? row->name : "unrecognized error code";
}

FAKE_CUDA_EXPORT const char* cudaGetErrorString(int error) {
  const ErrorRow* const row = row_of(error);
  return row ? row->text : "unrecognized error code";
}
