/* SPDX-License-Identifier: Apache-2.0
 *
 * Functions of the Cloud AI runtime's C API (libQAic.so). Origin and marks: QAicTypes.h.
 * The vendor's own header is not public: every signature here is [U], read off from calls, and the
 * const-ness of arguments is [?]. The contracts are those that the simulator (libqaicsim.so) keeps.
 *
 * All functions may be called from any thread. An object may be released only when nobody uses it
 * any more; children (queues, programs, exec objects, events) before their context. Unless said
 * otherwise a function returns QS_INVAL for a null argument or an object of another kind. Releasing
 * an object twice is noticed too (QS_INVAL), as long as its address has not been used again.
 */
#ifndef QAICKIT_QAIC_API_H
#define QAICKIT_QAIC_API_H

#include "QAicRuntimeTypes.h"
#include "QAicTypes.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct QAicContext QAicContext;
typedef struct QAicQpcObj QAicQpcObj;
typedef struct QAicProgram QAicProgram;
typedef struct QAicProgramGroup QAicProgramGroup;
typedef struct QAicConstants QAicConstants;
typedef struct QAicQueue QAicQueue;
typedef struct QAicExecObj QAicExecObj;
typedef struct QAicEvent QAicEvent;

typedef void (*QAicLogCallback)(QLogLevel level, const char* text, void* user);
/* errData is null or errDataSize bytes; both texts live during the call only. */
typedef void (*QAicErrorHandler)(QAicContextID context, const char* errInfo, QAicErrorType type,
                                 const void* errData, size_t errDataSize, void* user);
/* Called on a thread of the library when the run is over and its outputs are in place; from then on
 * the exec object may be enqueued again, from inside the callback too. Must not release the event,
 * the exec object, its queue or its context. */
typedef void (*QAicEventCallback)(QAicEvent* event, QAicEventCompletionType type, void* user);

/* --- Library and devices --- */

/* The texts belong to the library. */
QStatus qaicGetAicVersion(uint16_t* major, uint16_t* minor, const char** patch,
                          const char** variant);
/* Name known, arguments [?]. Here: *count is the room in ids on entry (ids may be null: 0) and the
 * number of devices on return. */
QStatus qaicGetDeviceIds(uint32_t* count, QID* ids);
/* QS_NODEV: no such device. A device that failed is reported with devStatus QDS_ERROR. */
QStatus qaicGetDeviceInfo(QID device, QDevInfo* info);
QStatus qaicGetResourceInfo(QID device, QResourceInfo* info);
/* Name known, arguments [?]. */
QStatus qaicGetPerformanceInfo(QID device, QPerformanceInfo* info);

/* --- Contexts --- */

/* properties and both callbacks may be null. QS_NODEV: one of the devices does not exist;
 * QS_DEV_ERROR: it is dead. */
QStatus qaicCreateContext(QAicContext** context, const QAicContextProperties_t* properties,
                          uint32_t numDevices, const QID* devices, QAicLogCallback log,
                          void* logUser, QAicErrorHandler error, void* errorUser);
QStatus qaicSetLogLevel(QAicContext* context, QLogLevel level);
/* QS_BUSY, and nothing happens, while it has children. */
QStatus qaicReleaseContext(QAicContext* context);

/* --- QPCs --- */

/* With makeCopy false the buffer must outlive the object and all programs made of it. QS_ERROR:
 * damaged or no QPC. */
QStatus qaicOpenQpc(QAicQpcObj** qpc, const uint8_t* buffer, size_t size, bool makeCopy);
QStatus qaicOpenQpcFile(QAicQpcObj** qpc, const char* path);
/* Programs made of it stay usable. */
QStatus qaicCloseQpc(QAicQpcObj* qpc);
/* The result belongs to the object. */
QStatus qaicQpcGetInfo(const QAicQpcObj* qpc, const QAicQpcInfo_t** info);

/* --- Programs --- */

QStatus qaicProgramPropertiesInitDefault(QAicProgramProperties_t* properties);
/* properties and name may be null. With devMapping "0:1" the program takes its NSPs on each of
 * those devices, all of the context, with `device` among them; any that fails or is reset fails its
 * runs with QS_DEV_ERROR until it is activated again. It has no DMA buffers. QS_INVAL: not such a
 * mapping; QS_UNSUPPORTED: several devices in a group. */
QStatus qaicCreateProgram(QAicContext* context, QAicProgram** program,
                          QAicProgramProperties_t* properties, QID device, const char* name,
                          QAicQpcObj* qpc);
QStatus qaicLoadProgram(QAicProgram* program);
/* QS_BUSY while it is active. */
QStatus qaicUnloadProgram(QAicProgram* program);
/* ACTIVATE_FULL loads first where that has not been done; QS_NOSPC: not enough free NSPs.
 * DEACTIVATE_FULL: QS_BUSY while runs are in flight. */
QStatus qaicRunActivationCmd(QAicProgram* program, QAicProgramActivationCmd command);
/* QS_BUSY while exec objects of it exist; else deactivates and unloads as needed. */
QStatus qaicReleaseProgram(QAicProgram* program);
/* A serialised aicapi.IoDesc, which belongs to the program. */
QStatus qaicProgramGetIoDescriptor(const QAicProgram* program, QData* descriptor);
/* The result belongs to the program. */
QStatus qaicProgramGetIoBufferInfo(const QAicProgram* program, QAicIoBufferInfo_t** info);
/* No public program creates constants, so there are none to release: QS_INVAL. */
QStatus qaicReleaseConstants(QAicConstants* constants);

/* --- Queues --- */

/* properties may be null. */
QStatus qaicCreateQueue(QAicContext* context, QAicQueue** queue,
                        const QAicQueueProperties* properties, QID device);
/* Waits for the runs that are in the queue. */
QStatus qaicReleaseQueue(QAicQueue* queue);

/* --- Exec objects --- */

/* ioDescriptor null: the set "default"; else its selected_set counts: the buffers are as they are
 * on the card's side of the step that the set is named after. properties null: DEFAULT.
 * With ZERO_COPY_BUFFERS the exec object has DMA buffers of its own, which hold what the set "dma"
 * says, and numBuffers and buffers, if not null, get them (otherwise 0 and null). QS_UNSUPPORTED: a
 * set with another content was selected, or the program has no DMA buffers, or (when the host half
 * computes) the set has a layout that is not public. With AUTO_LOAD_ACTIVATE the program is loaded
 * and activated if it is not yet. */
QStatus qaicCreateExecObj(QAicContext* context, QAicExecObj** execObj,
                          const QAicExecObjProperties_t* properties, QAicProgram* program,
                          const QData* ioDescriptor, uint32_t* numBuffers, QBuffer** buffers);
/* QS_BUSY while it is in flight. */
QStatus qaicReleaseExecObj(QAicExecObj* execObj);
/* One buffer for each binding of the set in index order, of exactly its size (at most its size
 * where partial buffers are allowed). Memory must stay until other data is set or the object
 * released. QS_BUSY while in flight, QS_UNSUPPORTED with zero-copy buffers. */
QStatus qaicExecObjSetData(QAicExecObj* execObj, uint32_t numBuffers, const QBuffer* buffers);
/* The dimensions pick an allowed shape, and sizes must match it. A buffer of size 0 with
 * dimensions {0} is skipped. dimensions null: as qaicExecObjSetData. */
QStatus qaicExecObjSetDataExt(QAicExecObj* execObj, uint32_t numBuffers, const QBuffer* buffers,
                              const QBufferDimensions* dimensions);
/* The DMA buffers, which belong to the exec object. QS_INVAL without zero-copy buffers. */
QStatus qaicExecObjGetIoBuffers(const QAicExecObj* execObj, uint32_t* numBuffers,
                                QBuffer** buffers);
/* Status of the run in flight, or of the last one. QS_TIMEDOUT after timeoutUs; 0 asks only.
 * QS_INVAL when it has never been enqueued. */
QStatus qaicExecObjWaitForCompletion(QAicExecObj* execObj, uint32_t timeoutUs);

/* --- Events --- */

QStatus qaicCreateEvent(QAicContext* context, QAicEvent** event, QAicEventType type);
/* QS_BUSY while it is given to a run in flight. */
QStatus qaicReleaseEvent(QAicEvent* event);
/* Makes the event ready for the next run. QS_BUSY while it is given to a run in flight. */
QStatus qaicEventClear(QAicEvent* event);
/* At most 4 callbacks; QS_NOSPC beyond. */
QStatus qaicEventAddCallback(QAicEvent* event, QAicEventCallback callback, void* user);
/* QS_INVAL when it is not there. */
QStatus qaicEventRemoveCallback(QAicEvent* event, QAicEventCallback callback);
/* Returns when the event has completed, with the status of the run. */
QStatus qaicWaitforEvent(QAicEvent* event);

/* Returns at once. The order in which exec objects complete is not promised. event may be null.
 * QS_BUSY: the exec object (or the event) is in flight; QS_AGAIN: no room now; QS_DEV_ERROR: the
 * device failed. The event completes, and its callbacks are called, if and only if this succeeds.
 */
QStatus qaicEnqueueExecObj(QAicQueue* queue, QAicExecObj* execObj, QAicEvent* event);

/* --- Program groups (oversubscription) --- */

QStatus qaicProgramGroupPropertiesInitDefault(QAicProgramGroupProperties_t* properties);
/* The queue belongs to the group. */
QStatus qaicCreateProgramGroup(QAicContext* context, QAicProgramGroup** group, QAicQueue** queue,
                               QAicProgramGroupProperties_t* properties, const char* name,
                               QID device);
/* The program belongs to the group. */
QStatus qaicProgramGroupAddProgram(QAicProgramGroup* group, QAicQpcObj* qpc, QAicProgram** program,
                                   QAicProgramProperties_t* properties);
QStatus qaicProgramGroupEnable(QAicProgramGroup* group);
/* Meaning of the flag [?]; here: do not wait for runs in flight. QS_TIMEDOUT after timeoutUs. */
QStatus qaicProgramGroupDisable(QAicProgramGroup* group, bool force, uint32_t timeoutUs);
QStatus qaicReleaseProgramGroup(QAicProgramGroup* group);

/* --- Function table --- */

/* The order of the members in the vendor's table is not public. This order is ours, so programs
 * built against one header do not fit the other library; recompile them. Members are only added at
 * the end, and `size` says how many bytes the library knows. */
typedef struct QAicApiFunctionTable {
  size_t size;
  QStatus (*qaicGetAicVersion)(uint16_t*, uint16_t*, const char**, const char**);
  QStatus (*qaicGetDeviceIds)(uint32_t*, QID*);
  QStatus (*qaicGetDeviceInfo)(QID, QDevInfo*);
  QStatus (*qaicGetResourceInfo)(QID, QResourceInfo*);
  QStatus (*qaicGetPerformanceInfo)(QID, QPerformanceInfo*);
  QStatus (*qaicCreateContext)(QAicContext**, const QAicContextProperties_t*, uint32_t, const QID*,
                               QAicLogCallback, void*, QAicErrorHandler, void*);
  QStatus (*qaicSetLogLevel)(QAicContext*, QLogLevel);
  QStatus (*qaicReleaseContext)(QAicContext*);
  QStatus (*qaicOpenQpc)(QAicQpcObj**, const uint8_t*, size_t, bool);
  QStatus (*qaicOpenQpcFile)(QAicQpcObj**, const char*);
  QStatus (*qaicCloseQpc)(QAicQpcObj*);
  QStatus (*qaicQpcGetInfo)(const QAicQpcObj*, const QAicQpcInfo_t**);
  QStatus (*qaicProgramPropertiesInitDefault)(QAicProgramProperties_t*);
  QStatus (*qaicCreateProgram)(QAicContext*, QAicProgram**, QAicProgramProperties_t*, QID,
                               const char*, QAicQpcObj*);
  QStatus (*qaicLoadProgram)(QAicProgram*);
  QStatus (*qaicUnloadProgram)(QAicProgram*);
  QStatus (*qaicRunActivationCmd)(QAicProgram*, QAicProgramActivationCmd);
  QStatus (*qaicReleaseProgram)(QAicProgram*);
  QStatus (*qaicProgramGetIoDescriptor)(const QAicProgram*, QData*);
  QStatus (*qaicProgramGetIoBufferInfo)(const QAicProgram*, QAicIoBufferInfo_t**);
  QStatus (*qaicReleaseConstants)(QAicConstants*);
  QStatus (*qaicCreateQueue)(QAicContext*, QAicQueue**, const QAicQueueProperties*, QID);
  QStatus (*qaicReleaseQueue)(QAicQueue*);
  QStatus (*qaicCreateExecObj)(QAicContext*, QAicExecObj**, const QAicExecObjProperties_t*,
                               QAicProgram*, const QData*, uint32_t*, QBuffer**);
  QStatus (*qaicReleaseExecObj)(QAicExecObj*);
  QStatus (*qaicExecObjSetData)(QAicExecObj*, uint32_t, const QBuffer*);
  QStatus (*qaicExecObjSetDataExt)(QAicExecObj*, uint32_t, const QBuffer*,
                                   const QBufferDimensions*);
  QStatus (*qaicExecObjGetIoBuffers)(const QAicExecObj*, uint32_t*, QBuffer**);
  QStatus (*qaicExecObjWaitForCompletion)(QAicExecObj*, uint32_t);
  QStatus (*qaicCreateEvent)(QAicContext*, QAicEvent**, QAicEventType);
  QStatus (*qaicReleaseEvent)(QAicEvent*);
  QStatus (*qaicEventClear)(QAicEvent*);
  QStatus (*qaicEventAddCallback)(QAicEvent*, QAicEventCallback, void*);
  QStatus (*qaicEventRemoveCallback)(QAicEvent*, QAicEventCallback);
  QStatus (*qaicWaitforEvent)(QAicEvent*);
  QStatus (*qaicEnqueueExecObj)(QAicQueue*, QAicExecObj*, QAicEvent*);
  QStatus (*qaicProgramGroupPropertiesInitDefault)(QAicProgramGroupProperties_t*);
  QStatus (*qaicCreateProgramGroup)(QAicContext*, QAicProgramGroup**, QAicQueue**,
                                    QAicProgramGroupProperties_t*, const char*, QID);
  QStatus (*qaicProgramGroupAddProgram)(QAicProgramGroup*, QAicQpcObj*, QAicProgram**,
                                        QAicProgramProperties_t*);
  QStatus (*qaicProgramGroupEnable)(QAicProgramGroup*);
  QStatus (*qaicProgramGroupDisable)(QAicProgramGroup*, bool, uint32_t);
  QStatus (*qaicReleaseProgramGroup)(QAicProgramGroup*);
} QAicApiFunctionTable;

const QAicApiFunctionTable* qaicGetFunctionTable(void);

#ifdef __cplusplus
}
#endif

#endif
