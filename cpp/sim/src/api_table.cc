// The function table, and what the simulator exports beyond the vendor's API.

#include "handles.h"
#include "machine.h"
#include "resets.h"

namespace {

using qaicsim::Card;
using qaicsim::guard;
using qaicsim::live;
using qaicsim::Machine;

}  // namespace

extern "C" {

// --- Function table ---

const QAicApiFunctionTable* qaicGetFunctionTable(void) {
  static const QAicApiFunctionTable table = {
      sizeof(QAicApiFunctionTable),
      qaicGetAicVersion,
      qaicGetDeviceIds,
      qaicGetDeviceInfo,
      qaicGetResourceInfo,
      qaicGetPerformanceInfo,
      qaicCreateContext,
      qaicSetLogLevel,
      qaicReleaseContext,
      qaicOpenQpc,
      qaicOpenQpcFile,
      qaicCloseQpc,
      qaicQpcGetInfo,
      qaicProgramPropertiesInitDefault,
      qaicCreateProgram,
      qaicLoadProgram,
      qaicUnloadProgram,
      qaicRunActivationCmd,
      qaicReleaseProgram,
      qaicProgramGetIoDescriptor,
      qaicProgramGetIoBufferInfo,
      qaicReleaseConstants,
      qaicCreateQueue,
      qaicReleaseQueue,
      qaicCreateExecObj,
      qaicReleaseExecObj,
      qaicExecObjSetData,
      qaicExecObjSetDataExt,
      qaicExecObjGetIoBuffers,
      qaicExecObjWaitForCompletion,
      qaicCreateEvent,
      qaicReleaseEvent,
      qaicEventClear,
      qaicEventAddCallback,
      qaicEventRemoveCallback,
      qaicWaitforEvent,
      qaicEnqueueExecObj,
      qaicProgramGroupPropertiesInitDefault,
      qaicCreateProgramGroup,
      qaicProgramGroupAddProgram,
      qaicProgramGroupEnable,
      qaicProgramGroupDisable,
      qaicReleaseProgramGroup,
  };
  return &table;
}

// --- The simulator's own ---

QStatus qaicsimSetFaults(const char* spec) {
  return guard([&] { return Machine::get().set_faults(spec ? spec : "") ? QS_SUCCESS : QS_INVAL; });
}

QStatus qaicsimResetDevice(QID device) {
  return guard([&] {
    Card* const card = Machine::get().card(device);
    if (!card) return QS_NODEV;
    qaicsim::reset_card(*card);
    return QS_SUCCESS;
  });
}

QStatus qaicsimGetCounters(QID device, QAicSimCounters* counters) {
  if (!counters) return QS_INVAL;
  return guard([&] {
    Card* const card = Machine::get().card(device);
    if (!card) return QS_NODEV;
    *counters = {card->enqueued.load(std::memory_order_relaxed),
                 card->refused.load(std::memory_order_relaxed),
                 card->completed.load(std::memory_order_relaxed),
                 card->failed.load(std::memory_order_relaxed),
                 card->lost_count.load(std::memory_order_relaxed),
                 card->resets.load(std::memory_order_relaxed)};
    return QS_SUCCESS;
  });
}

uint64_t qaicsimLiveObjects(void) { return live().size(); }

QStatus qaicsimAddPackageDir(const char* dir) {
  if (!dir || !*dir) return QS_INVAL;
  return guard([&] {
    qaickit::add_package_dir(dir);
    return QS_SUCCESS;
  });
}

QStatus qaicsimReload(void) {
  return guard([&] {
    if (live().size() > 0) return QS_BUSY;
    Machine::get().reload();
    return QS_SUCCESS;
  });
}

}  // extern "C"
