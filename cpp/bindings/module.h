#pragma once

#include <pybind11/pybind11.h>

namespace qaickit::py_ {

void bind_qpc(pybind11::module_& m);
void bind_devices(pybind11::module_& m);
void bind_session(pybind11::module_& m);
void bind_loadgen(pybind11::module_& m);
void bind_util(pybind11::module_& m);

}  // namespace qaickit::py_
