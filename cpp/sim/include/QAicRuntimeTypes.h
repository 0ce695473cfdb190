/* SPDX-License-Identifier: Apache-2.0
 *
 * Programs, buffers and properties of the Cloud AI runtime's C API. Origin and marks: QAicTypes.h.
 */
#ifndef QAICKIT_QAIC_RUNTIME_TYPES_H
#define QAICKIT_QAIC_RUNTIME_TYPES_H

#include <stdbool.h>

#include "QAicTypes.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- Buffers --- */

/* Where a buffer lies. 32 bits. The values of DMABUF and PMEM are [?]. */
#ifdef __cplusplus
typedef enum QBufferType : uint32_t {
  QBUFFER_TYPE_HEAP = 0,
  QBUFFER_TYPE_DMABUF = 1,
  QBUFFER_TYPE_PMEM = 2,
  QBUFFER_TYPE_INVAL = 0xFFFFFFFFu
} QBufferType;
#else
typedef uint32_t QBufferType;
enum { QBUFFER_TYPE_HEAP = 0, QBUFFER_TYPE_DMABUF = 1, QBUFFER_TYPE_PMEM = 2 };
#define QBUFFER_TYPE_INVAL ((QBufferType)0xFFFFFFFFu)
#endif

typedef struct QBuffer {
  size_t size;
  uint8_t* buf;
  uint64_t handle;
  uint32_t offset;
  QBufferType type;
} QBuffer;

typedef struct QData {
  size_t size;
  uint8_t* data;
} QData;

/* Shape of one buffer for qaicExecObjSetDataExt. Names of the type and its members [U]. */
typedef struct QBufferDimensions {
  uint32_t count; /* entries of dims */
  uint32_t sizeOfElem;
  uint32_t* dims;
} QBufferDimensions;

/* Not the values of bufferIoDirectionEnum in QAicApi.proto. */
typedef enum QAicBufferIoTypeEnum {
  BUFFER_IO_TYPE_INVALID = 0,
  BUFFER_IO_TYPE_INPUT = 1,
  BUFFER_IO_TYPE_OUTPUT = 2,
  BUFFER_IO_TYPE_INVAL = 3
} QAicBufferIoTypeEnum;

typedef enum QAicBufferDataTypeEnum {
  BUFFER_DATA_TYPE_FLOAT = 0,
  BUFFER_DATA_TYPE_FLOAT16 = 1,
  BUFFER_DATA_TYPE_INT8Q = 2,
  BUFFER_DATA_TYPE_UINT8Q = 3,
  BUFFER_DATA_TYPE_INT16Q = 4,
  BUFFER_DATA_TYPE_INT32Q = 5,
  BUFFER_DATA_TYPE_INT32I = 6,
  BUFFER_DATA_TYPE_INT64I = 7,
  BUFFER_DATA_TYPE_INT8 = 8,
  BUFFER_DATA_TYPE_INVAL = 9,
  BUFFER_DATA_TYPE_UINT8 = 10 /* newer SDKs; value [?] */
} QAicBufferDataTypeEnum;

typedef struct QAicBufferMappings {
  char* bufferName;
  uint32_t index;
  QAicBufferIoTypeEnum ioType;
  uint32_t size;
  bool isPartialBufferAllowed;
  QAicBufferDataTypeEnum dataType;
} QAicBufferMappings;

typedef struct QAicIoBufferInfo {
  uint32_t numBufferMappings;
  QAicBufferMappings* bufferMappings;
} QAicIoBufferInfo_t;

/* --- Contents of a QPC --- */

/* The closed header has further members (reqMem, numSemaphores, numMcid) at places unknown. */
typedef struct QAicQpcProgramInfo {
  char name[64];
  uint32_t programIndex;
  uint32_t numCores;
  uint32_t size;
  QAicIoBufferInfo_t ioBufferInfo;
  QAicIoBufferInfo_t ioBufferInfoDma;
  int32_t batchSize;
} QAicQpcProgramInfo;

typedef struct QAicQpcConstantsInfo {
  char name[64];
  uint32_t constantsIndex;
  uint32_t size;
} QAicQpcConstantsInfo;

typedef struct QAicQpcInfo { /* [U] */
  uint32_t numPrograms;
  QAicQpcProgramInfo* programInfo;
  uint32_t numConstants;
  QAicQpcConstantsInfo* constantsInfo;
} QAicQpcInfo_t;

/* --- Contexts --- */

typedef uint32_t QAicContextProperties_t; /* bit mask */
enum {
  QAIC_CONTEXT_DEFAULT = 0,
  QAIC_CONTEXT_COLLECT_DEVICE_LOGS = 1 /* value [?] */
};

typedef enum QAicErrorType {
  QAIC_ERROR_CONTEXT_CREATION = 0x100,
  QAIC_ERROR_CONTEXT_RUNTIME = 0x101,
  QAIC_ERROR_PROGRAM_CREATION = 0x200,
  QAIC_ERROR_PROGRAM_RUNTIME_LOAD_FAILED = 0x201,
  QAIC_ERROR_PROGRAM_RUNTIME_ACTIVATION_FAILED = 0x202,
  QAIC_ERROR_CONSTANTS_CREATION = 0x300,
  QAIC_ERROR_CONSTANTS_RUNTIME = 0x301,
  QAIC_ERROR_QUEUE_CREATION = 0x400,
  QAIC_ERROR_QUEUE_RUNTIME = 0x401,
  QAIC_ERROR_EXECOBJ_CREATION = 0x500,
  QAIC_ERROR_EXECOBJ_RUNTIME = 0x501,
  QAIC_ERROR_EVENT_CREATION = 0x600,
  QAIC_ERROR_EVENT_RUNTIME = 0x601
} QAicErrorType;

/* --- Programs --- */

typedef enum QAicProgramStatus { /* names of the values [?] */
                                 QAIC_PROGRAM_STATUS_INIT = 0,
                                 QAIC_PROGRAM_STATUS_LOADED = 1,
                                 QAIC_PROGRAM_STATUS_FULLY_ACTIVATED = 2,
                                 QAIC_PROGRAM_STATUS_ERROR = 100,
                                 QAIC_PROGRAM_STATUS_LOAD_ERROR = 101,
                                 QAIC_PROGRAM_STATUS_ACTIVATE_ERROR = 102
} QAicProgramStatus;

typedef struct QAicProgramInfo {
  QAicProgramStatus status;
  uint32_t loadedID;
  QAicProgramID programID;
  uint32_t numNsp;
  uint32_t numMcid;
  uint32_t batchSize;
  uint8_t isAicStatsAvailable;
  uint8_t reserved[3];
} QAicProgramInfo;

typedef enum QAicProgramActivationCmd {
  QAIC_PROGRAM_CMD_ACTIVATE_FULL = 0,
  QAIC_PROGRAM_CMD_DEACTIVATE_FULL = 1,
  QAIC_PROGRAM_CMD_RESERVED = 100,
  QAIC_PROGRAM_CMD_INVAL = 101
} QAicProgramActivationCmd;

enum {
  QAIC_PROGRAM_PROPERTIES_SELECT_MASK_DEFAULT = 0,
  QAIC_PROGRAM_PROPERTIES_USE_APP_BUFFER = 0x08
};
/* How often a run that the device has no room for is tried again, and how long each try waits. */
#define QAIC_PROGRAM_PROPERTIES_SUBMIT_NUM_RETRIES_DEFAULT 5
#define QAIC_PROGRAM_PROPERTIES_SUBMIT_TIMEOUT_MS_DEFAULT 0 /* 0: the driver's own, 5000 ms */

/* Fill it with qaicProgramPropertiesInitDefault. The closed header also has devMapping and
 * dataPathTimeoutMs; here they follow the open part [?]. The latter bounds a run from its enqueue
 * to its end, which is then QS_TIMEDOUT; 0: no bound [?]. */
typedef struct QAicProgramProperties {
  uint32_t selectMask;
  uint32_t SubmitNumRetries;
  uint32_t SubmitRetryTimeoutMs;
  uint64_t reserved;
  const char* devMapping; /* "0:1:2:3", or null */
  uint32_t dataPathTimeoutMs;
} QAicProgramProperties_t;

typedef uint32_t QAicConstantsProperties_t; /* [U], contents [?] */

/* [U]: type, members and names. Values and order [?]. */
typedef struct QAicProgramGroupProperties {
  uint32_t enableOversubscription;
  uint32_t protocolSelect;
} QAicProgramGroupProperties_t;
enum {
  QAIC_PROGRAM_GROUP_PROPERTIES_OVERSUBSCRIPTION_ENABLED = 1, /* value [?] */
  QAIC_PROGRAM_GROUP_PROTOCOL_DATA_PATH = 1                   /* value [?] */
};

/* --- Queues, exec objects, events --- */

enum {
  QAIC_QUEUE_PROPERTIES_ENABLE_SINGLE_THREADED_QUEUES = 0,
  QAIC_QUEUE_PROPERTIES_ENABLE_MULTI_THREADED_QUEUES = 1,
  QAIC_QUEUE_PROPERTIES_DEFAULT = QAIC_QUEUE_PROPERTIES_ENABLE_MULTI_THREADED_QUEUES
};
#define QAIC_QUEUE_PROPERTIES_NUM_THREADS_PER_QUEUE_DEFAULT 4 /* name [?] */

typedef struct QAicQueueProperties {
  uint32_t properties;
  uint32_t numThreadsPerQueue;
} QAicQueueProperties;

typedef uint32_t QAicExecObjProperties_t; /* bit mask */
enum {
  QAIC_EXECOBJ_PROPERTIES_AUTO_LOAD_ACTIVATE = 0x04,
  QAIC_EXECOBJ_PROPERTIES_DEFAULT = QAIC_EXECOBJ_PROPERTIES_AUTO_LOAD_ACTIVATE,
  QAIC_EXECOBJ_PROPERTIES_ZERO_COPY_BUFFERS = 0x08 /* [U], value [?] */
};

/* [U]: the one name serves as type of an event and as what a callback is told.
 * All values [?]. A callback that is told anything else than DEVICE_COMPLETE has no outputs; the
 * reason is what qaicExecObjWaitForCompletion then returns. */
typedef enum QAicEventType {
  QAIC_EVENT_DEVICE_COMPLETE = 0,
  QAIC_EVENT_DEVICE_ERROR = 1, /* name [?]: how the vendor reports a failed run is not known */
  QAIC_EVENT_INVAL = 2         /* name [?] */
} QAicEventType;
typedef QAicEventType QAicEventCompletionType;

#ifdef __cplusplus
}
#endif

#endif
