#include <pybind11/stl.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "qaickit/qaic.h"
#include "qaicrt_docs.h"
#include "wrap.h"

namespace qaickit::qaicrt {
namespace {

using rt::QStatus;

constexpr uint16_t kApiMajor = 10;  // of the runtime library, as public headers have it
constexpr uint16_t kApiMinor = 0;

enum class DevStatus { kInitializing = 0, kReady = 1, kError = 2 };
enum class DeviceType { kDefault = 1 };

// The parts of a device as the vendor's structs divide it.
struct DevData {
  QaicDevice device;
};
struct NspData {
  QaicFirmware firmware;
};
struct PciExtInfo {
  QaicPci pci;
};
struct DevInfo {
  QaicDevice device;
  DevStatus status() const {
    return device.status == QaicDeviceStatus::kUnknown ? DevStatus::kError
                                                       : static_cast<DevStatus>(device.status);
  }
};

Result<const Backend*> backend() {
  const char* const name = std::getenv("QAICKIT_BACKEND");
  return name && *name ? find_backend(name) : default_backend();
}

// KiB of this machine; 0 where the system does not tell.
uint64_t memory_kib(int pages) {
  const long count = ::sysconf(pages);
  const long bytes = ::sysconf(_SC_PAGESIZE);
  return count > 0 && bytes > 0 ? static_cast<uint64_t>(count) * static_cast<uint64_t>(bytes) / 1024
                                : 0;
}

// A device of ours that is no card, in a card's words: a CPU counts as an NSP.
QaicDevice describe(const DeviceInfo& info) {
  QaicDevice device;
  device.id = info.id;
  device.status = QaicDeviceStatus::kReady;
  device.name = info.name;
  device.resources.nsp_total = device.resources.nsp_free = std::thread::hardware_concurrency();
  device.resources.dram_total_kib = memory_kib(_SC_PHYS_PAGES);
  device.resources.dram_free_kib = memory_kib(_SC_AVPHYS_PAGES);
  device.pci.device_name = info.name;
  return device;
}

Result<QaicDevice> find_device(int id) {
  QAICKIT_ASSIGN_OR_RETURN(const Backend* chosen, backend());
  if (chosen->name == "qaic") return qaic_device(id);
  QAICKIT_ASSIGN_OR_RETURN(const std::vector<DeviceInfo> devices, chosen->enumerate());
  for (const DeviceInfo& device : devices) {
    if (device.id == id) return describe(device);
  }
  return Status(Code::kNotFound, "device " + std::to_string(id) + " does not exist");
}

Result<std::vector<int>> device_ids() {
  QAICKIT_ASSIGN_OR_RETURN(const Backend* chosen, backend());
  if (chosen->name == "qaic") {
    QAICKIT_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, qaic_device_ids());
    return std::vector<int>(ids.begin(), ids.end());
  }
  QAICKIT_ASSIGN_OR_RETURN(const std::vector<DeviceInfo> devices, chosen->enumerate());
  std::vector<int> ids;
  for (const DeviceInfo& device : devices) ids.push_back(device.id);
  return ids;
}

QStatus lock_device(int id, bool lock, bool block) {
  const auto chosen = backend();
  if (!chosen.ok() || (*chosen)->name != "qaic") return QStatus::kUnsupported;
  const auto util = QaicUtil::open();
  if (!util.ok()) return rt::to_qstatus(util.status());
  return static_cast<QStatus>(util->lock_device(id, lock, block));
}

py::tuple version() {
  const auto chosen = backend();
  if (chosen.ok() && (*chosen)->name == "qaic") {
    const auto library = qaic_library();
    if (!library.ok()) return py::make_tuple(rt::to_qstatus(library.status()), 0, 0, "", "");
    return py::make_tuple(QStatus::kSuccess, library->major, library->minor, library->patch,
                          library->variant);
  }
  return py::make_tuple(QStatus::kSuccess, kApiMajor, kApiMinor, "0", "qaickit");
}

// (status, what `part` makes of the device, or None).
template <class Part>
py::tuple tell(int id, Part part) {
  const auto device = unlocked([&] { return find_device(id); });
  if (!device.ok()) return py::make_tuple(rt::to_qstatus(device.status()), py::none());
  return py::make_tuple(QStatus::kSuccess, part(*device));
}

void bind_resources(py::module_& m) {
  py::enum_<DevStatus>(m, "QDevStatus", doc("QDevStatus"), py::arithmetic())
      .value("QDS_INITIALIZING", DevStatus::kInitializing)
      .value("QDS_READY", DevStatus::kReady)
      .value("QDS_ERROR", DevStatus::kError);
  py::enum_<DeviceType>(m, "QAicDeviceType", doc("QAicDeviceType"), py::arithmetic())
      .value("QAIC_DEVICE_TYPE_DEFAULT", DeviceType::kDefault);
  py::class_<QaicResources>(m, "QResourceInfo", doc("QResourceInfo"))
      .def_readonly("dramTotal", &QaicResources::dram_total_kib, doc("QResourceInfo.dramTotal"))
      .def_readonly("dramFree", &QaicResources::dram_free_kib, doc("QResourceInfo.dramFree"))
      .def_readonly("vcTotal", &QaicResources::vc_total, doc("QResourceInfo.vcTotal"))
      .def_readonly("vcFree", &QaicResources::vc_free, doc("QResourceInfo.vcFree"))
      .def_readonly("nspTotal", &QaicResources::nsp_total, doc("QResourceInfo.nspTotal"))
      .def_readonly("nspFree", &QaicResources::nsp_free, doc("QResourceInfo.nspFree"))
      .def_readonly("mcidTotal", &QaicResources::mcid_total, doc("QResourceInfo.mcidTotal"))
      .def_readonly("mcidFree", &QaicResources::mcid_free, doc("QResourceInfo.mcidFree"))
      .def_readonly("semTotal", &QaicResources::sem_total, doc("QResourceInfo.semTotal"))
      .def_readonly("semFree", &QaicResources::sem_free, doc("QResourceInfo.semFree"))
      .def_readonly("pcTotal", &QaicResources::pc_total, doc("QResourceInfo.pcTotal"))
      .def_readonly("pcReserved", &QaicResources::pc_reserved, doc("QResourceInfo.pcReserved"))
      .def_readonly("skuType", &QaicResources::sku_type, doc("QResourceInfo.skuType"));
  py::class_<QaicPerformance>(m, "QPerformanceInfo", doc("QPerformanceInfo"))
      .def_readonly("nspFrequencyHz", &QaicPerformance::nsp_hz,
                    doc("QPerformanceInfo.nspFrequencyHz"))
      .def_readonly("ddrFrequencyHz", &QaicPerformance::ddr_hz,
                    doc("QPerformanceInfo.ddrFrequencyHz"))
      .def_readonly("compFrequencyHz", &QaicPerformance::comp_hz,
                    doc("QPerformanceInfo.compFrequencyHz"))
      .def_readonly("memFrequencyHz", &QaicPerformance::mem_hz,
                    doc("QPerformanceInfo.memFrequencyHz"))
      .def_readonly("sysFrequencyHz", &QaicPerformance::sys_hz,
                    doc("QPerformanceInfo.sysFrequencyHz"))
      .def_readonly("peakCompute", &QaicPerformance::peak_compute,
                    doc("QPerformanceInfo.peakCompute"))
      .def_readonly("dramBw", &QaicPerformance::dram_bw, doc("QPerformanceInfo.dramBw"));
}

void bind_pci(py::module_& m) {
  py::class_<PciExtInfo>(m, "QPciExtInfo", doc("QPciExtInfo"))
      .def_property_readonly(
          "maxLinkSpeed", [](const PciExtInfo& p) { return p.pci.max_link_speed; },
          doc("QPciExtInfo.maxLinkSpeed"))
      .def_property_readonly(
          "maxLinkWidth", [](const PciExtInfo& p) { return p.pci.max_link_width; },
          doc("QPciExtInfo.maxLinkWidth"))
      .def_property_readonly(
          "currLinkSpeed", [](const PciExtInfo& p) { return p.pci.curr_link_speed; },
          doc("QPciExtInfo.currLinkSpeed"))
      .def_property_readonly(
          "currLinkWidth", [](const PciExtInfo& p) { return p.pci.curr_link_width; },
          doc("QPciExtInfo.currLinkWidth"));
  py::class_<QaicPci>(m, "QPciInfo", doc("QPciInfo"))
      .def_readonly("domain", &QaicPci::domain, doc("QPciInfo.domain"))
      .def_readonly("bus", &QaicPci::bus, doc("QPciInfo.bus"))
      .def_readonly("device", &QaicPci::device, doc("QPciInfo.device"))
      .def_readonly("function", &QaicPci::function, doc("QPciInfo.function"))
      .def_readonly("classname", &QaicPci::class_name, doc("QPciInfo.classname"))
      .def_readonly("vendorname", &QaicPci::vendor_name, doc("QPciInfo.vendorname"))
      .def_readonly("devicename", &QaicPci::device_name, doc("QPciInfo.devicename"))
      .def_property_readonly(
          "pciExtInfo", [](const QaicPci& p) { return PciExtInfo{p}; }, doc("QPciInfo.pciExtInfo"));
}

void bind_nsp(py::module_& m) {
  py::class_<QaicFirmware>(m, "QHostApiInfoNspVersion", doc("QHostApiInfoNspVersion"))
      .def_property_readonly(
          "major", [](const QaicFirmware& p) { return p.version[0]; },
          doc("QHostApiInfoNspVersion.major"))
      .def_property_readonly(
          "minor", [](const QaicFirmware& p) { return p.version[1]; },
          doc("QHostApiInfoNspVersion.minor"))
      .def_property_readonly(
          "patch", [](const QaicFirmware& p) { return p.version[2]; },
          doc("QHostApiInfoNspVersion.patch"))
      .def_property_readonly(
          "build", [](const QaicFirmware& p) { return p.version[3]; },
          doc("QHostApiInfoNspVersion.build"))
      .def_readonly("qc", &QaicFirmware::qc_image, doc("QHostApiInfoNspVersion.qc"))
      .def_readonly("oem", &QaicFirmware::oem_image, doc("QHostApiInfoNspVersion.oem"))
      .def_readonly("variant", &QaicFirmware::variant, doc("QHostApiInfoNspVersion.variant"));
  py::class_<NspData>(m, "QHostApiInfoNspData", doc("QHostApiInfoNspData"))
      .def_readonly("nspFwVersion", &NspData::firmware, doc("QHostApiInfoNspData.nspFwVersion"));
}

void bind_dev_data(py::module_& m) {
  py::class_<DevData>(m, "QHostApiInfoDevData", doc("QHostApiInfoDevData"))
      .def_property_readonly(
          "fwVersionMajor", [](const DevData& p) { return p.device.firmware.version[0]; },
          doc("QHostApiInfoDevData.fwVersionMajor"))
      .def_property_readonly(
          "fwVersionMinor", [](const DevData& p) { return p.device.firmware.version[1]; },
          doc("QHostApiInfoDevData.fwVersionMinor"))
      .def_property_readonly(
          "fwVersionPatch", [](const DevData& p) { return p.device.firmware.version[2]; },
          doc("QHostApiInfoDevData.fwVersionPatch"))
      .def_property_readonly(
          "fwVersionBuild", [](const DevData& p) { return p.device.firmware.version[3]; },
          doc("QHostApiInfoDevData.fwVersionBuild"))
      .def_property_readonly(
          "fwQCImageVersionString", [](const DevData& p) { return p.device.firmware.qc_image; },
          doc("QHostApiInfoDevData.fwQCImageVersionString"))
      .def_property_readonly(
          "fwOEMImageVersionString", [](const DevData& p) { return p.device.firmware.oem_image; },
          doc("QHostApiInfoDevData.fwOEMImageVersionString"))
      .def_property_readonly(
          "fwImageVariantString", [](const DevData& p) { return p.device.firmware.variant; },
          doc("QHostApiInfoDevData.fwImageVariantString"))
      .def_property_readonly(
          "fwImageFeaturesString", [](const DevData& p) { return p.device.firmware_features; },
          doc("QHostApiInfoDevData.fwImageFeaturesString"))
      .def_property_readonly(
          "sblImageString", [](const DevData& p) { return p.device.sbl_image; },
          doc("QHostApiInfoDevData.sblImageString"))
      .def_property_readonly(
          "pvsImageVersion", [](const DevData& p) { return p.device.pvs_image_version; },
          doc("QHostApiInfoDevData.pvsImageVersion"))
      .def_property_readonly(
          "hwVersion", [](const DevData& p) { return p.device.hw_version; },
          doc("QHostApiInfoDevData.hwVersion"))
      .def_property_readonly(
          "serial", [](const DevData& p) { return p.device.serial; },
          doc("QHostApiInfoDevData.serial"))
      .def_property_readonly(
          "fragmentationStatus", [](const DevData& p) { return p.device.fragmentation; },
          doc("QHostApiInfoDevData.fragmentationStatus"))
      .def_property_readonly(
          "metaVerMaj", [](const DevData& p) { return p.device.metadata_version[0]; },
          doc("QHostApiInfoDevData.metaVerMaj"))
      .def_property_readonly(
          "metaVerMin", [](const DevData& p) { return p.device.metadata_version[1]; },
          doc("QHostApiInfoDevData.metaVerMin"))
      .def_property_readonly(
          "nncCommandProtocolMajor", [](const DevData& p) { return p.device.command_protocol[0]; },
          doc("QHostApiInfoDevData.nncCommandProtocolMajor"))
      .def_property_readonly(
          "nncCommandProtocolMinor", [](const DevData& p) { return p.device.command_protocol[1]; },
          doc("QHostApiInfoDevData.nncCommandProtocolMinor"))
      .def_property_readonly(
          "nspPgMask", [](const DevData& p) { return p.device.nsp_defect_mask; },
          doc("QHostApiInfoDevData.nspPgMask"))
      .def_property_readonly(
          "numLoadedConsts", [](const DevData& p) { return p.device.constants_loaded; },
          doc("QHostApiInfoDevData.numLoadedConsts"))
      .def_property_readonly(
          "numConstsInUse", [](const DevData& p) { return p.device.constants_in_use; },
          doc("QHostApiInfoDevData.numConstsInUse"))
      .def_property_readonly(
          "numLoadedNWs", [](const DevData& p) { return p.device.networks_loaded; },
          doc("QHostApiInfoDevData.numLoadedNWs"))
      .def_property_readonly(
          "numActiveNWs", [](const DevData& p) { return p.device.networks_active; },
          doc("QHostApiInfoDevData.numActiveNWs"))
      .def_property_readonly(
          "resourceInfo", [](const DevData& p) { return p.device.resources; },
          doc("QHostApiInfoDevData.resourceInfo"))
      .def_property_readonly(
          "performanceInfo", [](const DevData& p) { return p.device.performance; },
          doc("QHostApiInfoDevData.performanceInfo"));
}

void bind_dev_info(py::module_& m) {
  py::class_<DevInfo>(m, "QDevInfo", doc("QDevInfo"))
      .def_property_readonly(
          "qid", [](const DevInfo& p) { return p.device.id; }, doc("QDevInfo.qid"))
      .def_property_readonly(
          "devStatus", [](const DevInfo& p) { return p.status(); }, doc("QDevInfo.devStatus"))
      .def_property_readonly(
          "name", [](const DevInfo& p) { return p.device.name; }, doc("QDevInfo.name"))
      .def_property_readonly(
          "pciInfo", [](const DevInfo& p) { return p.device.pci; }, doc("QDevInfo.pciInfo"))
      .def_property_readonly(
          "devData", [](const DevInfo& p) { return DevData{p.device}; }, doc("QDevInfo.devData"))
      .def_property_readonly(
          "nspData", [](const DevInfo& p) { return NspData{p.device.nsp_firmware}; },
          doc("QDevInfo.nspData"));
}

}  // namespace

void bind_util(py::module_& m) {
  bind_resources(m);
  bind_pci(m);
  bind_nsp(m);
  bind_dev_data(m);
  bind_dev_info(m);
  struct Util {};
  py::class_<Util>(m, "Util", doc("Util"))
      .def(py::init<>())
      .def(
          "checkLibraryVersion",
          [](const Util&) {
            const py::tuple found = version();
            const auto status = found[0].cast<QStatus>();
            if (status != QStatus::kSuccess) return status;
            const bool same = found[1].cast<uint16_t>() == kApiMajor;
            return same ? QStatus::kSuccess : QStatus::kUnsupported;
          },
          doc("Util.checkLibraryVersion"))
      .def(
          "getAicVersion", [](const Util&) { return version(); }, doc("Util.getAicVersion"))
      .def(
          "getDeviceIds",
          [](const Util&, DeviceType type) -> py::tuple {
            if (type != DeviceType::kDefault) {
              return py::make_tuple(QStatus::kInval, QidList());
            }
            auto ids = unlocked([] { return device_ids(); });
            QidList list;
            if (ids.ok()) list.ids = std::move(*ids);
            const QStatus status =
                ids.ok() && list.ids.empty() ? QStatus::kNoDev : rt::to_qstatus(ids.status());
            return py::make_tuple(status, list);
          },
          py::arg("deviceType") = DeviceType::kDefault, doc("Util.getDeviceIds"))
      .def(
          "getDeviceInfo",
          [](const Util&, int id) {
            return tell(id, [](const QaicDevice& d) { return DevInfo{d}; });
          },
          py::arg("devID"), doc("Util.getDeviceInfo"))
      .def(
          "getPerformanceInfo",
          [](const Util&, int id) {
            return tell(id, [](const QaicDevice& d) { return d.performance; });
          },
          py::arg("devID"), doc("Util.getPerformanceInfo"))
      .def(
          "getResourceInfo",
          [](const Util&, int id) {
            return tell(id, [](const QaicDevice& d) { return d.resources; });
          },
          py::arg("devID"), doc("Util.getResourceInfo"))
      // The vendor's is advisory, between processes, and off unless asked for.
      .def(
          "lockDevice",
          [](const Util&, int id, bool lock, bool block) {
            return unlocked([&] { return lock_device(id, lock, block); });
          },
          py::arg("devID"), py::arg("lock"), py::arg("block"), doc("Util.lockDevice"));
}

}  // namespace qaickit::qaicrt
