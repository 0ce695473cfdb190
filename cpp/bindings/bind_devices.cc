#include <pybind11/stl.h>

#include <string>

#include "core_docs.h"
#include "dicts.h"
#include "errors.h"
#include "gil.h"
#include "module.h"
#include "qaickit/device.h"
#include "qaickit/workload.h"

namespace qaickit::py_ {
namespace {

py::list list_backends() {
  py::list list;
  for (const Backend& backend : backends()) {
    auto devices = [&] {
      const GilReleased released;  // may load a library
      return backend.enumerate();
    }();
    py::dict dict;
    py::list infos;
    if (devices.ok()) {
      for (const DeviceInfo& info : *devices) infos.append(to_dict(info));
    }
    dict["name"] = std::string(backend.name);
    dict["summary"] = std::string(backend.summary);
    dict["devices"] = infos;
    dict["error"] = devices.ok() ? py::object(py::none())
                                 : py::object(py::str(std::string(devices.status().message())));
    dict["details"] = backend.details();
    list.append(dict);
  }
  return list;
}

}  // namespace

void bind_devices(py::module_& m) {
  // Vendor libraries come in wheels: they are looked for where this interpreter finds packages.
  for (py::handle entry : py::module_::import("sys").attr("path")) {
    const auto dir = py::cast<std::string>(py::str(entry));
    if (!dir.empty()) add_package_dir(dir);
  }
  m.def("backends", &list_backends, doc("backends"));
  m.def(
      "workload_kinds",
      [] {
        py::list kinds;
        for (std::string_view kind : Workload::kinds()) kinds.append(std::string(kind));
        return kinds;
      },
      doc("workload_kinds"));
}

}  // namespace qaickit::py_
