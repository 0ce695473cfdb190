#include "bind_session.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <memory>
#include <mutex>

#include "arrays.h"
#include "bind_qpc.h"
#include "core_docs.h"
#include "dicts.h"
#include "errors.h"
#include "gil.h"
#include "module.h"

namespace qaickit::py_ {
namespace {

// `size` default-constructed Ts: on the stack for as many inputs or outputs as programs have.
template <class T>
class FewOrMany {
 public:
  explicit FewOrMany(size_t size) : many_(size > few_.size() ? size : 0) {}
  T* data() noexcept { return many_.empty() ? few_.data() : many_.data(); }

 private:
  std::array<T, 8> few_{};
  std::vector<T> many_;
};

std::vector<std::span<const int64_t>> dims_of(std::span<const py::object> arrays) {
  std::vector<std::span<const int64_t>> dims;
  for (const py::object& array : arrays) {
    const auto* proxy = py::detail::array_proxy(array.ptr());
    dims.emplace_back(proxy->dimensions, static_cast<size_t>(proxy->nd));
  }
  return dims;
}

}  // namespace

PySession::PySession(std::shared_ptr<const Qpc> qpc, const SessionOptions& options)
    : manifest_(qpc->manifest()) {
  auto session = [&] {
    const GilReleased released;
    return Session::open(std::move(qpc), options);
  }();
  session_ = value_or_raise(std::move(session));
  const ProgramSpec& program = session_->program();
  any_shape_ =
      !program.allowed_shapes.empty() || std::ranges::any_of(program.inputs, &TensorSpec::partial);
  inputs_.emplace(program.inputs, any_shape_);
  outputs_.emplace(program.outputs);
}

PySession::~PySession() {
  const GilReleased released;
  session_.reset();
}

py::dict PySession::run(const py::handle& inputs, const RunOptions& options) {
  if (any_shape_) return run_any_shape(inputs, options);
  FewOrMany<ConstBuffer> in(inputs_->size());
  FewOrMany<py::object> owners(inputs_->size());
  FewOrMany<MutableBuffer> out(outputs_->size());
  inputs_->borrow(inputs, in.data(), owners.data());
  py::dict outputs = outputs_->make(out.data());
  Status status;
  {
    const GilReleased released;
    status = session_->run({in.data(), inputs_->size()}, {out.data(), outputs_->size()}, RunShape{},
                           options);
  }
  raise_if_error(status);
  return outputs;
}

py::dict PySession::run_any_shape(const py::handle& inputs, const RunOptions& options) {
  const ProgramSpec& program = session_->program();
  std::vector<ConstBuffer> in(inputs_->size());
  std::vector<py::object> owners(inputs_->size());
  inputs_->borrow(inputs, in.data(), owners.data());
  const RunShape shape = value_or_raise(match_shapes(program, dims_of(owners)));
  std::vector<std::vector<int64_t>> dims;
  for (size_t o = 0; o < program.outputs.size(); ++o) {
    dims.push_back(run_dims(program, shape, program.inputs.size() + o));
  }
  std::vector<MutableBuffer> out(program.outputs.size());
  py::dict outputs = outputs_->make(dims, out.data());
  Status status;
  {
    const GilReleased released;
    status = session_->run(in, out, shape, options);
  }
  raise_if_error(status);
  return outputs;
}

py::tuple PySession::benchmark(uint64_t inferences, double seconds, const py::object& inputs,
                               const py::object& tick) {
  std::vector<ConstBuffer> buffers;
  std::vector<py::object> owners;
  size_t set = RunShape::kBySize;
  if (!inputs.is_none()) {
    buffers.resize(inputs_->size());
    owners.resize(inputs_->size());
    inputs_->borrow(inputs, buffers.data(), owners.data());
    if (any_shape_) set = value_or_raise(match_shapes(session_->program(), dims_of(owners))).set;
  }
  std::optional<py::error_already_set> raised;
  const auto progress = [&](uint64_t done) {
    const GilAcquired acquired;
    try {
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
      const int truth = tick.is_none() ? 1 : PyObject_IsTrue(tick(done).ptr());
      if (truth < 0) throw py::error_already_set();
      return truth != 0;
    } catch (py::error_already_set& error) {
      raised = std::move(error);  // the core knows no exceptions
      return false;
    }
  };
  Result<BenchmarkResult> result = [&] {
    const GilReleased released;
    return session_->benchmark(inferences, seconds, buffers, set, progress);
  }();
  if (raised) throw std::move(*raised);
  const BenchmarkResult measured = value_or_raise(std::move(result));
  return py::make_tuple(measured.inferences, measured.seconds);
}

void PySession::close() {
  Status status;
  {
    const GilReleased released;
    status = session_->close();
  }
  raise_if_error(status);
}

void bind_session(py::module_& m) {
  py::class_<PySession, std::shared_ptr<PySession>>(m, "Session", doc("Session"))
      .def(py::init([](const PyQpc& qpc, const std::string& backend, std::vector<int> device_ids,
                       uint32_t num_activations, uint32_t set_size, uint32_t threads_per_activation,
                       DeviceSettings device_settings, bool metrics, uint32_t profile_runs) {
             return std::make_shared<PySession>(
                 qpc.qpc, SessionOptions{backend, std::move(device_ids), num_activations, set_size,
                                         threads_per_activation, std::move(device_settings),
                                         metrics, profile_runs});
           }),
           py::arg("qpc"), py::kw_only(), py::arg("backend") = "",
           py::arg("device_ids") = std::vector<int>{}, py::arg("num_activations") = 1,
           py::arg("set_size") = 10, py::arg("threads_per_activation") = 1,
           py::arg("device_settings") = DeviceSettings{}, py::arg("metrics") = false,
           py::arg("profile_runs") = 0)
      .def_property_readonly(
          "program", [](const PySession& s) { return to_dict(s.session().program()); },
          doc("Session.program"))
      .def_property_readonly(
          "manifest", [](const PySession& s) { return to_dict(s.manifest()); },
          doc("Session.manifest"))
      .def_property_readonly(
          "backend", [](const PySession& s) { return std::string(s.session().backend().name); },
          doc("Session.backend"))
      .def_property_readonly(
          "devices",
          [](const PySession& s) {
            py::list devices;
            for (const auto& d : s.session().devices()) devices.append(to_dict(d));
            return devices;
          },
          doc("Session.devices"))
      .def_property_readonly(
          "precision", [](const PySession& s) { return s.session().precision(); },
          doc("Session.precision"))
      .def(
          "run", [](PySession& s, const py::handle& inputs) { return s.run(inputs); },
          py::arg("input_dict"), doc("Session.run"))
      .def(
          "run_on",
          [](PySession& s, uint32_t activation, const py::handle& inputs) {
            RunProfile profile;
            py::dict outputs = s.run(inputs, {activation, &profile});
            return py::make_tuple(std::move(outputs), to_dict(profile));
          },
          py::arg("activation"), py::arg("input_dict"), doc("Session.run_on"))
      .def("benchmark", &PySession::benchmark, py::arg("inferences"), py::arg("seconds"),
           py::arg("inputs") = py::none(), py::arg("tick") = py::none(), doc("Session.benchmark"))
      .def(
          "metrics",
          [](const PySession& s) { return to_dict(value_or_raise(s.session().metrics())); },
          doc("Session.metrics"))
      .def(
          "profile",
          [](const PySession& s) {
            py::list runs;
            for (const RunProfile& run : value_or_raise(s.session().profile())) {
              runs.append(to_dict(run));
            }
            return runs;
          },
          doc("Session.profile"))
      .def("close", &PySession::close, doc("Session.close"));
}

}  // namespace qaickit::py_
