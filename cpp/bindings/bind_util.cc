#include <pybind11/stl.h>

#include "core_docs.h"
#include "errors.h"
#include "gil.h"
#include "module.h"
#include "qaickit/qaic.h"

namespace qaickit::py_ {
namespace {

namespace py = pybind11;

py::dict library() {
  const auto found = [] {
    const GilReleased released;  // loads the library
    return qaic_library();
  }();
  raise_if_error(found.status());
  py::dict dict;
  dict["path"] = found.value().path;
  dict["major"] = found.value().major;
  dict["minor"] = found.value().minor;
  dict["patch"] = found.value().patch;
  dict["variant"] = found.value().variant;
  dict["simulated"] = found.value().simulated;
  return dict;
}

std::vector<int32_t> device_ids() {
  const auto ids = [] {
    const GilReleased released;
    return qaic_device_ids();
  }();
  raise_if_error(ids.status());
  return ids.value();
}

py::dict to_dict(const QaicPci& from) {
  py::dict dict;
  dict["domain"] = from.domain;
  dict["bus"] = from.bus;
  dict["device"] = from.device;
  dict["function"] = from.function;
  dict["class_name"] = from.class_name;
  dict["vendor_name"] = from.vendor_name;
  dict["device_name"] = from.device_name;
  dict["max_link_speed"] = from.max_link_speed;
  dict["max_link_width"] = from.max_link_width;
  dict["curr_link_speed"] = from.curr_link_speed;
  dict["curr_link_width"] = from.curr_link_width;
  return dict;
}

py::dict to_dict(const QaicFirmware& from) {
  py::dict dict;
  dict["version"] = from.version;
  dict["qc_image"] = from.qc_image;
  dict["oem_image"] = from.oem_image;
  dict["variant"] = from.variant;
  return dict;
}

py::dict to_dict(const QaicResources& from) {
  py::dict dict;
  dict["dram_total_kib"] = from.dram_total_kib;
  dict["dram_free_kib"] = from.dram_free_kib;
  dict["vc_total"] = from.vc_total;
  dict["vc_free"] = from.vc_free;
  dict["pc_total"] = from.pc_total;
  dict["pc_reserved"] = from.pc_reserved;
  dict["nsp_total"] = from.nsp_total;
  dict["nsp_free"] = from.nsp_free;
  dict["mcid_total"] = from.mcid_total;
  dict["mcid_free"] = from.mcid_free;
  dict["sem_total"] = from.sem_total;
  dict["sem_free"] = from.sem_free;
  dict["sku_type"] = from.sku_type;
  return dict;
}

py::dict to_dict(const QaicPerformance& from) {
  py::dict dict;
  dict["nsp_hz"] = from.nsp_hz;
  dict["ddr_hz"] = from.ddr_hz;
  dict["comp_hz"] = from.comp_hz;
  dict["mem_hz"] = from.mem_hz;
  dict["sys_hz"] = from.sys_hz;
  dict["peak_compute"] = from.peak_compute;
  dict["dram_bw"] = from.dram_bw;
  return dict;
}

py::dict to_dict(const QaicTelemetry& from) {
  py::dict dict;
  dict["soc_celsius"] = from.soc_celsius;
  dict["board_watts"] = from.board_watts;
  dict["tdp_cap_watts"] = from.tdp_cap_watts;
  return dict;
}

py::dict device(int32_t id) {
  const auto found = [&] {
    const GilReleased released;
    return qaic_device(id);
  }();
  raise_if_error(found.status());
  const QaicDevice& from = found.value();
  py::dict dict;
  dict["id"] = from.id;
  dict["status"] = static_cast<int>(from.status);
  dict["name"] = from.name;
  dict["pci"] = to_dict(from.pci);
  dict["hw_version"] = from.hw_version;
  dict["serial"] = from.serial;
  dict["firmware"] = to_dict(from.firmware);
  dict["firmware_features"] = from.firmware_features;
  dict["nsp_firmware"] = to_dict(from.nsp_firmware);
  dict["sbl_image"] = from.sbl_image;
  dict["pvs_image_version"] = from.pvs_image_version;
  dict["fragmentation"] = from.fragmentation;
  dict["metadata_version"] = from.metadata_version;
  dict["command_protocol"] = from.command_protocol;
  dict["nsp_defect_mask"] = from.nsp_defect_mask;
  dict["constants_loaded"] = from.constants_loaded;
  dict["constants_in_use"] = from.constants_in_use;
  dict["networks_loaded"] = from.networks_loaded;
  dict["networks_active"] = from.networks_active;
  dict["resources"] = to_dict(from.resources);
  dict["performance"] = to_dict(from.performance);
  dict["board_serial"] = from.board_serial;
  dict["telemetry"] = from.telemetry ? py::object(to_dict(*from.telemetry)) : py::none();
  return dict;
}

void reset_device(int32_t id) {
  const Status status = [&] {
    const GilReleased released;
    return qaic_reset_device(id);
  }();
  raise_if_error(status);
}

}  // namespace

void bind_util(py::module_& m) {
  m.def("qaic_library", &library, doc("qaic_library"));
  m.def("qaic_device_ids", &device_ids, doc("qaic_device_ids"));
  m.def("qaic_device", &device, py::arg("id"), doc("qaic_device"));
  m.def("qaic_reset_device", &reset_device, py::arg("id"), doc("qaic_reset_device"));
}

}  // namespace qaickit::py_
