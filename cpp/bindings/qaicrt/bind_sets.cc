#include <pybind11/stl.h>

#include <utility>

#include "qaicrt_docs.h"
#include "wrap.h"

namespace qaickit::qaicrt {
namespace {

using Data = rt::ExecObject::Data;
using rt::QStatus;

struct PyInferenceSet : Held<rt::InferenceSet> {
  using Held::Held;
};
// Keeps its set; belongs to whoever holds it until it is submitted or put back.
struct PyHandle : Held<rt::InferenceSet> {
  PyHandle(std::shared_ptr<rt::InferenceSet> set, rt::InferenceSet::Handle* handle)
      : Held(std::move(set)), handle(handle) {}
  rt::InferenceSet::Handle* handle;
};

InferenceVector make_vector(const std::vector<rt::BufferMapping>& mappings) {
  InferenceVector vector;
  for (const rt::BufferMapping& mapping : mappings) {
    vector.buffers.append(PyBuffer{rt::Buffer::allocate(mapping.size)});
  }
  return vector;
}

py::tuple available(const PyInferenceSet& set, uint64_t timeout_us) {
  const auto found = unlocked_until_signal(
      [&](const rt::KeepWaiting& more) { return set->available(timeout_us, more); });
  if (found.ok()) return py::make_tuple(QStatus::kSuccess, PyHandle(set.shared(), *found));
  // That the time is up is an answer, no error to be told on stderr.
  const bool is_late = found.status().code() == Code::kTimedOut;
  return py::make_tuple(is_late ? QStatus::kTimedOut : report(*set->context(), found.status()),
                        py::none());
}

// (status of the run, its handle) of what `wait(keep_waiting)` found.
template <class Wait>
py::tuple completed(const PyInferenceSet& set, Wait wait) {
  const auto found = unlocked_until_signal(wait);
  if (!found.ok()) return py::make_tuple(report(*set->context(), found.status()), py::none());
  if (!*found) return py::make_tuple(QStatus::kAgain, py::none());
  return py::make_tuple(rt::to_qstatus((*found)->status), PyHandle(set.shared(), *found));
}

PyInferenceSet make_set(const PyContext& context, const PyQpc& qpc, std::optional<int> device,
                        uint32_t set_size, uint32_t num_activations,
                        const PySetProperties* properties, bool profile) {
  const rt::SetProperties native = properties ? properties->to_native() : rt::SetProperties();
  auto made = unlocked([&]() -> Result<std::shared_ptr<rt::InferenceSet>> {
    QAICKIT_ASSIGN_OR_RETURN(auto set, rt::InferenceSet::create(context.shared(), qpc.qpc, device,
                                                                set_size, num_activations, native));
    if (profile) QAICKIT_RETURN_IF_ERROR(set->profile());
    return set;
  });
  return PyInferenceSet(active_or_throw(std::move(made)));
}

// The caller's outputs get copies: the same vector may be submitted again before the run has ended.
std::vector<rt::Buffer> take_outputs(const ProgramSpec& spec, std::vector<Data>* data) {
  std::vector<rt::Buffer> outputs;
  for (size_t t = spec.inputs.size(); t < data->size(); ++t) {
    outputs.push_back(std::exchange((*data)[t].buffer, {}));
  }
  return outputs;
}

QStatus not_of(const PyInferenceSet& set) {
  return report(*set->context(), Status(Code::kInvalidArgument, "the handle is another set's"));
}

QStatus submit_vector(const PyInferenceSet& set, const InferenceVector& vector, uint64_t id) {
  std::vector<Data> data = data_of(set->spec(), vector.buffers);
  const Status status = unlocked_until_signal([&](const rt::KeepWaiting& more) -> Status {
    QAICKIT_ASSIGN_OR_RETURN(auto* const handle, set->available(0, more));
    std::vector<rt::Buffer> copies = take_outputs(set->spec(), &data);
    Status done = set->set_data(handle, std::move(data), std::move(copies));
    if (done.ok()) done = set->submit(handle, id);
    if (!done.ok()) (void)set->put_back(handle);
    return done;
  });
  return report(*set->context(), status);
}

QStatus submit_handle(const PyInferenceSet& set, const PyHandle& handle, uint64_t id) {
  if (handle.shared() != set.shared()) return not_of(set);
  return unlocked([&] { return report(*set->context(), set->submit(handle.handle, id)); });
}

py::list buffers_of(const PyHandle& handle) {
  py::list list;
  for (const rt::Buffer& buffer : handle->buffers(*handle.handle)) list.append(PyBuffer{buffer});
  return list;
}

}  // namespace

std::vector<Data> data_of(const ProgramSpec& spec, const py::list& buffers) {
  if (buffers.size() != spec.num_tensors() && buffers.size() != spec.inputs.size()) {
    throw py::value_error("expected " + std::to_string(spec.num_tensors()) + " buffers, got " +
                          std::to_string(buffers.size()));
  }
  std::vector<Data> data(spec.num_tensors());
  for (size_t i = 0; i < buffers.size(); ++i) {
    data[i].buffer = buffer_at(buffers, i);
  }
  return data;
}

namespace {

void bind_vector(py::module_& m) {
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
}

void bind_properties(py::module_& m) {
  py::class_<PySetProperties>(m, "InferenceSetProperties", doc("InferenceSetProperties"))
      .def(py::init<>())
      .def_readwrite("programProperties", &PySetProperties::program,
                     doc("InferenceSetProperties.programProperties"))
      .def_readwrite("queueProperties", &PySetProperties::queue,
                     doc("InferenceSetProperties.queueProperties"))
      .def_readwrite("name", &PySetProperties::name, doc("InferenceSetProperties.name"))
      .def_readwrite("id", &PySetProperties::id, doc("InferenceSetProperties.id"));
  m.attr("BenchmarkProperties") = m.attr("InferenceSetProperties");
}

void bind_handle(py::module_& m) {
  py::class_<PyHandle>(m, "InferenceHandle", doc("InferenceHandle"))
      .def(
          "setBuffers",
          [](const PyHandle& h, const py::list& buffers) {
            return report(*h->context(), h->set_data(h.handle, data_of(h->spec(), buffers), {}));
          },
          py::arg("buffers"), doc("InferenceHandle.setBuffers"))
      .def("getBuffers", &buffers_of, doc("InferenceHandle.getBuffers"))
      .def(
          "execObj", [](const PyHandle& h) { return PyExecObj(h.handle->exec); },
          doc("InferenceHandle.execObj"));
}

void bind_set(py::module_& m) {
  py::class_<PyInferenceSet>(m, "InferenceSet", doc("InferenceSet"))
      .def(py::init(&make_set), py::arg("context"), py::arg("qpc"),
           py::arg("devID").none(true) = py::none(), py::arg("setSize") = 2,
           py::arg("numActivations") = 1, py::arg("properties").none(true) = py::none(),
           py::arg("enableProfiling") = false)
      .def("submit", &submit_vector, py::arg("vector"), py::arg("id") = 0,
           doc("InferenceSet.submit:1"))
      .def("submit", &submit_handle, py::arg("handle"), py::arg("id") = 0,
           doc("InferenceSet.submit:2"))
      .def("getAvailable", &available, py::arg("timeoutUs") = 0, doc("InferenceSet.getAvailable"))
      .def(
          "getCompleted",
          [](const PyInferenceSet& set) {
            return completed(set,
                             [&](const rt::KeepWaiting& more) { return set->completed(more); });
          },
          doc("InferenceSet.getCompleted"))
      .def(
          "getCompletedId",
          [](const PyInferenceSet& set, uint64_t id) {
            return completed(
                set, [&](const rt::KeepWaiting& more) { return set->completed_id(id, more); });
          },
          py::arg("id"), doc("InferenceSet.getCompletedId"))
      .def(
          "putCompleted",
          [](const PyInferenceSet& set, const PyHandle& handle) {
            if (handle.shared() != set.shared()) return not_of(set);
            return report(*set->context(), unlocked([&] { return set->put_back(handle.handle); }));
          },
          py::arg("handle"), doc("InferenceSet.putCompleted"))
      .def(
          "waitForCompletion",
          [](const PyInferenceSet& set) {
            return report(*set->context(), unlocked_until_signal([&](const rt::KeepWaiting& more) {
              return set->wait_all(more);
            }));
          },
          doc("InferenceSet.waitForCompletion"));
}

}  // namespace

void bind_sets(py::module_& m) {
  bind_vector(m);
  bind_properties(m);
  bind_handle(m);
  bind_set(m);
}

}  // namespace qaickit::qaicrt
