#include "errors.h"

#include <string>

namespace qaickit::py_ {

namespace py = pybind11;

void raise_if_error(const Status& status) {
  if (status.ok()) return;
  const py::dict by_code = py::module_::import("qaickit.errors").attr("BY_CODE");
  const py::object cls = by_code[py::str(std::string(code_name(status.code())))];
  PyErr_SetObject(cls.ptr(), py::str(std::string(status.message())).ptr());
  throw py::error_already_set();
}

}  // namespace qaickit::py_
