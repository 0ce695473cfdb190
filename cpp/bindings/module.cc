#include "module.h"

PYBIND11_MODULE(_core, m) {
  m.doc() = "The compiled core of qaickit. Private: use qaic, qaickit and the command lines.";
  m.attr("__version__") = QAICKIT_VERSION;
  qaickit::py_::bind_qpc(m);
  qaickit::py_::bind_devices(m);
  qaickit::py_::bind_session(m);
  qaickit::py_::bind_loadgen(m);
  qaickit::py_::bind_util(m);
}
