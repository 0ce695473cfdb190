// The part of the CUDA driver's API that programs ask before they use the runtime (CUDA Driver API:
// "Version Management", "Device Management", "Unified Addressing").

#include <atomic>
#include <cstdio>
#include <cstring>

#include "fake_cuda.h"
#include "fake_cudart.h"

#define FAKE_CUDA_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

constexpr int kInvalidValue = 1;
constexpr int kNotInitialized = 3;
constexpr int kNoDevice = 100;
constexpr int kInvalidDevice = 101;

std::atomic<bool> initialized{false};

int check(int device) {
  if (!initialized) return kNotInitialized;
  FakeCudaCounters ignored;
  return fakecudaGetCounters(device, &ignored) ? kInvalidDevice : 0;
}

}  // namespace

FAKE_CUDA_EXPORT int cuInit(unsigned flags) {
  if (flags != 0) return kInvalidValue;
  int driver = 0;
  FakeCudaCounters ignored;
  if (cudaDriverGetVersion(&driver) != 0 || driver == 0 || fakecudaGetCounters(0, &ignored) != 0) {
    return kNoDevice;
  }
  initialized = true;
  return 0;
}

// Needs no cuInit.
FAKE_CUDA_EXPORT int cuDriverGetVersion(int* version) { return cudaDriverGetVersion(version); }

FAKE_CUDA_EXPORT int cuDeviceGet(int* device, int ordinal) {
  if (const int error = check(ordinal)) return error;
  *device = ordinal;
  return 0;
}

FAKE_CUDA_EXPORT int cuDeviceGetName(char* name, int bytes, int device) {
  if (const int error = check(device)) return error;
  if (!name || bytes <= 0) return kInvalidValue;
  std::snprintf(name, static_cast<size_t>(bytes), "Fake GPU");
  return 0;
}

FAKE_CUDA_EXPORT int cuDeviceTotalMem_v2(size_t* bytes, int device) {
  if (const int error = check(device)) return error;
  *bytes = fakecudaMemory();
  return 0;
}

FAKE_CUDA_EXPORT int cuPointerGetAttribute(void* value, int attribute, unsigned long long pointer) {
  if (!initialized) return kNotInitialized;
  constexpr int kMemoryType = 2;  // CU_POINTER_ATTRIBUTE_MEMORY_TYPE
  if (!value || attribute != kMemoryType) return kInvalidValue;
  const unsigned type = fakecudaMemoryType(reinterpret_cast<const void*>(pointer));
  if (type == 0) return kInvalidValue;
  std::memcpy(value, &type, sizeof type);
  return 0;
}
