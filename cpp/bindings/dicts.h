#pragma once

#include <pybind11/pybind11.h>

#include <optional>

#include "qaickit/batch.h"
#include "qaickit/device.h"
#include "qaickit/qpc.h"
#include "qaickit/session.h"

// The core's plain structs as Python dicts; _core.pyi names their keys.
namespace qaickit::py_ {

namespace py = pybind11;

py::dict to_dict(const ProgramSpec& program);
py::object to_dict(const std::optional<HostManifest>& manifest);
py::dict to_dict(const DeviceInfo& info);
py::dict to_dict(const BatchStats& stats);
py::dict to_dict(const RunMetrics& metrics);
py::dict to_dict(const RunProfile& run);

// The other way; raise InvalidArgumentError for a missing key or an unknown dtype.
ProgramSpec to_program(const py::dict& program);
HostManifest to_manifest(const py::dict& manifest);

}  // namespace qaickit::py_
