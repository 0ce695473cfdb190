// The exported functions for queues, exec objects and events.

#include <algorithm>

#include "enqueue.h"
#include "exec_io.h"
#include "handles.h"
#include "host_half.h"
#include "machine.h"
#include "program_state.h"
#include "queue_threads.h"
#include "queues.h"
#include "shares.h"

namespace {

using qaicsim::destroy;
using qaicsim::guard;
using qaicsim::hand_out;
using qaicsim::has_device;
using qaicsim::is;
using qaicsim::is_live;
using qaicsim::Machine;
using qaicsim::wait_until_left;

constexpr uint32_t kMaxThreads = 64;

}  // namespace

extern "C" {

// --- Queues ---

QStatus qaicCreateQueue(QAicContext* context, QAicQueue** queue,
                        const QAicQueueProperties* properties, QID device) {
  if (!is(context) || !queue) return QS_INVAL;
  uint32_t threads = QAIC_QUEUE_PROPERTIES_NUM_THREADS_PER_QUEUE_DEFAULT;
  if (properties) {
    if (properties->numThreadsPerQueue > kMaxThreads) return QS_INVAL;
    if (properties->numThreadsPerQueue > 0) threads = properties->numThreadsPerQueue;
    if (properties->properties == QAIC_QUEUE_PROPERTIES_ENABLE_SINGLE_THREADED_QUEUES) threads = 1;
  }
  return guard([&] {
    *queue = nullptr;
    if (!has_device(*context, device)) return QS_NODEV;
    return qaicsim::make_queue(context, Machine::get().card(device), threads, queue);
  });
}

QStatus qaicReleaseQueue(QAicQueue* queue) {
  return guard([&] {
    if (!is_live(queue) || queue->group) return QS_INVAL;
    return qaicsim::destroy_queue(queue);
  });
}

// --- Exec objects ---

QStatus qaicCreateExecObj(QAicContext* context, QAicExecObj** execObj,
                          const QAicExecObjProperties_t* properties, QAicProgram* program,
                          const QData* ioDescriptor, uint32_t* numBuffers, QBuffer** buffers) {
  if (!is(context) || !execObj || !is(program) || program->context != context) return QS_INVAL;
  const uint32_t mask = properties ? *properties : uint32_t{QAIC_EXECOBJ_PROPERTIES_DEFAULT};
  constexpr uint32_t kKnown =
      QAIC_EXECOBJ_PROPERTIES_AUTO_LOAD_ACTIVATE | QAIC_EXECOBJ_PROPERTIES_ZERO_COPY_BUFFERS;
  if ((mask & ~kKnown) != 0) return QS_INVAL;
  return guard([&] {
    *execObj = nullptr;
    if (numBuffers) *numBuffers = 0;
    if (buffers) *buffers = nullptr;
    auto exec = std::make_unique<QAicExecObj>();
    exec->context = context;
    exec->program = program;
    // A program of a group is the group's to activate.
    exec->auto_activate =
        (mask & QAIC_EXECOBJ_PROPERTIES_AUTO_LOAD_ACTIVATE) != 0 && !program->group;
    exec->zero_copy = (mask & QAIC_EXECOBJ_PROPERTIES_ZERO_COPY_BUFFERS) != 0;
    if (const QStatus status = qaicsim::pick_set(*exec, ioDescriptor); status != QS_SUCCESS)
      return status;
    if (exec->auto_activate) {
      if (const QStatus status = qaicsim::activate(*program); status != QS_SUCCESS) return status;
    }
    if (exec->zero_copy) {
      const QStatus status = qaicsim::make_dma_buffers(*exec);
      if (status != QS_SUCCESS) return status;
    }
    if (const QStatus status = qaicsim::attach_host(*exec); status != QS_SUCCESS) return status;
    if (numBuffers) *numBuffers = static_cast<uint32_t>(exec->dma_buffers.size());
    if (buffers && exec->zero_copy) *buffers = exec->dma_buffers.data();
    program->exec_objs.fetch_add(1, std::memory_order_relaxed);
    context->children.fetch_add(1, std::memory_order_relaxed);
    return hand_out(std::move(exec), execObj);
  });
}

QStatus qaicReleaseExecObj(QAicExecObj* execObj) {
  return guard([&] {
    if (!is_live(execObj)) return QS_INVAL;
    if (execObj->state.load(std::memory_order_acquire) == QAicExecObj::kInFlight ||
        qaicsim::inside_run_of(execObj)) {
      return QS_BUSY;
    }
    wait_until_left(execObj->users);
    QAicProgram* const program = execObj->program;
    QAicContext* const context = execObj->context;
    const QStatus status = destroy(execObj);
    if (status != QS_SUCCESS) return status;
    program->exec_objs.fetch_sub(1, std::memory_order_release);
    context->children.fetch_sub(1, std::memory_order_release);
    return status;
  });
}

QStatus qaicExecObjSetData(QAicExecObj* execObj, uint32_t numBuffers, const QBuffer* buffers) {
  return qaicExecObjSetDataExt(execObj, numBuffers, buffers, nullptr);
}

QStatus qaicExecObjSetDataExt(QAicExecObj* execObj, uint32_t numBuffers, const QBuffer* buffers,
                              const QBufferDimensions* dimensions) {
  if (!is(execObj) || !buffers) return QS_INVAL;
  return guard([&] { return qaicsim::set_data(*execObj, numBuffers, buffers, dimensions); });
}

QStatus qaicExecObjGetIoBuffers(const QAicExecObj* execObj, uint32_t* numBuffers,
                                QBuffer** buffers) {
  if (!is(execObj) || !numBuffers || !buffers || !execObj->zero_copy) return QS_INVAL;
  *numBuffers = static_cast<uint32_t>(execObj->dma_buffers.size());
  *buffers = const_cast<QBuffer*>(execObj->dma_buffers.data());
  return QS_SUCCESS;
}

QStatus qaicExecObjWaitForCompletion(QAicExecObj* execObj, uint32_t timeoutUs) {
  if (!is(execObj)) return QS_INVAL;
  if (execObj->state.load(std::memory_order_acquire) == QAicExecObj::kIdle) return QS_INVAL;
  const auto is_done = [execObj] {
    // acquire: pairs with the release store on completion; the outputs are visible.
    return execObj->state.load(std::memory_order_acquire) == QAicExecObj::kDone;
  };
  if (!execObj->done.await(is_done, uint64_t{timeoutUs} * 1000)) return QS_TIMEDOUT;
  return execObj->status.load(std::memory_order_relaxed);
}

// --- Events ---

QStatus qaicCreateEvent(QAicContext* context, QAicEvent** event, QAicEventType type) {
  if (!is(context) || !event || type != QAIC_EVENT_DEVICE_COMPLETE) return QS_INVAL;
  return guard([&] {
    auto object = std::make_unique<QAicEvent>();
    object->context = context;
    context->children.fetch_add(1, std::memory_order_relaxed);
    return hand_out(std::move(object), event);
  });
}

QStatus qaicReleaseEvent(QAicEvent* event) {
  return guard([&] {
    if (!is_live(event)) return QS_INVAL;
    if (event->state.load(std::memory_order_acquire) == QAicEvent::kPending ||
        qaicsim::inside_run_of(event)) {
      return QS_BUSY;
    }
    wait_until_left(event->users);
    QAicContext* const context = event->context;
    const QStatus status = destroy(event);
    if (status == QS_SUCCESS) context->children.fetch_sub(1, std::memory_order_release);
    return status;
  });
}

QStatus qaicEventClear(QAicEvent* event) {
  if (!is(event)) return QS_INVAL;
  uint32_t state = event->state.load(std::memory_order_relaxed);
  do {
    if (state == QAicEvent::kPending) return QS_BUSY;
  } while (
      !event->state.compare_exchange_weak(state, QAicEvent::kClear, std::memory_order_acquire));
  return QS_SUCCESS;
}

QStatus qaicEventAddCallback(QAicEvent* event, QAicEventCallback callback, void* user) {
  if (!is(event) || !callback) return QS_INVAL;
  while (event->lock.test_and_set(std::memory_order_acquire)) std::this_thread::yield();
  QStatus status = QS_NOSPC;
  if (event->num_callbacks < QAicEvent::kMaxCallbacks) {
    event->callbacks[event->num_callbacks++] = {callback, user};
    status = QS_SUCCESS;
  }
  event->lock.clear(std::memory_order_release);
  return status;
}

QStatus qaicEventRemoveCallback(QAicEvent* event, QAicEventCallback callback) {
  if (!is(event) || !callback) return QS_INVAL;
  while (event->lock.test_and_set(std::memory_order_acquire)) std::this_thread::yield();
  QAicEvent::Callback* const end = event->callbacks + event->num_callbacks;
  QAicEvent::Callback* const found = std::find_if(
      event->callbacks, end, [callback](const auto& row) { return row.function == callback; });
  if (found != end) {
    std::copy(found + 1, end, found);
    --event->num_callbacks;
  }
  event->lock.clear(std::memory_order_release);
  return found != end ? QS_SUCCESS : QS_INVAL;
}

QStatus qaicWaitforEvent(QAicEvent* event) {
  if (!is(event)) return QS_INVAL;
  const auto is_done = [event] {
    // acquire: pairs with the release store on completion; the outputs are visible.
    return event->state.load(std::memory_order_acquire) == QAicEvent::kDone;
  };
  while (!event->done.await(is_done, 1'000'000'000)) {
  }
  return event->status.load(std::memory_order_relaxed);
}

QStatus qaicEnqueueExecObj(QAicQueue* queue, QAicExecObj* execObj, QAicEvent* event) {
  if (!is(queue) || !is(execObj) || (event && !is(event))) return QS_INVAL;
  if (queue->context != execObj->context || !qaicsim::is_card_of(*execObj->program, queue->card) ||
      (event && event->context != execObj->context)) {
    return QS_INVAL;
  }
  return qaicsim::enqueue(*queue, *execObj, event);
}

}  // extern "C"
