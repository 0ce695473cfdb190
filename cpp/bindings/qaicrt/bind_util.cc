#include <pybind11/stl.h>

#include <cstdlib>
#include <thread>

#include "qaickit/qaic.h"
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
  py::enum_<DevStatus>(m, "QDevStatus", py::arithmetic())
      .value("QDS_INITIALIZING", DevStatus::kInitializing)
      .value("QDS_READY", DevStatus::kReady)
      .value("QDS_ERROR", DevStatus::kError);
  py::enum_<DeviceType>(m, "QAicDeviceType", py::arithmetic())
      .value("QAIC_DEVICE_TYPE_DEFAULT", DeviceType::kDefault);
  py::class_<QaicResources>(m, "QResourceInfo")
      .def_readonly("dramTotal", &QaicResources::dram_total_kib)
      .def_readonly("dramFree", &QaicResources::dram_free_kib)
      .def_readonly("vcTotal", &QaicResources::vc_total)
      .def_readonly("vcFree", &QaicResources::vc_free)
      .def_readonly("nspTotal", &QaicResources::nsp_total)
      .def_readonly("nspFree", &QaicResources::nsp_free)
      .def_readonly("mcidTotal", &QaicResources::mcid_total)
      .def_readonly("mcidFree", &QaicResources::mcid_free)
      .def_readonly("semTotal", &QaicResources::sem_total)
      .def_readonly("semFree", &QaicResources::sem_free)
      .def_readonly("pcTotal", &QaicResources::pc_total)
      .def_readonly("pcReserved", &QaicResources::pc_reserved)
      .def_readonly("skuType", &QaicResources::sku_type);
  py::class_<QaicPerformance>(m, "QPerformanceInfo")
      .def_readonly("nspFrequencyHz", &QaicPerformance::nsp_hz)
      .def_readonly("ddrFrequencyHz", &QaicPerformance::ddr_hz)
      .def_readonly("compFrequencyHz", &QaicPerformance::comp_hz)
      .def_readonly("memFrequencyHz", &QaicPerformance::mem_hz)
      .def_readonly("sysFrequencyHz", &QaicPerformance::sys_hz)
      .def_readonly("peakCompute", &QaicPerformance::peak_compute)
      .def_readonly("dramBw", &QaicPerformance::dram_bw);
  py::class_<QaicPci>(m, "QPciInfo")
      .def_readonly("domain", &QaicPci::domain)
      .def_readonly("bus", &QaicPci::bus)
      .def_readonly("device", &QaicPci::device)
      .def_readonly("function", &QaicPci::function)
      .def_readonly("classname", &QaicPci::class_name)
      .def_readonly("vendorname", &QaicPci::vendor_name)
      .def_readonly("devicename", &QaicPci::device_name);
  py::class_<DevData>(m, "QHostApiInfoDevData")
      .def_readonly("resourceInfo", &DevData::resources)
      .def_readonly("performanceInfo", &DevData::performance)
      .def_readonly("hwVersion", &DevData::hw_version)
      .def_readonly("serial", &DevData::serial);
  py::class_<DevInfo>(m, "QDevInfo")
      .def_readonly("qid", &DevInfo::qid)
      .def_readonly("devStatus", &DevInfo::status)
      .def_readonly("name", &DevInfo::name)
      .def_readonly("pciInfo", &DevInfo::pci)
      .def_readonly("devData", &DevInfo::data);
}

}  // namespace

void bind_util(py::module_& m) {
  bind_structs(m);
  struct Util {};
  py::class_<Util>(m, "Util")
      .def(py::init<>())
      .def("checkLibraryVersion",
           [](const Util&) {
             const py::tuple found = version();
             const auto status = found[0].cast<QStatus>();
             if (status != QStatus::kSuccess) return status;
             const bool same = found[1].cast<uint16_t>() == kApiMajor;
             return same ? QStatus::kSuccess : QStatus::kUnsupported;
           })
      .def("getAicVersion", [](const Util&) { return version(); })
      .def(
          "getDeviceIds",
          [](const Util&, DeviceType) {
            auto ids = unlocked([] { return device_ids(); });
            QidList list;
            if (ids.ok()) list.ids = std::move(*ids);
            const QStatus status =
                ids.ok() && list.ids.empty() ? QStatus::kNoDev : rt::to_qstatus(ids.status());
            return py::make_tuple(status, list);
          },
          py::arg("deviceType") = DeviceType::kDefault)
      .def(
          "getDeviceInfo", [](const Util&, int id) { return tell(id, to_info); }, py::arg("devID"))
      .def(
          "getPerformanceInfo",
          [](const Util&, int id) {
            return tell(id, [](const QaicDevice& d) { return d.performance; });
          },
          py::arg("devID"))
      .def(
          "getResourceInfo",
          [](const Util&, int id) {
            return tell(id, [](const QaicDevice& d) { return d.resources; });
          },
          py::arg("devID"))
      // The vendor's is advisory, between processes, and off unless asked for.
      .def(
          "lockDevice",
          [](const Util&, int id, bool lock, bool block) {
            return unlocked([&] { return lock_device(id, lock, block); });
          },
          py::arg("devID"), py::arg("lock"), py::arg("block"));
}

}  // namespace qaickit::qaicrt
