#include <pybind11/stl.h>

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

struct DevData {
  QaicResources resources;
  QaicPerformance performance;
  uint32_t hw_version;
  std::string serial;
};
struct DevInfo {
  int32_t qid;
  DevStatus status;
  std::string name;
  QaicPci pci;
  DevData data;
};

Result<const Backend*> backend() {
  const char* const name = std::getenv("QAICKIT_BACKEND");
  return name && *name ? find_backend(name) : default_backend();
}

// A device of ours that is no card, in a card's words: a CPU counts as an NSP.
QaicDevice describe(const DeviceInfo& info) {
  QaicDevice device;
  device.id = info.id;
  device.status = QaicDeviceStatus::kReady;
  device.name = info.name;
  device.resources.nsp_total = device.resources.nsp_free = std::thread::hardware_concurrency();
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

DevInfo to_info(const QaicDevice& device) {
  const auto status = device.status == QaicDeviceStatus::kUnknown
                          ? DevStatus::kError
                          : static_cast<DevStatus>(device.status);
  return {device.id,
          status,
          device.name,
          device.pci,
          {device.resources, device.performance, device.hw_version, device.serial}};
}

// (status, what `part` makes of the device, or None).
template <class Part>
py::tuple tell(int id, Part part) {
  const auto device = unlocked([&] { return find_device(id); });
  if (!device.ok()) return py::make_tuple(rt::to_qstatus(device.status()), py::none());
  return py::make_tuple(QStatus::kSuccess, part(*device));
}

void bind_structs(py::module_& m) {
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
  py::class_<QaicPci>(m, "QPciInfo", doc("QPciInfo"))
      .def_readonly("domain", &QaicPci::domain, doc("QPciInfo.domain"))
      .def_readonly("bus", &QaicPci::bus, doc("QPciInfo.bus"))
      .def_readonly("device", &QaicPci::device, doc("QPciInfo.device"))
      .def_readonly("function", &QaicPci::function, doc("QPciInfo.function"))
      .def_readonly("classname", &QaicPci::class_name, doc("QPciInfo.classname"))
      .def_readonly("vendorname", &QaicPci::vendor_name, doc("QPciInfo.vendorname"))
      .def_readonly("devicename", &QaicPci::device_name, doc("QPciInfo.devicename"));
  py::class_<DevData>(m, "QHostApiInfoDevData", doc("QHostApiInfoDevData"))
      .def_readonly("resourceInfo", &DevData::resources, doc("QHostApiInfoDevData.resourceInfo"))
      .def_readonly("performanceInfo", &DevData::performance,
                    doc("QHostApiInfoDevData.performanceInfo"))
      .def_readonly("hwVersion", &DevData::hw_version, doc("QHostApiInfoDevData.hwVersion"))
      .def_readonly("serial", &DevData::serial, doc("QHostApiInfoDevData.serial"));
  py::class_<DevInfo>(m, "QDevInfo", doc("QDevInfo"))
      .def_readonly("qid", &DevInfo::qid, doc("QDevInfo.qid"))
      .def_readonly("devStatus", &DevInfo::status, doc("QDevInfo.devStatus"))
      .def_readonly("name", &DevInfo::name, doc("QDevInfo.name"))
      .def_readonly("pciInfo", &DevInfo::pci, doc("QDevInfo.pciInfo"))
      .def_readonly("devData", &DevInfo::data, doc("QDevInfo.devData"));
}

}  // namespace

void bind_util(py::module_& m) {
  bind_structs(m);
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
          "getDeviceInfo", [](const Util&, int id) { return tell(id, to_info); }, py::arg("devID"),
          doc("Util.getDeviceInfo"))
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
