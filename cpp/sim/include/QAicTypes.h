/* SPDX-License-Identifier: Apache-2.0
 *
 * Status codes and device descriptions of the Cloud AI runtime's C API.
 *
 * Written by the qaickit project from what is publicly known of the API, so that host programs
 * compile without the vendor's SDK; on a machine with the SDK, use the SDK's headers.
 * Marks: [U] known only from the way that programs use it; [?] value or place chosen here.
 * Everything else has the values and the layout of the vendor's open headers (x86-64).
 */
#ifndef QAICKIT_QAIC_TYPES_H
#define QAICKIT_QAIC_TYPES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Version of these headers; a library fits when its major version is the same and its minor
 * version is not lower. */
#define LRT_LIB_MAJOR_VERSION 10
#define LRT_LIB_MINOR_VERSION 0

typedef int32_t QID; /* device id */
typedef uint32_t QAicContextID;
typedef uint32_t QAicProgramID;
typedef uint32_t QAicExecObjID;
typedef uint32_t QAicObjId;
typedef uint32_t QNAID;
typedef uint32_t QNNImageID;
typedef int32_t QResourceReservationID;

#define RESOURCE_GROUP_ID_DEFAULT (-1)

typedef enum QStatus {
  QS_SUCCESS = 0,
  QS_PERM = 1,
  QS_AGAIN = 2,
  QS_NOMEM = 3,
  QS_BUSY = 4,
  QS_NODEV = 5,
  QS_INVAL = 6,
  QS_NOSPC = 7,
  QS_BADFD = 8,
  QS_TIMEDOUT = 9,
  QS_PROTOCOL = 10,
  QS_UNSUPPORTED = 11,
  QS_DATA_CRC_ERROR = 12,
  QS_DEV_ERROR = 300,
  QS_ERROR = 500
} QStatus;

typedef enum QLogLevel { QL_DEBUG = 0, QL_INFO = 1, QL_WARN = 2, QL_ERROR = 3 } QLogLevel;

typedef enum QDevStatus { QDS_INITIALIZING = 0, QDS_READY = 1, QDS_ERROR = 2 } QDevStatus;

typedef enum QDirection {
  QDIR_BI = 0,
  QDIR_TO_DEV = 1,
  QDIR_FROM_DEV = 2,
  QDIR_NONE = 3
} QDirection; /* names of the values [?] */

typedef struct QRTVerInfo {
  uint16_t major;
  uint16_t minor;
  const char* patch;
  const char* variant;
} QRTVerInfo;

/* dramTotal and dramFree are in KiB (what the closed stack reports). */
typedef struct QResourceInfo {
  int32_t QResourceReservationID;
  uint64_t dramTotal;
  uint64_t dramFree;
  uint8_t vcTotal;
  uint8_t vcFree;
  uint8_t nspTotal;
  uint8_t nspFree;
  uint32_t mcidTotal;
  uint32_t mcidFree;
  uint32_t semTotal;
  uint32_t semFree;
  uint8_t pcTotal;
  uint8_t pcReserved;
  uint8_t skuType; /* 0-9: Invalid, M.2, PCIe, PCIe Pro, PCIe Lite, PCIe Ultra, Auto, ... */
  uint8_t padding[5];
} QResourceInfo;

typedef struct QPerformanceInfo {
  uint32_t nspFrequencyHz;
  uint32_t ddrFrequencyHz;
  uint32_t compFrequencyHz;
  uint32_t memFrequencyHz;
  uint32_t sysFrequencyHz;
  float peakCompute;
  float dramBw;
  uint32_t reserved[2];
} QPerformanceInfo;

typedef struct QPciExtInfo {
  uint32_t maxLinkSpeed;
  uint32_t maxLinkWidth;
  uint32_t currLinkSpeed;
  uint32_t currLinkWidth;
  uint64_t bar2Addr;
  uint64_t bar4Addr;
} QPciExtInfo;

typedef struct QPciInfo {
  uint16_t domain;
  uint8_t bus;
  uint8_t device;
  uint8_t function;
  char classname[128];
  char vendorname[128];
  char devicename[128];
  QPciExtInfo pciExtInfo; /* name of the member [?] */
} QPciInfo;

typedef struct QHostApiInfoDevData {
  uint8_t formatVersion;
  uint8_t fwVersionMajor;
  uint8_t fwVersionMinor;
  uint8_t fwVersionPatch;
  uint8_t fwVersionBuild;
  uint8_t fwFeaturesBitmap;
  char fwQCImageVersionString[64];
  char fwOEMImageVersionString[64];
  char fwImageVariantString[64];
  char fwImageFeaturesString[64];
  char sblImageString[32];
  uint32_t pvsImageVersion;
  uint32_t hwVersion; /* four bytes, printed with dots, the highest first */
  char serial[16];
  uint32_t reserved;
  uint32_t fragmentationStatus;
  uint16_t metaVerMaj;
  uint16_t metaVerMin;
  uint16_t nncCommandProtocolMajor; /* names of these two [?] */
  uint16_t nncCommandProtocolMinor;
  uint64_t nspPgMask;
  uint32_t numLoadedConsts;
  uint32_t numConstsInUse;
  uint8_t numLoadedNWs;
  uint8_t numActiveNWs;
  QResourceInfo resourceInfo;       /* name of the member [?] */
  QPerformanceInfo performanceInfo; /* name of the member [?] */
} QHostApiInfoDevData;

typedef struct QHostApiInfoNspVersion {
  uint8_t major;
  uint8_t minor;
  uint8_t patch;
  uint8_t build;
  char qc[64]; /* names of the strings [?] */
  char oem[64];
  char variant[64];
} QHostApiInfoNspVersion;

typedef struct QHostApiInfoNspData {
  QHostApiInfoNspVersion nspFwVersion; /* name of the member [?] */
} QHostApiInfoNspData;

typedef struct QDevInfo {
  QDevStatus devStatus;
  QPciInfo pciInfo;
  QID qid;
  QHostApiInfoDevData devData;
  QHostApiInfoNspData nspData;
  char name[64];
} QDevInfo;

typedef struct QBoardInfo {
  uint8_t formatVersion;
  uint8_t fwVersionMajor;
  uint8_t fwVersionMinor;
  uint8_t fwVersionPatch;
  uint8_t fwVersionBuild;
  uint8_t fwFeaturesBitmap;
  char fwQCImageVersionString[64];
  char fwOEMImageVersionString[64];
  char fwImageVariantString[64];
  char fwImageFeaturesString[64];
  char sblImageString[32];
  uint32_t pvsImageVersion;
  uint32_t hwVersion;
  char serial[16];
  char boardSerial[32];
  uint32_t reserved;
} QBoardInfo; /* order of the members [?] */

typedef struct QTelemetryInfo {
  uint32_t socTemperature; /* degree C */
  uint32_t boardPower;     /* W */
  uint32_t tdpCap;         /* W */
} QTelemetryInfo;

#ifdef __cplusplus
}
#endif

#endif
