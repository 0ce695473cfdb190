#include "qaickit/rt_exit.h"
#include "wrap.h"

namespace py = pybind11;

PYBIND11_MODULE(_qaicrt, m) {
  m.doc() = "The vendor's low-level runtime module over qaickit. Import it as `qaicrt`.";
  qaickit::qaicrt::bind_types(m);
  qaickit::qaicrt::bind_objects(m);
  qaickit::qaicrt::bind_group(m);
  qaickit::qaicrt::bind_sets(m);
  qaickit::qaicrt::bind_benchmark_set(m);
  qaickit::qaicrt::bind_profiling(m);
  qaickit::qaicrt::bind_util(m);
  // Before the interpreter and the libraries go, while threads may still have the GIL.
  py::module_::import("atexit").attr("register")(
      py::cpp_function([] { qaickit::qaicrt::unlocked([] { qaickit::rt::end_runs(); }); }));
}
