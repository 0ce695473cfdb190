#include <pybind11/stl.h>

#include <cstdlib>
#include <filesystem>

#include "wrap.h"

namespace qaickit::qaicrt {
namespace {

using Data = rt::ExecObject::Data;

std::string chosen_backend() {
  const char* const name = std::getenv("QAICKIT_BACKEND");
  return name ? name : "";
}

PyContext make_context(const QidList& ids) {
  return {value_or_throw(unlocked([&] { return rt::Context::create(ids.ids, chosen_backend()); }))};
}

// The vendor's Qpc takes the directory.
PyQpc open_qpc(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const std::string file =
      fs::is_directory(path, ignored) ? (fs::path(path) / "programqpc.bin").string() : path;
  return {value_or_throw(unlocked([&] { return Qpc::open(file); }))};
}

PyProgram make_program(const PyContext& context, std::optional<int> device, const PyQpc& qpc,
                       const rt::ProgramProperties& properties) {
  return PyProgram(
      value_or_throw(rt::Program::create(context.context, device, qpc.qpc, properties)));
}

rt::QStatus activate(const PyProgram& program) {
  const Status status = unlocked([&] { return program->activate(); });
  // Public programs look for this text when a device is full.
  if (status.code() == Code::kResourceExhausted) {
    throw std::runtime_error("QAIC_ERROR_NSP_ALLOC_FAILED: " + status.to_string());
  }
  return report(*program->context(), status);
}

rt::QStatus set_buffers(const PyExecObj& exec, const py::list& buffers, const DimensionsVec* dims) {
  const rt::Context& context = *exec->program()->context();
  if (dims && dims->rows.size() != buffers.size()) {
    return report(context, Status(Code::kInvalidArgument, "as many dims as buffers are needed"));
  }
  std::vector<Data> data;
  for (size_t i = 0; i < buffers.size(); ++i) {
    Data& one = data.emplace_back();
    one.buffer = buffers[i].cast<const PyBuffer&>().buffer;
    if (dims) one.dims = dims->rows[i].second;
  }
  return report(context, exec->set_data(std::move(data)));
}

rt::QStatus set_arrays(const PyExecObj& exec, const py::list& pairs) {
  const rt::Context& context = *exec->program()->context();
  const size_t inputs = exec->program()->spec().inputs.size();
  std::vector<std::pair<uint32_t, Data>> data;
  for (const py::handle item : pairs) {
    const auto pair = item.cast<py::tuple>();
    if (pair.size() != 2) throw py::type_error("expected (binding index, array)");
    const auto index = pair[0].cast<uint32_t>();
    if (!py::isinstance<py::array>(pair[1])) throw py::type_error("expected a numpy array");
    const auto array = py::reinterpret_borrow<py::array>(pair[1]);
    const bool contiguous = (array.flags() & py::array::c_style) != 0;
    if (!contiguous || (index >= inputs && !array.writeable())) {
      return report(context, Status(Code::kInvalidArgument,
                                    "the array of binding " + std::to_string(index) +
                                        " must be C-contiguous, and writeable for an output"));
    }
    Data one;
    one.buffer = {keep(array), const_cast<std::byte*>(static_cast<const std::byte*>(array.data())),
                  static_cast<size_t>(array.nbytes())};
    one.dims = rt::ExecObject::Dims(array.shape(), array.shape() + array.ndim());
    data.emplace_back(index, std::move(one));
  }
  return report(context, exec->set_data(std::move(data)));
}

rt::QStatus set_data(const PyExecObj& exec, const py::list& data, const DimensionsVec* dims) {
  const bool arrays = !data.empty() && py::isinstance<py::tuple>(data[0]);
  return arrays ? set_arrays(exec, data) : set_buffers(exec, data, dims);
}

py::tuple get_data(const PyExecObj& exec) {
  const auto data = exec->data();
  py::list buffers;
  if (data.ok()) {
    for (const rt::Buffer& buffer : *data) buffers.append(PyBuffer{buffer});
  }
  return py::make_tuple(report(*exec->program()->context(), data.status()), buffers);
}

py::tuple io_descriptor(const PyQpc& qpc) {
  const auto bytes = rt::io_descriptor(*qpc.qpc);
  if (!bytes.ok()) return py::make_tuple(rt::to_qstatus(bytes.status()), py::bytes());
  return py::make_tuple(rt::QStatus::kSuccess,
                        py::bytes(reinterpret_cast<const char*>(bytes->data()), bytes->size()));
}

// How a slice of a host array is laid out is described by the vendor's samples only in part.
py::tuple unsupported() { return py::make_tuple(rt::QStatus::kUnsupported, py::none()); }

}  // namespace

void bind_objects(py::module_& m) {
  py::class_<PyContext>(m, "Context")
      .def(py::init([] { return make_context({}); }))
      .def(py::init(&make_context), py::arg("qids"))
      .def(
          "setLogLevel",
          [](const PyContext& c, rt::LogLevel level) {
            c.context->set_log_level(level);
            return rt::QStatus::kSuccess;
          },
          py::arg("level"));
  py::class_<PyQpc>(m, "Qpc")
      .def(py::init(&open_qpc), py::arg("path"))
      .def("getIoDescriptor", &io_descriptor)
      .def("getBufferMappings",
           [](const PyQpc& qpc) { return value_or_throw(rt::buffer_mappings(*qpc.qpc)); });
  py::class_<PyProgram>(m, "Program")
      .def(py::init(&make_program), py::arg("context"), py::arg("devID").none(true), py::arg("qpc"),
           py::arg("properties") = rt::ProgramProperties())
      .def("load",
           [](const PyProgram& p) {
             return report(*p->context(), unlocked([&] { return p->load(); }));
           })
      .def("unload",
           [](const PyProgram& p) {
             return report(*p->context(), unlocked([&] { return p->unload(); }));
           })
      .def("activate", &activate)
      .def("deactivate",
           [](const PyProgram& p) {
             return report(*p->context(), unlocked([&] { return p->deactivate(); }));
           })
      .def(
          "createSlicingSpecHandle",
          [](const PyProgram&, const std::string&) { return unsupported(); }, py::arg("spec"))
      .def_static("initProperties", [](rt::ProgramProperties& p) { p = {}; });
  py::class_<PyExecObj>(m, "ExecObj")
      .def(py::init([](const PyContext&, const PyProgram& program) {
             auto exec = unlocked([&] { return rt::ExecObject::create(program.shared()); });
             return PyExecObj(value_or_throw(std::move(exec)));
           }),
           py::arg("context"), py::arg("program"))
      .def("setData", &set_data, py::arg("data"), py::arg("dims") = nullptr)
      .def(
          "setDataWithSlices",
          [](const PyExecObj&, const py::list&, const py::object&, const py::list&) {
            return unsupported();
          },
          py::arg("data"), py::arg("spec"), py::arg("offsets"))
      .def("getData", &get_data)
      .def(
          "run",
          [](const PyExecObj& exec, const py::list& data) {
            const rt::QStatus set = set_data(exec, data, nullptr);
            if (set != rt::QStatus::kSuccess) return set;
            return rt::to_qstatus(unlocked([&] { return exec->run(); }));
          },
          py::arg("data"))
      .def("waitForCompletion", [](const PyExecObj& exec) {
        return rt::to_qstatus(unlocked([&] { return exec->wait(); }));
      });
  py::class_<PyQueue>(m, "Queue")
      .def(py::init([](const PyContext&, int, const QueueProperties* properties) {
             return PyQueue(std::make_shared<rt::Queue>(properties ? properties->num_threads
                                                                   : rt::Queue::kDefaultThreads));
           }),
           py::arg("context"), py::arg("qid"), py::arg("properties") = nullptr)
      .def(
          "enqueue",
          [](const PyQueue& queue, const PyExecObj& exec) {
            return rt::to_qstatus(unlocked([&] { return queue->enqueue(exec.shared()); }));
          },
          py::arg("execObj"))
      .def_static("initProperties", [](QueueProperties& p) { p = {}; }, py::arg("properties"));
}

}  // namespace qaickit::qaicrt
