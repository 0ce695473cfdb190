#pragma once

#include "runtime/machine.h"

#define FAKE_CUDA_EXPORT extern "C" __attribute__((visibility("default")))

namespace fakecuda {

// Errors are of a thread, and so are the device in use (CUDA Runtime API, "Device management") and
// the interaction with captures.
struct Thread {
  int error = 0;
  int device = 0;
  int capture_mode = cudaStreamCaptureModeGlobal;
};
Thread& thread();

// Keeps an error for cudaGetLastError and gives it back.
int fail(int error);

// cudaErrorInsufficientDriver where the driver is older than the runtime's major version or absent,
// cudaErrorNoDevice where there is none (CUDA Runtime API, "Data types used by CUDA Runtime").
int driver_status();
// The thread's device, when it can be used: else an error, which is that of a lost one for ever.
int use_device(Device** device);
// The stream that a handle stands for: null and 1 are the legacy default stream.
int use_stream(cudaStream_t handle, std::shared_ptr<Stream>* stream);
// Likewise. The handle's device must not be lost.
int use_event(cudaEvent_t event);

// Calls that can wait for the device or change its memory. They may not be made while a graph is
// captured in the global mode, unless this thread has said that it knows what it does (CUDA Runtime
// API, cudaThreadExchangeStreamCaptureMode); whoever does spoils the capture.
int check_capture();
// Likewise for an operation on the very stream that is being captured, which nobody may do.
int check_capture(const Stream& stream);

}  // namespace fakecuda
