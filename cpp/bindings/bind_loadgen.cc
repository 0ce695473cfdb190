#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <map>
#include <memory>
#include <string>

#include "bind_session.h"
#include "core_docs.h"
#include "dicts.h"
#include "errors.h"
#include "gil.h"
#include "module.h"
#include "qaickit/loadgen.h"

namespace qaickit::py_ {
namespace {

template <class Enum>
Enum to_enum(const char* option, const py::handle& value,
             const std::map<std::string, Enum>& names) {
  const auto found = names.find(py::str(value));
  if (found != names.end()) return found->second;
  std::string known;
  for (const auto& [name, unused] : names) known += (known.empty() ? "" : ", ") + name;
  raise_if_error(Status(Code::kInvalidArgument, std::string(option) + ": expected one of " + known +
                                                    ", got '" + std::string(py::str(value)) + "'"));
  return {};
}

// One row for each field: how a Python value of that name is stored.
using Setter = void (*)(LoadgenOptions&, const py::handle&);
const std::map<std::string, Setter>& setters() {
#define FIELD(path) \
  [](LoadgenOptions& o, const py::handle& v) { o.path = v.cast<decltype(o.path)>(); }
  static const auto* table = new std::map<std::string, Setter>{
      {"scenario",
       [](LoadgenOptions& o, const py::handle& v) {
         o.scenario = to_enum<Scenario>("scenario", v,
                                        {{"singlestream", Scenario::kSingleStream},
                                         {"multistream", Scenario::kMultiStream},
                                         {"server", Scenario::kServer},
                                         {"offline", Scenario::kOffline}});
       }},
      {"mode",
       [](LoadgenOptions& o, const py::handle& v) {
         o.mode = to_enum<LoadgenMode>("mode", v,
                                       {{"performance", LoadgenMode::kPerformance},
                                        {"accuracy", LoadgenMode::kAccuracy},
                                        {"submission", LoadgenMode::kSubmission},
                                        {"findpeak", LoadgenMode::kFindPeak}});
       }},
      {"caller_runs",
       [](LoadgenOptions& o, const py::handle& v) {
         o.batch.caller_runs = to_enum<CallerRuns>("caller_runs", v,
                                                   {{"never", CallerRuns::kNever},
                                                    {"if_idle", CallerRuns::kIfIdle},
                                                    {"auto", CallerRuns::kAuto}});
       }},
      {"sut_name", FIELD(sut_name)},
      {"qsl_name", FIELD(qsl_name)},
      {"model_name", FIELD(model_name)},
      {"mlperf_conf", FIELD(mlperf_conf)},
      {"user_conf", FIELD(user_conf)},
      {"audit_config", FIELD(audit_config)},
      {"built_in_conf", FIELD(built_in_conf)},
      {"target_qps", FIELD(target_qps)},
      {"target_latency_ns", FIELD(target_latency_ns)},
      {"min_duration_ms", FIELD(min_duration_ms)},
      {"max_duration_ms", FIELD(max_duration_ms)},
      {"min_query_count", FIELD(min_query_count)},
      {"max_query_count", FIELD(max_query_count)},
      {"performance_sample_count", FIELD(performance_sample_count)},
      {"output_dir", FIELD(output_dir)},
      {"max_batch", FIELD(batch.max_batch)},
      {"max_delay_ns", FIELD(batch.max_delay_ns)},
      {"idle_spin_ns", FIELD(batch.idle_spin_ns)},
      {"exec_timeout_ns", FIELD(batch.exec_timeout_ns)},
      {"close_timeout_ns", FIELD(batch.close_timeout_ns)},
      {"queue_capacity", FIELD(batch.queue_capacity)},
      {"pin_cpus", FIELD(batch.pin_cpus)},
  };
#undef FIELD
  return *table;
}

LoadgenOptions to_options(const py::dict& values) {
  LoadgenOptions options;
  for (const auto& [key, value] : values) {
    const std::string name = py::str(key);
    const auto setter = setters().find(name);
    if (setter == setters().end()) {
      raise_if_error(Status(Code::kInvalidArgument, "unknown LoadGen option '" + name + "'"));
    }
    try {
      setter->second(options, value);
    } catch (const py::cast_error&) {
      raise_if_error(Status(Code::kInvalidArgument, "LoadGen option '" + name + "': cannot use " +
                                                        std::string(py::repr(value))));
    }
  }
  return options;
}

// Keeps what the test borrows: the session and the arrays.
class PyLoadgenTest {
 public:
  PyLoadgenTest(std::shared_ptr<PySession> session, const std::string& workload,
                std::vector<py::array> arrays, const py::dict& options)
      : session_(std::move(session)), arrays_(std::move(arrays)) {
    std::vector<SampleArray> views;
    for (const py::array& array : arrays_) {
      if ((array.flags() & py::array::c_style) == 0) {
        raise_if_error(Status(Code::kInvalidArgument, "sample arrays must be C-contiguous"));
      }
      views.push_back({array.data(), static_cast<size_t>(array.nbytes())});
    }
    const LoadgenOptions parsed = to_options(options);
    auto test = [&] {
      const GilReleased released;
      return LoadgenTest::start(session_->session(), workload, std::move(views), parsed);
    }();
    test_ = value_or_raise(std::move(test));
  }
  ~PyLoadgenTest() {
    const GilReleased released;
    test_.reset();
  }
  LoadgenTest& test() noexcept { return *test_; }

 private:
  std::shared_ptr<PySession> session_;
  std::vector<py::array> arrays_;
  std::unique_ptr<LoadgenTest> test_;
};

}  // namespace

void bind_loadgen(py::module_& m) {
  m.def("loadgen_version", &loadgen_version, doc("loadgen_version"));
  py::class_<PyLoadgenTest>(m, "LoadgenTest", doc("LoadgenTest"))
      .def(py::init<std::shared_ptr<PySession>, const std::string&, std::vector<py::array>,
                    const py::dict&>(),
           py::arg("session"), py::arg("workload"), py::arg("arrays"), py::arg("options"))
      .def(
          "wait_ms", [](PyLoadgenTest& t, uint64_t ms) { return t.test().wait_ms(ms); },
          py::arg("timeout_ms"), py::call_guard<GilReleased>(), doc("LoadgenTest.wait_ms"))
      .def_property_readonly(
          "samples_issued", [](PyLoadgenTest& t) { return t.test().samples_issued(); },
          doc("LoadgenTest.samples_issued"))
      .def_property_readonly(
          "samples_done",
          [](PyLoadgenTest& t) {
            const GilReleased released;
            return t.test().samples_done();
          },
          doc("LoadgenTest.samples_done"))
      .def(
          "abort", [](PyLoadgenTest& t) { t.test().abort(); }, py::call_guard<GilReleased>(),
          doc("LoadgenTest.abort"))
      .def(
          "result", [](PyLoadgenTest& t) { raise_if_error(t.test().result()); },
          doc("LoadgenTest.result"))
      .def(
          "stats",
          [](PyLoadgenTest& t) {
            BatchStats stats;
            {
              const GilReleased released;
              stats = t.test().stats();
            }
            return to_dict(stats);
          },
          doc("LoadgenTest.stats"));
}

}  // namespace qaickit::py_
