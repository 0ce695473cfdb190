// Streams and events.

#include "runtime/api.h"
#include "runtime/sanitizer.h"

using namespace fakecuda;

namespace {

// What an event stands for right now; a record that comes later changes nothing about it.
Position position_of(cudaEvent_t event) {
  const Hidden hidden;
  const std::lock_guard lock(event->mutex);
  return event->position;
}

}  // namespace

FAKE_CUDA_EXPORT int cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  Device* device = nullptr;
  if (const int error = use_device(&device)) return error;
  if (!stream || flags > cudaStreamNonBlocking) return fail(cudaErrorInvalidValue);
  *stream = Machine::get().add_stream(device->create_stream(flags != cudaStreamNonBlocking));
  return 0;
}

// Returns at once; the stream goes when its work is done (CUDA Runtime API, cudaStreamDestroy).
FAKE_CUDA_EXPORT int cudaStreamDestroy(cudaStream_t handle) {
  if (reinterpret_cast<uintptr_t>(handle) <= 2) return fail(cudaErrorInvalidResourceHandle);
  if (!handle->stream) {
    Machine::get().misuse("a stream is destroyed for the second time");
    return fail(cudaErrorInvalidResourceHandle);
  }
  Device& device = handle->stream->device();
  handle->stream->close();
  handle->stream = nullptr;
  device.live_streams.sub();
  return fail(device.status());
}

FAKE_CUDA_EXPORT int cudaStreamSynchronize(cudaStream_t handle) {
  std::shared_ptr<Stream> stream;
  if (const int error = use_stream(handle, &stream)) return error;
  if (const int error = check_capture()) return error;
  stream->device().stream_waits.add();
  stream->wait(stream->last().count);
  return fail(stream->device().status());
}

// What the event holds now counts; an event that was never recorded holds nothing. Streams and
// events may be of different devices (CUDA Programming Guide, "Stream and Event Behavior").
FAKE_CUDA_EXPORT int cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned flags) {
  std::shared_ptr<Stream> stream;
  if (const int error = use_stream(handle, &stream)) return error;
  if (const int error = use_event(event)) return error;
  if (const int error = check_capture(*stream)) return error;
  if (flags != 0) return fail(cudaErrorInvalidValue);
  Operation wait;
  wait.until = position_of(event);
  if (!wait.until.stream || wait.until.stream == stream) return 0;
  stream->device().issue(*stream, std::move(wait));
  return 0;
}

FAKE_CUDA_EXPORT int cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  Device* device = nullptr;
  if (const int error = use_device(&device)) return error;
  constexpr unsigned kKnownFlags = cudaEventBlockingSync | cudaEventDisableTiming;
  if (!event || flags > kKnownFlags) return fail(cudaErrorInvalidValue);
  *event = Machine::get().add_event(*device);
  return 0;
}

FAKE_CUDA_EXPORT int cudaEventDestroy(cudaEvent_t event) {
  if (!event) return fail(cudaErrorInvalidResourceHandle);
  if (!event->device) {
    Machine::get().misuse("an event is destroyed for the second time");
    return fail(cudaErrorInvalidResourceHandle);
  }
  Device& device = *event->device;
  {
    const std::lock_guard lock(event->mutex);
    event->position = {};
  }
  event->device = nullptr;
  Machine::get().live_events.sub();
  return fail(device.status());
}

FAKE_CUDA_EXPORT int cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  std::shared_ptr<Stream> stream;
  if (const int error = use_stream(handle, &stream)) return error;
  if (const int error = use_event(event)) return error;
  if (const int error = check_capture(*stream)) return error;
  if (event->device != &stream->device()) return fail(cudaErrorInvalidResourceHandle);
  Position position = stream->last();
  const Hidden hidden;
  const std::lock_guard lock(event->mutex);
  event->position = std::move(position);
  return 0;
}

// cudaErrorNotReady is no error, but it is kept for cudaGetLastError all the same: programs that
// look there after their launches must clear it.
FAKE_CUDA_EXPORT int cudaEventQuery(cudaEvent_t event) {
  if (const int error = use_event(event)) return error;
  if (const int error = check_capture()) return error;
  const Position position = position_of(event);
  if (!position.stream) return 0;
  if (!position.stream->reached(position.count)) return fail(cudaErrorNotReady);
  position.stream->see_done();
  return fail(event->device->status());
}

FAKE_CUDA_EXPORT int cudaEventSynchronize(cudaEvent_t event) {
  if (const int error = use_event(event)) return error;
  if (const int error = check_capture()) return error;
  const Position position = position_of(event);
  if (position.stream) position.stream->wait(position.count);
  return fail(event->device->status());
}
