#include <cstring>

#include "base/cat.h"
#include "device/qaic/qaic_api.h"
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
  QDevInfo info{};
  const QStatus status = api->qaicGetDeviceInfo(id, &info);
  if (status == QS_NODEV) return Status(Code::kNotFound, cat("Device ", id, " invalid"));
  QAICKIT_RETURN_IF_ERROR(qaic::to_status(status, "qaicGetDeviceInfo"));
  return device_of(id, info);
}

}  // namespace qaickit
