// A libQAic.so that does nothing and is done at once: a run completes inside the call that enqueues
// it, so what is measured over it is the driver alone. For qaic_driver_bench.

#include <vector>

#include "QAicApi.h"
#include "container/io_desc.h"
#include "qaickit/qpc.h"

struct QAicEvent {
  QAicEventCallback callback = nullptr;
  void* user = nullptr;
};
struct QAicQpcObj {
  std::vector<std::byte> io_desc;
};
struct QAicProgram {
  QAicQpcObj* qpc = nullptr;
};

namespace {

// What nobody looks into.
template <class T>
QStatus hand_out(T** object) {
  static char place;
  *object = reinterpret_cast<T*>(&place);
  return QS_SUCCESS;
}

}  // namespace

#pragma GCC visibility push(default)

QStatus qaicGetAicVersion(uint16_t* major, uint16_t* minor, const char** patch,
                          const char** variant) {
  *major = LRT_LIB_MAJOR_VERSION;
  *minor = LRT_LIB_MINOR_VERSION;
  *patch = "qaicsim, instant";
  *variant = "";
  return QS_SUCCESS;
}
QStatus qaicGetDeviceInfo(QID device, QDevInfo* info) {
  info->devStatus = QDS_READY;
  return device == 0 ? QS_SUCCESS : QS_NODEV;
}
QStatus qaicCreateContext(QAicContext** context, const QAicContextProperties_t*, uint32_t,
                          const QID*, QAicLogCallback, void*, QAicErrorHandler, void*) {
  return hand_out(context);
}
QStatus qaicReleaseContext(QAicContext*) { return QS_SUCCESS; }
QStatus qaicOpenQpc(QAicQpcObj** qpc, const uint8_t* buffer, size_t size, bool) {
  const auto* bytes = reinterpret_cast<const std::byte*>(buffer);
  const auto file = qaickit::Qpc::from_bytes({bytes, bytes + size}, "bench");
  if (!file.ok()) return QS_ERROR;
  auto io_desc = qaickit::encode_io_desc(*file.value()->find(qaickit::kNetworkDescSegment));
  if (!io_desc.ok()) return QS_ERROR;
  *qpc = new QAicQpcObj{std::move(io_desc).value()};
  return QS_SUCCESS;
}
QStatus qaicCloseQpc(QAicQpcObj* qpc) {
  delete qpc;
  return QS_SUCCESS;
}
QStatus qaicProgramPropertiesInitDefault(QAicProgramProperties_t* properties) {
  *properties = {};
  return QS_SUCCESS;
}
QStatus qaicCreateProgram(QAicContext*, QAicProgram** program, QAicProgramProperties_t*, QID,
                          const char*, QAicQpcObj* qpc) {
  *program = new QAicProgram{qpc};
  return QS_SUCCESS;
}
QStatus qaicLoadProgram(QAicProgram*) { return QS_SUCCESS; }
QStatus qaicUnloadProgram(QAicProgram*) { return QS_SUCCESS; }
QStatus qaicRunActivationCmd(QAicProgram*, QAicProgramActivationCmd) { return QS_SUCCESS; }
QStatus qaicReleaseProgram(QAicProgram* program) {
  delete program;
  return QS_SUCCESS;
}
QStatus qaicProgramGetIoDescriptor(const QAicProgram* program, QData* descriptor) {
  auto& bytes = program->qpc->io_desc;
  *descriptor = {bytes.size(), reinterpret_cast<uint8_t*>(bytes.data())};
  return QS_SUCCESS;
}
QStatus qaicCreateQueue(QAicContext*, QAicQueue** queue, const QAicQueueProperties*, QID) {
  return hand_out(queue);
}
QStatus qaicReleaseQueue(QAicQueue*) { return QS_SUCCESS; }
QStatus qaicCreateExecObj(QAicContext*, QAicExecObj** exec, const QAicExecObjProperties_t*,
                          QAicProgram*, const QData*, uint32_t*, QBuffer**) {
  return hand_out(exec);
}
QStatus qaicReleaseExecObj(QAicExecObj*) { return QS_SUCCESS; }
QStatus qaicExecObjSetData(QAicExecObj*, uint32_t, const QBuffer*) { return QS_SUCCESS; }
QStatus qaicExecObjSetDataExt(QAicExecObj*, uint32_t, const QBuffer*, const QBufferDimensions*) {
  return QS_SUCCESS;
}
QStatus qaicExecObjGetIoBuffers(const QAicExecObj*, uint32_t*, QBuffer**) { return QS_UNSUPPORTED; }
QStatus qaicExecObjWaitForCompletion(QAicExecObj*, uint32_t) { return QS_SUCCESS; }
QStatus qaicCreateEvent(QAicContext*, QAicEvent** event, QAicEventType) {
  *event = new QAicEvent;
  return QS_SUCCESS;
}
QStatus qaicReleaseEvent(QAicEvent* event) {
  delete event;
  return QS_SUCCESS;
}
QStatus qaicEventClear(QAicEvent*) { return QS_SUCCESS; }
QStatus qaicEventAddCallback(QAicEvent* event, QAicEventCallback callback, void* user) {
  *event = {callback, user};
  return QS_SUCCESS;
}
QStatus qaicEventRemoveCallback(QAicEvent* event, QAicEventCallback) {
  event->callback = nullptr;
  return QS_SUCCESS;
}
QStatus qaicEnqueueExecObj(QAicQueue*, QAicExecObj*, QAicEvent* event) {
  event->callback(event, QAIC_EVENT_DEVICE_COMPLETE, event->user);
  return QS_SUCCESS;
}

#pragma GCC visibility pop
