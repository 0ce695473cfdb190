#include <pybind11/stl.h>

#include <array>
#include <memory>
#include <mutex>

#include "arrays.h"
#include "bind_session.h"
#include "dicts.h"
#include "errors.h"
#include "module.h"

namespace qaickit::py_ {

PySession::PySession(const std::string& path, const SessionOptions& options) {
  {
    const py::gil_scoped_release released;
    auto qpc = Qpc::open(path);
    if (qpc.ok()) {
      manifest_ = (*qpc)->manifest();
      auto session = Session::open(std::move(qpc).value(), options);
      if (session.ok()) session_ = std::move(session).value();
      status_ = session.status();
    } else {
      status_ = qpc.status();
    }
  }
  raise_if_error(status_);
  inputs_.emplace(session_->program().inputs);
  outputs_.emplace(session_->program().outputs);
}

PySession::~PySession() {
  const py::gil_scoped_release released;
  session_.reset();
}

py::dict PySession::run(const py::handle& inputs) {
  constexpr size_t kOnStack = 16;
  std::array<ConstBuffer, kOnStack> in_stack;
  std::array<MutableBuffer, kOnStack> out_stack;
  std::vector<ConstBuffer> in_heap;
  std::vector<MutableBuffer> out_heap;
  ConstBuffer* in = in_stack.data();
  MutableBuffer* out = out_stack.data();
  if (inputs_->size() > kOnStack) in = (in_heap.resize(inputs_->size()), in_heap.data());
  if (outputs_->size() > kOnStack) out = (out_heap.resize(outputs_->size()), out_heap.data());

  inputs_->borrow(inputs, in);
  py::dict outputs = outputs_->make(out);
  Status status;
  {
    // `inputs` and `outputs` hold the arrays; the caller's frame holds `inputs`.
    const py::gil_scoped_release released;
    status = session_->run({in, inputs_->size()}, {out, outputs_->size()});
  }
  raise_if_error(status);
  return outputs;
}

py::tuple PySession::benchmark(uint64_t inferences, double seconds, const py::object& inputs) {
  std::vector<ConstBuffer> buffers;
  if (!inputs.is_none()) {
    buffers.resize(inputs_->size());
    inputs_->borrow(inputs, buffers.data());
  }
  Result<BenchmarkResult> result = [&] {
    const py::gil_scoped_release released;
    return session_->benchmark(inferences, seconds, buffers);
  }();
  const BenchmarkResult measured = value_or_raise(std::move(result));
  return py::make_tuple(measured.inferences, measured.seconds);
}

void PySession::close() {
  Status status;
  {
    const py::gil_scoped_release released;
    status = session_->close();
  }
  raise_if_error(status);
}

void bind_session(py::module_& m) {
  py::class_<PySession, std::shared_ptr<PySession>>(m, "Session")
      .def(py::init([](const std::string& path, const std::string& backend,
                       std::vector<int> device_ids, uint32_t num_activations, uint32_t set_size,
                       uint32_t threads_per_activation, DeviceSettings device_settings) {
             return std::make_shared<PySession>(
                 path, SessionOptions{backend, std::move(device_ids), num_activations, set_size,
                                      threads_per_activation, std::move(device_settings)});
           }),
           py::arg("path"), py::kw_only(), py::arg("backend") = "",
           py::arg("device_ids") = std::vector<int>{}, py::arg("num_activations") = 1,
           py::arg("set_size") = 10, py::arg("threads_per_activation") = 1,
           py::arg("device_settings") = DeviceSettings{})
      .def_property_readonly("program",
                             [](const PySession& s) { return to_dict(s.session().program()); })
      .def_property_readonly("manifest",
                             [](const PySession& s) { return to_dict(s.manifest()); })
      .def_property_readonly(
          "backend", [](const PySession& s) { return std::string(s.session().backend().name); })
      .def_property_readonly("devices",
                             [](const PySession& s) {
                               py::list devices;
                               for (const auto& d : s.session().devices()) devices.append(to_dict(d));
                               return devices;
                             })
      .def_property_readonly("precision", [](const PySession& s) { return s.session().precision(); })
      .def("run", &PySession::run, py::arg("inputs"))
      .def("benchmark", &PySession::benchmark, py::arg("inferences"), py::arg("seconds"),
           py::arg("inputs") = py::none())
      .def("close", &PySession::close);
}

}  // namespace qaickit::py_
