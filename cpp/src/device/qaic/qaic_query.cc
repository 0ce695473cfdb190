#include <cstdlib>
#include <cstring>
#include <string_view>

#include "base/cat.h"
#include "device/qaic/qaic_api.h"
#include "device/qaic/qaic_lock.h"
#include "device/qaic/qaic_status.h"
#include "qaickit/qaic.h"

namespace qaickit {
namespace {

template <size_t N>
std::string text(const char (&chars)[N]) {
  return std::string(chars, ::strnlen(chars, N));
}

QaicDeviceStatus status_of(QDevStatus status) {
  switch (status) {
    case QDS_INITIALIZING: return QaicDeviceStatus::kInitializing;
    case QDS_READY: return QaicDeviceStatus::kReady;
    case QDS_ERROR: return QaicDeviceStatus::kError;
  }
  return QaicDeviceStatus::kUnknown;
}

QaicPci pci_of(const QPciInfo& from) {
  const QPciExtInfo& link = from.pciExtInfo;
  return {from.domain,           from.bus,
          from.device,           from.function,
          text(from.classname),  text(from.vendorname),
          text(from.devicename), link.maxLinkSpeed,
          link.maxLinkWidth,     link.currLinkSpeed,
          link.currLinkWidth};
}

QaicResources resources_of(const QResourceInfo& from) {
  return {from.dramTotal,  from.dramFree, from.vcTotal, from.vcFree,    from.pcTotal,
          from.pcReserved, from.nspTotal, from.nspFree, from.mcidTotal, from.mcidFree,
          from.semTotal,   from.semFree,  from.skuType};
}

QaicPerformance performance_of(const QPerformanceInfo& from) {
  return {from.nspFrequencyHz, from.ddrFrequencyHz, from.compFrequencyHz, from.memFrequencyHz,
          from.sysFrequencyHz, from.peakCompute,    from.dramBw};
}

QaicDevice device_of(QID id, const QDevInfo& from) {
  const QHostApiInfoDevData& data = from.devData;
  const QHostApiInfoNspVersion& nsp = from.nspData.nspFwVersion;
  QaicDevice device;
  device.id = id;
  device.status = status_of(from.devStatus);
  device.name = text(from.name);
  device.pci = pci_of(from.pciInfo);
  device.hw_version = data.hwVersion;
  device.serial = text(data.serial);
  device.firmware = {
      {data.fwVersionMajor, data.fwVersionMinor, data.fwVersionPatch, data.fwVersionBuild},
      text(data.fwQCImageVersionString),
      text(data.fwOEMImageVersionString),
      text(data.fwImageVariantString)};
  device.firmware_features = text(data.fwImageFeaturesString);
  device.nsp_firmware = {
      {nsp.major, nsp.minor, nsp.patch, nsp.build}, text(nsp.qc), text(nsp.oem), text(nsp.variant)};
  device.sbl_image = text(data.sblImageString);
  device.pvs_image_version = data.pvsImageVersion;
  device.fragmentation = data.fragmentationStatus;
  device.metadata_version = {data.metaVerMaj, data.metaVerMin};
  device.command_protocol = {data.nncCommandProtocolMajor, data.nncCommandProtocolMinor};
  device.nsp_defect_mask = data.nspPgMask;
  device.constants_loaded = data.numLoadedConsts;
  device.constants_in_use = data.numConstsInUse;
  device.networks_loaded = data.numLoadedNWs;
  device.networks_active = data.numActiveNWs;
  device.resources = resources_of(data.resourceInfo);
  device.performance = performance_of(data.performanceInfo);
  return device;
}

// Of a simulated card; see qaicsim.h.
void add_board(const qaic::Api& api, QaicDevice& device) {
  QBoardInfo board{};
  if (api.qaicsimGetBoardInfo && api.qaicsimGetBoardInfo(device.id, &board) == QS_SUCCESS) {
    device.board_serial = text(board.boardSerial);
  }
  QTelemetryInfo telemetry{};
  if (api.qaicsimGetTelemetry && api.qaicsimGetTelemetry(device.id, &telemetry) == QS_SUCCESS) {
    device.telemetry = {telemetry.socTemperature, telemetry.boardPower, telemetry.tdpCap};
  }
}

QStatus ask_device(const qaic::Api& api, int32_t id, QaicDevice* device) {
  QDevInfo info{};
  const QStatus status = api.qaicGetDeviceInfo(id, &info);
  if (status != QS_SUCCESS) return status;
  *device = device_of(id, info);
  add_board(api, *device);
  return status;
}

// Opened by open(), so it is there.
const qaic::Api& opened() { return *qaic::load_api().value(); }

}  // namespace

Result<QaicLibrary> qaic_library() {
  QAICKIT_ASSIGN_OR_RETURN(const qaic::Api* api, qaic::load_api());
  return QaicLibrary{api->path, api->major, api->minor, api->patch, api->variant, api->simulated};
}

Result<std::vector<int32_t>> qaic_device_ids() {
  QAICKIT_ASSIGN_OR_RETURN(const qaic::Api* api, qaic::load_api());
  return qaic::device_ids(*api);
}

Result<QaicDevice> qaic_device(int32_t id) {
  QAICKIT_ASSIGN_OR_RETURN(const qaic::Api* api, qaic::load_api());
  QaicDevice device;
  const QStatus status = ask_device(*api, id, &device);
  if (status == QS_NODEV) return Status(Code::kNotFound, cat("Device ", id, " invalid"));
  QAICKIT_RETURN_IF_ERROR(qaic::to_status(status, "qaicGetDeviceInfo"));
  return device;
}

Status qaic_reset_device(int32_t id) {
  QAICKIT_ASSIGN_OR_RETURN(const qaic::Api* api, qaic::load_api());
  if (!api->qaicsimResetDevice) {
    return Status(Code::kUnsupported,
                  cat(api->path,
                      " has no public function that resets a device; use the tool that "
                      "comes with the vendor's platform SDK"));
  }
  const QStatus status = api->qaicsimResetDevice(id);
  if (status == QS_NODEV) return Status(Code::kNotFound, cat("Device ", id, " invalid"));
  return qaic::to_status(status, "qaicsimResetDevice");
}

Result<QaicUtil> QaicUtil::open() {
  QAICKIT_ASSIGN_OR_RETURN(QaicLibrary library, qaic_library());
  return QaicUtil(std::move(library));
}

int32_t QaicUtil::check_library_version() const noexcept {
  return qaic::version_fits(library_.major, library_.minor) ? QS_SUCCESS : QS_UNSUPPORTED;
}

int32_t QaicUtil::device_ids(std::vector<int32_t>* ids) const {
  *ids = qaic::device_ids(opened());
  return ids->empty() ? QS_NODEV : QS_SUCCESS;
}

int32_t QaicUtil::device(int32_t id, QaicDevice* device) const {
  return ask_device(opened(), id, device);
}

// Both by the one function whose arguments are known from public programs.
int32_t QaicUtil::resources(int32_t id, QaicResources* resources) const {
  QDevInfo info{};
  const QStatus status = opened().qaicGetDeviceInfo(id, &info);
  if (status == QS_SUCCESS) *resources = resources_of(info.devData.resourceInfo);
  return status;
}

int32_t QaicUtil::performance(int32_t id, QaicPerformance* performance) const {
  QDevInfo info{};
  const QStatus status = opened().qaicGetDeviceInfo(id, &info);
  if (status == QS_SUCCESS) *performance = performance_of(info.devData.performanceInfo);
  return status;
}

int32_t QaicUtil::lock_device(int32_t id, bool lock, bool block) const {
  const char* wanted = std::getenv("QAIC_SERIALIZE_DEVICE");
  if (!wanted || std::string_view(wanted) != "1") return QS_UNSUPPORTED;
  QDevInfo info{};
  if (const QStatus status = opened().qaicGetDeviceInfo(id, &info); status != QS_SUCCESS) {
    return status;
  }
  return lock ? qaic::lock_device(id, block) : qaic::unlock_device(id);
}

}  // namespace qaickit
