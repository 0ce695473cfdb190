/* The part of the CUDA runtime's API that the fake exports: names, arguments and values as the CUDA
 * Runtime API manual (12.x, 13.x) has them; enumerations are ints. */
#ifndef QAICKIT_FAKE_CUDART_H
#define QAICKIT_FAKE_CUDART_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct FakeCudaStream* cudaStream_t;
typedef struct FakeCudaEvent* cudaEvent_t;

enum {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidMemcpyDirection = 21,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorNotReady = 600,
  cudaErrorLaunchOutOfResources = 701,
  cudaErrorHostMemoryAlreadyRegistered = 712,
  cudaErrorHostMemoryNotRegistered = 713,
  cudaErrorLaunchFailure = 719,
  cudaErrorNotSupported = 801,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
};
enum { cudaStreamDefault = 0, cudaStreamNonBlocking = 1 };
enum { cudaEventDefault = 0, cudaEventBlockingSync = 1, cudaEventDisableTiming = 2 };
enum {
  cudaMemcpyHostToHost = 0,
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost = 2,
  cudaMemcpyDeviceToDevice = 3,
  cudaMemcpyDefault = 4,
};
enum {
  cudaStreamCaptureModeGlobal = 0,
  cudaStreamCaptureModeThreadLocal = 1,
  cudaStreamCaptureModeRelaxed = 2,
};

int cudaRuntimeGetVersion(int* version);
int cudaDriverGetVersion(int* version);
int cudaGetDeviceCount(int* count);
int cudaGetDevice(int* device);
int cudaSetDevice(int device);
int cudaDeviceGetAttribute(int* value, int attribute, int device);
int cudaDeviceGetPCIBusId(char* text, int bytes, int device);
int cudaMemGetInfo(size_t* free_bytes, size_t* total);
int cudaMalloc(void** memory, size_t bytes);
int cudaFree(void* memory);
int cudaHostAlloc(void** memory, size_t bytes, unsigned flags);
int cudaFreeHost(void* memory);
int cudaHostRegister(void* memory, size_t bytes, unsigned flags);
int cudaHostUnregister(void* memory);
int cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
int cudaStreamDestroy(cudaStream_t stream);
int cudaStreamSynchronize(cudaStream_t stream);
int cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
int cudaMemcpyAsync(void* to, const void* from, size_t bytes, int kind, cudaStream_t stream);
int cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream);
int cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
int cudaEventDestroy(cudaEvent_t event);
int cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
int cudaEventQuery(cudaEvent_t event);
int cudaEventSynchronize(cudaEvent_t event);
int cudaThreadExchangeStreamCaptureMode(int* mode);
int cudaGetLastError(void);
int cudaPeekAtLastError(void);
const char* cudaGetErrorName(int error);
const char* cudaGetErrorString(int error);

#ifdef __cplusplus
}
#endif
#endif
