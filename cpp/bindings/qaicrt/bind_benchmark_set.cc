#include <pybind11/stl.h>

#include <string>
#include <utility>

#include "qaicrt_docs.h"
#include "wrap.h"

namespace qaickit::qaicrt {
namespace {

using Data = rt::ExecObject::Data;
using rt::QStatus;

enum class LiveLevel { kSummary = 1 };
enum class OpStatsFormat { kAscii = 0, kJson = 1 };

struct PyBenchmarkSet : Held<rt::BenchmarkSet> {
  using Held::Held;
};
struct ExecObjInfo {
  uint32_t exec_obj_index;
  uint32_t activation_index;
  uint32_t program_id;
  std::string program_name;
  QStatus status;
};
struct CharVector {
  std::string text;
};

PyBenchmarkSet make_benchmark(const PyContext& context, const PyQpc& qpc, std::optional<int> device,
                              uint32_t set_size, uint32_t num_activations, const py::list& data,
                              const PySetProperties* properties) {
  const ProgramSpec& spec = qpc.qpc->program();
  std::vector<std::vector<Data>> inputs;
  if (!data.empty() && py::isinstance<PyBuffer>(data[0])) {
    inputs.push_back(data_of(spec, data));
  } else {
    for (const py::handle vector : data) {
      inputs.push_back(data_of(spec, vector.cast<const InferenceVector&>().buffers));
    }
  }
  return PyBenchmarkSet(std::make_shared<rt::BenchmarkSet>(
      context.shared(), qpc.qpc, device, set_size, num_activations, std::move(inputs),
      properties ? properties->to_native() : rt::SetProperties()));
}

QStatus said(const PyBenchmarkSet& set, const Status& status) {
  return report(*set->context(), status);
}

ExecObjInfo info_of(const rt::BenchmarkSet::Done& done) {
  const rt::Program& program = *done.exec->program();
  return {done.exec_obj, done.activation, program.id(), program.spec().name,
          rt::to_qstatus(done.status)};
}

// A Python function to be called on any thread; what it raises is printed, and ends nothing.
class Function {
 public:
  Function(const py::function& function, const char* name)
      : owner_(keep(function)), function_(function.ptr()), name_(name) {}

  // `arguments` makes them, with the GIL.
  template <class Arguments>
  void call(Arguments arguments) const {
    const GilAcquired locked;
    try {
      py::reinterpret_borrow<py::function>(function_)(*arguments());
    } catch (py::error_already_set& error) {
      error.discard_as_unraisable(name_);
    }
  }

 private:
  std::shared_ptr<const void> owner_;
  PyObject* function_;
  const char* name_;
};

void set_callback(const PyBenchmarkSet& set, const py::function& callback) {
  auto told = [function = Function(callback, "qaicrt completion callback")](
                  const rt::BenchmarkSet::Done& done) {
    function.call([&] { return py::make_tuple(PyExecObj(done.exec), info_of(done)); });
  };
  unlocked([&] { set->set_callback(std::move(told)); });
}

QStatus set_stats_callback(const PyBenchmarkSet& set, const py::function& callback, uint64_t first,
                           uint64_t count, OpStatsFormat format) {
  if (format != OpStatsFormat::kAscii && format != OpStatsFormat::kJson) {
    return said(set, Status(Code::kInvalidArgument,
                            "format of statistics: expected QAIC_OPSTATS_FORMAT_ASCII or "
                            "QAIC_OPSTATS_FORMAT_JSON"));
  }
  auto told = [function = Function(callback, "qaicrt statistics callback"), format](
                  const std::string& text, uint64_t sample, const rt::BenchmarkSet::Done& done) {
    function.call([&] {
      return py::make_tuple(CharVector{text}, text.size(), format, sample, info_of(done));
    });
  };
  const auto native = format == OpStatsFormat::kJson ? rt::BenchmarkSet::StatsFormat::kJson
                                                     : rt::BenchmarkSet::StatsFormat::kText;
  unlocked([&] { set->set_stats_callback(std::move(told), first, count, native); });
  return QStatus::kSuccess;
}

QStatus set_live_reporting(const PyBenchmarkSet& set, LiveLevel level, uint64_t period_ms) {
  if (level != LiveLevel::kSummary) return QStatus::kError;
  set->set_live_reporting(period_ms);
  return QStatus::kSuccess;
}

// There is one level; what is left to tell is whether it can be set.
QStatus set_live_level(const PyBenchmarkSet& set, LiveLevel level) {
  return set->is_live_reporting() && level == LiveLevel::kSummary ? QStatus::kSuccess
                                                                  : QStatus::kError;
}

void bind_char_vector(py::module_& m) {
  py::class_<CharVector>(m, "vector_char", doc("vector_char"), py::buffer_protocol())
      .def("__len__", [](const CharVector& v) { return v.text.size(); })
      .def("__getitem__",
           [](const CharVector& v, py::ssize_t i) {
             const auto size = static_cast<py::ssize_t>(v.text.size());
             if (i < 0) i += size;
             if (i < 0 || i >= size) throw py::index_error();
             return v.text.substr(static_cast<size_t>(i), 1);
           })
      .def("__str__", [](const CharVector& v) { return v.text; })
      .def("__bytes__", [](const CharVector& v) { return py::bytes(v.text); })
      .def_buffer([](CharVector& v) {
        return py::buffer_info(reinterpret_cast<uint8_t*>(v.text.data()),
                               static_cast<py::ssize_t>(v.text.size()), true);
      });
}

void bind_info(py::module_& m) {
  py::enum_<LiveLevel>(m, "LiveReportingLevelEnum", doc("LiveReportingLevelEnum"), py::arithmetic())
      .value("LIVE_REPORTING_SUMMARY", LiveLevel::kSummary);
  py::enum_<OpStatsFormat>(m, "QAicOpStatsFormatEnum", doc("QAicOpStatsFormatEnum"),
                           py::arithmetic())
      .value("QAIC_OPSTATS_FORMAT_ASCII", OpStatsFormat::kAscii)
      .value("QAIC_OPSTATS_FORMAT_JSON", OpStatsFormat::kJson);
  py::class_<ExecObjInfo>(m, "ExecObjInfo", doc("ExecObjInfo"))
      .def_readonly("execObjIndex", &ExecObjInfo::exec_obj_index, doc("ExecObjInfo.execObjIndex"))
      .def_readonly("activationIndex", &ExecObjInfo::activation_index,
                    doc("ExecObjInfo.activationIndex"))
      .def_readonly("programId", &ExecObjInfo::program_id, doc("ExecObjInfo.programId"))
      .def_readonly("programName", &ExecObjInfo::program_name, doc("ExecObjInfo.programName"))
      .def_readonly("status", &ExecObjInfo::status, doc("ExecObjInfo.status"));
}

void bind_set(py::module_& m) {
  const auto run = [](const PyBenchmarkSet& set, uint64_t inferences, double seconds) {
    return said(set, unlocked_until_signal([&](const rt::KeepWaiting& more) {
                  return set->run(inferences, seconds, more);
                }));
  };
  py::class_<PyBenchmarkSet>(m, "InferenceBenchmarkSet", doc("InferenceBenchmarkSet"))
      .def(py::init(&make_benchmark), py::arg("context"), py::arg("qpc"),
           py::arg("dev").none(true) = py::none(), py::arg("setSize") = 2,
           py::arg("numActivations") = 1, py::arg("inferenceDataVector") = py::list(),
           py::arg("properties").none(true) = py::none())
      .def(
          "enable",
          [](const PyBenchmarkSet& set) {
            return said(set, unlocked([&] { return set->enable(); }));
          },
          doc("InferenceBenchmarkSet.enable"))
      .def(
          "disable",
          [](const PyBenchmarkSet& set) {
            return said(set, unlocked([&] { return set->disable(); }));
          },
          doc("InferenceBenchmarkSet.disable"))
      .def(
          "run", [run](const PyBenchmarkSet& set, uint64_t n) { return run(set, n, 0); },
          py::arg("numInferencesToRun"), doc("InferenceBenchmarkSet.run"))
      .def(
          "runForDuration",
          [run](const PyBenchmarkSet& set, double seconds) { return run(set, 0, seconds); },
          py::arg("duration"), doc("InferenceBenchmarkSet.runForDuration"))
      .def(
          "getInfCompleted", [](const PyBenchmarkSet& set) { return set->completed(); },
          doc("InferenceBenchmarkSet.getInfCompleted"))
      .def(
          "getLastRunStats",
          [](const PyBenchmarkSet& set) {
            const rt::BenchmarkSet::Stats s = set->last_stats();
            return py::make_tuple(s.inferences, s.rate, s.runtime_us, s.batch_size);
          },
          doc("InferenceBenchmarkSet.getLastRunStats"))
      .def("setLiveReporting", &set_live_reporting, py::arg("level") = LiveLevel::kSummary,
           py::arg("reportingPeriodMs") = 1000, doc("InferenceBenchmarkSet.setLiveReporting"))
      .def("setLiveProfilingLevel", &set_live_level, py::arg("level"),
           doc("InferenceBenchmarkSet.setLiveProfilingLevel"))
      .def("enableExecObjCompletionCallback", &set_callback, py::arg("callback"),
           doc("InferenceBenchmarkSet.enableExecObjCompletionCallback"))
      .def(
          "disableExecObjCompletionCallback",
          [](const PyBenchmarkSet& set) { unlocked([&] { set->set_callback({}); }); },
          doc("InferenceBenchmarkSet.disableExecObjCompletionCallback"))
      .def("enableOpStatsCallback", &set_stats_callback, py::arg("callback"),
           py::arg("initialSampleIndex"), py::arg("numSamplesPerProgramInstance"),
           py::arg("format"), doc("InferenceBenchmarkSet.enableOpStatsCallback"))
      .def(
          "disableOpStatsCallback",
          [](const PyBenchmarkSet& set) {
            unlocked([&] { set->set_stats_callback({}, 0, 0, {}); });
            return QStatus::kSuccess;
          },
          doc("InferenceBenchmarkSet.disableOpStatsCallback"))
      .def_static(
          "initDefaultProperties", [](PySetProperties& p) { p = {}; }, py::arg("properties"),
          doc("InferenceBenchmarkSet.initDefaultProperties"));
}

}  // namespace

void bind_benchmark_set(py::module_& m) {
  bind_char_vector(m);
  bind_info(m);
  bind_set(m);
}

}  // namespace qaickit::qaicrt
