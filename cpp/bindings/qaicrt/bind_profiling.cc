#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <utility>

#include "qaicrt_docs.h"
#include "wrap.h"

namespace qaickit::qaicrt {
namespace {

using rt::QStatus;

enum class ProfilingType { kLatency = 1, kTrace = 2, kRawDeviceStats = 3, kDevKpi = 4 };

struct PyProfiler : Held<rt::Profiler> {
  PyProfiler(std::shared_ptr<rt::Profiler> profiler, bool is_known)
      : Held(std::move(profiler)), is_known(is_known) {}
  bool is_known;  // a report that a host can make
};

PyProfiler make_profiler(const py::list& programs, ProfilingType type, const std::string& prefix,
                         const py::object& directory) {
  std::vector<std::shared_ptr<rt::Program>> native;
  for (const py::handle program : programs) {
    native.push_back(program.cast<const PyProgram&>().shared());
  }
  const bool is_known = type == ProfilingType::kLatency || type == ProfilingType::kTrace;
  const auto report =
      type == ProfilingType::kTrace ? rt::ProfileType::kTrace : rt::ProfileType::kLatency;
  const std::string path = py::str(py::module_::import("os").attr("fspath")(directory));
  return {value_or_throw(rt::Profiler::create(std::move(native), report, prefix, path)), is_known};
}

QStatus start(const PyProfiler& profiler) {
  const Status status =
      profiler.is_known
          ? profiler->start()
          : Status(Code::kUnsupported,
                   "statistics that a card's firmware writes: neither how the vendor's library is "
                   "asked for them nor their layout is public; profile LATENCY or TRACE");
  return report(*profiler->context(), status);
}

}  // namespace

void bind_profiling(py::module_& m) {
  py::enum_<ProfilingType>(m, "QAicProfilingTypeEnum", doc("QAicProfilingTypeEnum"),
                           py::arithmetic())
      .value("QAIC_PROFILING_INFERENCE_LATENCY_TYPE", ProfilingType::kLatency)
      .value("QAIC_PROFILING_INFERENCE_TRACE_TYPE", ProfilingType::kTrace)
      .value("QAIC_PROFILING_INFERENCE_RAW_DEVICE_STATS_TYPE", ProfilingType::kRawDeviceStats)
      .value("QAIC_PROFILING_INFERENCE_DEV_KPI_TYPE", ProfilingType::kDevKpi);
  py::class_<PyProfiler>(m, "ProfilingHandle", doc("ProfilingHandle"))
      .def(py::init(&make_profiler), py::arg("programs"), py::arg("type") = ProfilingType::kLatency,
           py::arg("fileNamePrefix") = "aic-profiling", py::arg("outputDirectory") = ".")
      .def("start", &start, doc("ProfilingHandle.start"))
      .def(
          "stop",
          [](const PyProfiler& profiler) {
            return report(*profiler->context(), unlocked([&] { return profiler->stop(); }));
          },
          doc("ProfilingHandle.stop"));
}

}  // namespace qaickit::qaicrt
