// Libraries that pass for libQAic.so no further than a test needs: one function, its version, or
// with STUB_CARD all of them and a card that takes no QPC.
#include <cstdint>

#ifdef STUB_CARD
#include "QAicRuntimeTypes.h"
#endif

#define STUB_EXPORT extern "C" __attribute__((visibility("default")))

STUB_EXPORT int qaicGetAicVersion(uint16_t* major, uint16_t* minor, const char** patch,
                                  const char** variant) {
  *major = STUB_MAJOR;
  *minor = 6;
  *patch = "71";
  *variant = "stub";
  return 0;
}

#ifdef STUB_CARD
STUB_EXPORT int qaicGetDeviceInfo(QID id, QDevInfo* info) {
  info->devStatus = QDS_READY;
  return id == 0 ? QS_SUCCESS : QS_NODEV;
}
STUB_EXPORT int qaicCreateContext() { return QS_SUCCESS; }

#define STUB_FAILS(name) \
  STUB_EXPORT int name() { return QS_ERROR; }
STUB_FAILS(qaicReleaseContext)
STUB_FAILS(qaicOpenQpc)
STUB_FAILS(qaicCloseQpc)
STUB_FAILS(qaicProgramPropertiesInitDefault)
STUB_FAILS(qaicCreateProgram)
STUB_FAILS(qaicLoadProgram)
STUB_FAILS(qaicUnloadProgram)
STUB_FAILS(qaicReleaseProgram)
STUB_FAILS(qaicRunActivationCmd)
STUB_FAILS(qaicProgramGetIoDescriptor)
STUB_FAILS(qaicCreateQueue)
STUB_FAILS(qaicReleaseQueue)
STUB_FAILS(qaicCreateExecObj)
STUB_FAILS(qaicReleaseExecObj)
STUB_FAILS(qaicExecObjSetData)
STUB_FAILS(qaicExecObjSetDataExt)
STUB_FAILS(qaicExecObjGetIoBuffers)
STUB_FAILS(qaicExecObjWaitForCompletion)
STUB_FAILS(qaicCreateEvent)
STUB_FAILS(qaicReleaseEvent)
STUB_FAILS(qaicEventClear)
STUB_FAILS(qaicEventAddCallback)
STUB_FAILS(qaicEventRemoveCallback)
STUB_FAILS(qaicEnqueueExecObj)
#endif
