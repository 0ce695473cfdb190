#include <pybind11/functional.h>
#include <pybind11/stl.h>

#include "qaicrt_docs.h"
#include "wrap.h"

namespace qaickit::qaicrt {
namespace {

using Data = rt::ExecObject::Data;
using rt::QStatus;

// Buffers of one inference, by binding: inputs to give, outputs to hold results or zeros.
struct InferenceVector {
  py::list buffers;
};

struct SetProperties {
  rt::ProgramProperties program;
  QueueProperties queue;
  std::string name;
  uint32_t id = 0;
};

struct PyInferenceSet : Held<rt::InferenceSet> {
  using Held::Held;
};
// Keeps its set; belongs to whoever holds it until it is submitted or put back.
struct PyHandle {
  std::shared_ptr<rt::InferenceSet> set;
  rt::InferenceSet::Handle* handle;

  ~PyHandle() {
    if (!set) return;
    const py::gil_scoped_release released;
    set.reset();
  }
};
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

InferenceVector make_vector(const std::vector<rt::BufferMapping>& mappings) {
  InferenceVector vector;
  for (const rt::BufferMapping& mapping : mappings) {
    vector.buffers.append(PyBuffer{rt::Buffer::allocate(mapping.size)});
  }
  return vector;
}

// The inputs among the buffers of all bindings, or a list of as many as there are inputs.
std::vector<Data> inputs_of(const ProgramSpec& spec, const py::list& buffers) {
  if (buffers.size() != spec.num_tensors() && buffers.size() != spec.inputs.size()) {
    throw py::value_error("expected " + std::to_string(spec.num_tensors()) + " buffers, got " +
                          std::to_string(buffers.size()));
  }
  std::vector<Data> data(spec.num_tensors());
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    data[i].buffer = buffers[i].cast<const PyBuffer&>().buffer;
  }
  return data;
}

std::shared_ptr<PyHandle> wrap(const PyInferenceSet& set, rt::InferenceSet::Handle* handle) {
  return std::shared_ptr<PyHandle>(new PyHandle{set.shared(), handle});
}

py::tuple with_status(const PyInferenceSet& set, rt::InferenceSet::Handle* handle) {
  if (!handle) return py::make_tuple(QStatus::kAgain, py::none());
  return py::make_tuple(rt::to_qstatus(handle->status), wrap(set, handle));
}

PyInferenceSet make_set(const PyContext& context, const PyQpc& qpc, std::optional<int> device,
                        uint32_t set_size, uint32_t num_activations,
                        const SetProperties* properties, bool) {
  auto made = unlocked([&] {
    return rt::InferenceSet::create(context.context, qpc.qpc, device, set_size, num_activations,
                                    properties ? properties->program : rt::ProgramProperties());
  });
  return PyInferenceSet(value_or_throw(std::move(made)));
}

QStatus submit_vector(const PyInferenceSet& set, const InferenceVector& vector, uint64_t id) {
  std::vector<Data> data = inputs_of(set->spec(), vector.buffers);
  return unlocked([&] {
    rt::InferenceSet::Handle* const handle = set->available(0);
    handle->data = std::move(data);
    const Status status = set->submit(handle, id);
    if (!status.ok()) (void)set->put_back(handle);
    return rt::to_qstatus(status);
  });
}

QStatus submit_handle(const PyInferenceSet& set, const PyHandle& handle, uint64_t id) {
  if (handle.set != set.shared()) return QStatus::kInval;
  return unlocked([&] { return rt::to_qstatus(set->submit(handle.handle, id)); });
}

py::list buffers_of(const PyHandle& handle) {
  py::list list;
  const auto made = handle.handle->exec->data();
  const size_t inputs = handle.set->spec().inputs.size();
  for (size_t t = 0; t < handle.handle->data.size(); ++t) {
    if (made.ok()) {
      list.append(PyBuffer{made.value()[t]});
    } else {
      list.append(PyBuffer{t < inputs ? handle.handle->data[t].buffer
                                      : handle.handle->outputs[t - inputs]});
    }
  }
  return list;
}

void bind_inference_set(py::module_& m) {
  py::class_<InferenceVector>(m, "InferenceVector", doc("InferenceVector"))
      .def(py::init(&make_vector), py::arg("bufferMappings"))
      .def(py::init([](const PyQpc& qpc) {
             return make_vector(value_or_throw(rt::buffer_mappings(*qpc.qpc)));
           }),
           py::arg("qpc"))
      .def(
          "getVector", [](const InferenceVector& v) { return v.buffers; },
          doc("InferenceVector.getVector"))
      .def(
          "setBuffers", [](InferenceVector& v, const py::list& b) { v.buffers = b; },
          py::arg("buffers"), doc("InferenceVector.setBuffers"));
  py::class_<SetProperties>(m, "InferenceSetProperties", doc("InferenceSetProperties"))
      .def(py::init<>())
      .def_readwrite("programProperties", &SetProperties::program,
                     doc("InferenceSetProperties.programProperties"))
      .def_readwrite("queueProperties", &SetProperties::queue,
                     doc("InferenceSetProperties.queueProperties"))
      .def_readwrite("name", &SetProperties::name, doc("InferenceSetProperties.name"))
      .def_readwrite("id", &SetProperties::id, doc("InferenceSetProperties.id"));
  m.attr("BenchmarkProperties") = m.attr("InferenceSetProperties");
  py::class_<PyHandle, std::shared_ptr<PyHandle>>(m, "InferenceHandle", doc("InferenceHandle"))
      .def(
          "setBuffers",
          [](const PyHandle& h, const py::list& buffers) {
            h.handle->data = inputs_of(h.set->spec(), buffers);
            return QStatus::kSuccess;
          },
          py::arg("buffers"), doc("InferenceHandle.setBuffers"))
      .def("getBuffers", &buffers_of, doc("InferenceHandle.getBuffers"))
      .def(
          "execObj", [](const PyHandle& h) { return PyExecObj(h.handle->exec); },
          doc("InferenceHandle.execObj"));
  py::class_<PyInferenceSet>(m, "InferenceSet", doc("InferenceSet"))
      .def(py::init(&make_set), py::arg("context"), py::arg("qpc"),
           py::arg("devID").none(true) = py::none(), py::arg("setSize") = 2,
           py::arg("numActivations") = 1, py::arg("properties").none(true) = py::none(),
           py::arg("enableProfiling") = false)
      .def("submit", &submit_vector, py::arg("vector"), py::arg("id") = 0,
           doc("InferenceSet.submit:1"))
      .def("submit", &submit_handle, py::arg("handle"), py::arg("id") = 0,
           doc("InferenceSet.submit:2"))
      .def(
          "getAvailable",
          [](const PyInferenceSet& set, uint64_t timeout_us) -> py::tuple {
            auto* handle = unlocked([&] { return set->available(timeout_us); });
            if (!handle) return py::make_tuple(QStatus::kTimedOut, py::none());
            return py::make_tuple(QStatus::kSuccess, wrap(set, handle));
          },
          py::arg("timeoutUs") = 0, doc("InferenceSet.getAvailable"))
      .def(
          "getCompleted",
          [](const PyInferenceSet& set) {
            return with_status(set, unlocked([&] { return set->completed(); }));
          },
          doc("InferenceSet.getCompleted"))
      .def(
          "getCompletedId",
          [](const PyInferenceSet& set, uint64_t id) {
            return with_status(set, unlocked([&] { return set->completed_id(id); }));
          },
          py::arg("id"), doc("InferenceSet.getCompletedId"))
      .def(
          "putCompleted",
          [](const PyInferenceSet& set, const PyHandle& handle) {
            if (handle.set != set.shared()) return QStatus::kInval;
            return rt::to_qstatus(unlocked([&] { return set->put_back(handle.handle); }));
          },
          py::arg("handle"), doc("InferenceSet.putCompleted"))
      .def(
          "waitForCompletion",
          [](const PyInferenceSet& set) {
            unlocked([&] { set->wait_all(); });
            return QStatus::kSuccess;
          },
          doc("InferenceSet.waitForCompletion"));
}

PyBenchmarkSet make_benchmark(const PyContext& context, const PyQpc& qpc, std::optional<int> device,
                              uint32_t set_size, uint32_t num_activations, const py::list& vectors,
                              const SetProperties* properties) {
  std::vector<std::vector<Data>> inputs;
  for (const py::handle vector : vectors) {
    const auto& buffers = vector.cast<const InferenceVector&>().buffers;
    inputs.push_back(inputs_of(qpc.qpc->program(), buffers));
  }
  return PyBenchmarkSet(std::make_shared<rt::BenchmarkSet>(
      context.context, qpc.qpc, device, set_size, num_activations, std::move(inputs),
      properties ? properties->program : rt::ProgramProperties()));
}

// The callback is called with the GIL; what it raises is printed, and ends nothing.
void set_callback(const PyBenchmarkSet& set, const py::function& callback) {
  const std::shared_ptr<const void> owner = keep(callback);
  PyObject* const raw = callback.ptr();
  auto told = [owner, raw](const rt::BenchmarkSet::Done& done) {
    const py::gil_scoped_acquire locked;
    try {
      const ExecObjInfo info{done.exec_obj, done.activation, 0, done.exec->program()->spec().name,
                             rt::to_qstatus(done.status)};
      py::reinterpret_borrow<py::function>(raw)(PyExecObj(done.exec), info);
    } catch (py::error_already_set& error) {
      error.discard_as_unraisable("qaicrt completion callback");
    }
  };
  unlocked([&] { set->set_callback(std::move(told)); });
}

void bind_benchmark_set(py::module_& m) {
  enum class LiveLevel { kSummary = 1 };
  enum class OpStatsFormat { kAscii = 0, kJson = 1 };
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
  const auto run = [](const PyBenchmarkSet& set, uint64_t inferences, double seconds) {
    return rt::to_qstatus(unlocked([&] { return set->run(inferences, seconds); }));
  };
  py::class_<PyBenchmarkSet>(m, "InferenceBenchmarkSet", doc("InferenceBenchmarkSet"))
      .def(py::init(&make_benchmark), py::arg("context"), py::arg("qpc"),
           py::arg("dev").none(true) = py::none(), py::arg("setSize") = 2,
           py::arg("numActivations") = 1, py::arg("inferenceDataVector") = py::list(),
           py::arg("properties").none(true) = py::none())
      .def(
          "enable",
          [](const PyBenchmarkSet& set) {
            return rt::to_qstatus(unlocked([&] { return set->enable(); }));
          },
          doc("InferenceBenchmarkSet.enable"))
      .def(
          "disable",
          [](const PyBenchmarkSet& set) {
            return rt::to_qstatus(unlocked([&] { return set->disable(); }));
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
      .def(
          "setLiveReporting",
          [](const PyBenchmarkSet& set, LiveLevel, uint64_t period_ms) {
            set->set_live_reporting(period_ms);
            return QStatus::kSuccess;
          },
          py::arg("level") = LiveLevel::kSummary, py::arg("reportingPeriodMs") = 1000,
          doc("InferenceBenchmarkSet.setLiveReporting"))
      .def(
          "setLiveProfilingLevel",
          [](const PyBenchmarkSet&, const py::object&) { return QStatus::kUnsupported; },
          py::arg("level"), doc("InferenceBenchmarkSet.setLiveProfilingLevel"))
      .def("enableExecObjCompletionCallback", &set_callback, py::arg("callback"),
           doc("InferenceBenchmarkSet.enableExecObjCompletionCallback"))
      .def(
          "disableExecObjCompletionCallback",
          [](const PyBenchmarkSet& set) { unlocked([&] { set->set_callback({}); }); },
          doc("InferenceBenchmarkSet.disableExecObjCompletionCallback"))
      // Statistics of operators come from a card's own firmware.
      .def(
          "enableOpStatsCallback",
          [](const PyBenchmarkSet&, const py::args&) { return QStatus::kUnsupported; },
          doc("InferenceBenchmarkSet.enableOpStatsCallback"))
      .def(
          "disableOpStatsCallback", [](const PyBenchmarkSet&) { return QStatus::kSuccess; },
          doc("InferenceBenchmarkSet.disableOpStatsCallback"))
      .def_static(
          "initDefaultProperties", [](SetProperties& p) { p = {}; }, py::arg("properties"),
          doc("InferenceBenchmarkSet.initDefaultProperties"));
}

}  // namespace

void bind_sets(py::module_& m) {
  bind_inference_set(m);
  bind_benchmark_set(m);
}

}  // namespace qaickit::qaicrt
