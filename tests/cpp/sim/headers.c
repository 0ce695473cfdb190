/* The headers are C, and their structs have the vendor's layout. */
#include "QAicApi.h"
#include "qaicsim.h"

#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)
#define AT(type, member, offset) \
  _Static_assert(offsetof(type, member) == (offset), #type "." #member)

SIZE(QBuffer, 32);
SIZE(QData, 16);
SIZE(QBufferDimensions, 16);
SIZE(QAicBufferMappings, 32);
SIZE(QAicIoBufferInfo_t, 16);
SIZE(QAicQpcProgramInfo, 120);
SIZE(QAicQpcConstantsInfo, 72);
SIZE(QAicQpcInfo_t, 32);
SIZE(QAicProgramInfo, 28);
SIZE(QAicQueueProperties, 8);
SIZE(QRTVerInfo, 24);
SIZE(QResourceInfo, 56);
SIZE(QPerformanceInfo, 36);
SIZE(QPciExtInfo, 32);
SIZE(QPciInfo, 424);
SIZE(QHostApiInfoDevData, 456);
SIZE(QHostApiInfoNspVersion, 196);
SIZE(QDevInfo, 1160);
SIZE(QBoardInfo, 356);
SIZE(QTelemetryInfo, 12);
AT(QBuffer, handle, 16);
AT(QBuffer, type, 28);
AT(QResourceInfo, nspTotal, 26);
AT(QResourceInfo, skuType, 46);
AT(QHostApiInfoDevData, hwVersion, 300);
AT(QHostApiInfoDevData, serial, 304);
AT(QHostApiInfoDevData, metaVerMaj, 328);
AT(QHostApiInfoDevData, nspPgMask, 336);
AT(QHostApiInfoDevData, resourceInfo, 360);
AT(QDevInfo, qid, 432);
AT(QDevInfo, devData, 440);
AT(QDevInfo, nspData, 896);
AT(QDevInfo, name, 1092);

/* Called from C, so that the program links the library as a C program does. */
int qaic_from_c(void);
int qaic_from_c(void) {
  uint16_t major = 0;
  uint16_t minor = 0;
  const char* patch = NULL;
  const char* variant = NULL;
  return qaicGetAicVersion(&major, &minor, &patch, &variant) == QS_SUCCESS &&
         major == LRT_LIB_MAJOR_VERSION;
}
