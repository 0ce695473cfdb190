#include <pybind11/stl.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <variant>

#include "qaicrt_docs.h"
#include "wrap.h"

namespace qaickit::qaicrt {
namespace {

using Data = rt::ExecObject::Data;
using Offsets = std::vector<std::pair<std::string, int64_t>>;

std::string chosen_backend() {
  const char* const name = std::getenv("QAICKIT_BACKEND");
  return name ? name : "";
}

PyContext make_context(const QidList& ids) {
  return PyContext(
      value_or_throw(unlocked([&] { return rt::Context::create(ids.ids, chosen_backend()); })));
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
  auto made =
      unlocked([&] { return rt::Program::create(context.shared(), device, qpc.qpc, properties); });
  return PyProgram(value_or_throw(std::move(made)));
}

rt::QStatus activate(const PyProgram& program) {
  const Status status = unlocked([&] { return program->activate(); });
  if (status.code() == Code::kResourceExhausted) (void)active_or_throw(Result<int>(status));
  return report(*program->context(), status);
}

rt::QStatus set_buffers(const PyExecObj& exec, const py::list& buffers, const DimensionsVec* dims) {
  const rt::Context& context = *exec->program()->context();
  if (dims && dims->rows.size() != buffers.size()) {
    return report(context, Status(Code::kInvalidArgument, "as many dims as buffers are needed"));
  }
  const ProgramSpec& spec = exec->program()->spec();
  std::vector<Data> data;
  for (size_t i = 0; i < buffers.size(); ++i) {
    Data& one = data.emplace_back();
    one.buffer = buffer_at(buffers, i);
    if (!dims || i >= spec.num_tensors()) continue;
    const auto& [element, shape] = dims->rows[i];
    const size_t expected = dtype_bytes(spec.tensor(i).dtype);
    if (one.buffer.size > 0 && element != expected) {
      return report(context, Status(Code::kInvalidArgument,
                                    "elements of '" + spec.tensor(i).name + "' have " +
                                        std::to_string(expected) + " bytes, the dims say " +
                                        std::to_string(element)));
    }
    one.dims = shape;
  }
  return report(context, exec->set_data(std::move(data)));
}

// Where the bindings that a pattern matches begin in larger arrays, dim by dim: a number, or the
// name of an offset that comes with the data.
struct SlicingSpec {
  struct Row {
    py::object pattern;  // compiled
    size_t element_bytes;
    std::vector<std::variant<int64_t, std::string>> starts;
  };
  std::vector<Row> rows;
};

SlicingSpec parse_slicing(const std::string& text) {
  const py::object compile = py::module_::import("re").attr("compile");
  const py::dict json = py::module_::import("json").attr("loads")(text);
  SlicingSpec spec;
  for (const py::handle buffer : json["BufferSpecs"]) {
    SlicingSpec::Row& row = spec.rows.emplace_back();
    row.pattern = compile(buffer["Name"]);
    row.element_bytes = buffer["ElemSize"].cast<size_t>();
    for (const py::handle dim : buffer["DimSpecs"]) {
      row.starts.push_back(dim["start"].cast<std::variant<int64_t, std::string>>());
    }
  }
  return spec;
}

// (QS_INVAL, None) for what is no such specification.
py::tuple make_slicing(const PyProgram& program, const std::string& text) {
  std::string why;
  try {
    return py::make_tuple(rt::QStatus::kSuccess, parse_slicing(text));
  } catch (const py::error_already_set& error) {
    why = error.what();
  } catch (const std::runtime_error& error) {  // pybind11's cast_error is one
    why = error.what();
  }
  const Status status(Code::kInvalidArgument,
                      "slicing spec: expected BufferSpecs of Name, ElemSize and DimSpecs, each of "
                      "them with a start: " +
                          why);
  return py::make_tuple(report(*program->context(), status), py::none());
}

Result<rt::ExecObject::Dims> starts_of(const SlicingSpec::Row& row, const Offsets& offsets) {
  rt::ExecObject::Dims starts;
  for (const auto& start : row.starts) {
    if (const auto* number = std::get_if<int64_t>(&start)) {
      starts.push_back(*number);
      continue;
    }
    const auto& name = std::get<std::string>(start);
    const auto found = std::ranges::find(offsets, name, &Offsets::value_type::first);
    if (found == offsets.end()) {
      return Status(Code::kInvalidArgument, "no offset is given for '" + name + "'");
    }
    starts.push_back(found->second);
  }
  return starts;
}

// Whether the array of a binding is a larger one, and where the binding begins in it.
Status slice(const SlicingSpec& spec, const Offsets& offsets, const std::string& name,
             const py::array& array, Data* data) {
  for (const SlicingSpec::Row& row : spec.rows) {
    if (row.pattern.attr("match")(name).is_none()) continue;
    if (row.element_bytes != static_cast<size_t>(array.itemsize())) {
      return Status(Code::kInvalidArgument,
                    "the elements of '" + name + "' are not of the slicing spec's ElemSize");
    }
    QAICKIT_ASSIGN_OR_RETURN(data->starts, starts_of(row, offsets));
    return {};
  }
  return {};
}

// (binding index, array) of what a caller gave. Raises TypeError.
std::pair<int64_t, py::array> to_pair(const py::handle& item) {
  const bool is_pair =
      (py::isinstance<py::tuple>(item) || py::isinstance<py::list>(item)) && py::len(item) == 2;
  const auto pair = is_pair ? py::tuple(py::reinterpret_borrow<py::object>(item)) : py::tuple();
  if (!is_pair || PyIndex_Check(pair[0].ptr()) == 0 || !py::isinstance<py::array>(pair[1])) {
    throw py::type_error("expected (binding index, numpy array), got " +
                         std::string(py::repr(py::type::handle_of(item).attr("__name__"))) + " " +
                         std::string(py::repr(item)));
  }
  return {pair[0].cast<int64_t>(), py::reinterpret_borrow<py::array>(pair[1])};
}

// Whether a binding's memory can be this array's. Bytes may stand for any elements.
Status check_array(const ProgramSpec& spec, int64_t index, const py::array& array) {
  if (index < 0 || static_cast<size_t>(index) >= spec.num_tensors()) {
    return Status(Code::kInvalidArgument, "binding " + std::to_string(index) +
                                              " does not exist; there are " +
                                              std::to_string(spec.num_tensors()));
  }
  const TensorSpec& tensor = spec.tensor(static_cast<size_t>(index));
  const std::string what = "the array of '" + tensor.name + "'";
  const bool is_output = static_cast<size_t>(index) >= spec.inputs.size();
  if ((array.flags() & py::array::c_style) == 0 || (is_output && !array.writeable())) {
    return Status(Code::kInvalidArgument,
                  what + " must be C-contiguous, and writeable for an output");
  }
  const auto element = static_cast<size_t>(array.itemsize());
  const bool is_native =
      array.dtype().byteorder() != (std::endian::native == std::endian::little ? '>' : '<');
  const bool fits = element == 1 || element == dtype_bytes(tensor.dtype);
  if (array.size() > 0 && (array.dtype().kind() == 'O' || !is_native || !fits)) {
    return Status(Code::kInvalidArgument,
                  what + ": expected " + std::string(dtype_name(tensor.dtype)) + ", got " +
                      std::string(py::str(py::object(array.dtype()))) + "; cast it with astype");
  }
  return {};
}

// `slicing` null: the arrays are the bindings.
rt::QStatus set_arrays(const PyExecObj& exec, const py::list& pairs,
                       const SlicingSpec* slicing = nullptr, const Offsets& offsets = {}) {
  const rt::Context& context = *exec->program()->context();
  const ProgramSpec& spec = exec->program()->spec();
  std::vector<std::pair<uint32_t, Data>> data;
  for (const py::handle item : pairs) {
    const auto [place, array] = to_pair(item);
    const Status usable = check_array(spec, place, array);
    if (!usable.ok()) return report(context, usable);
    const auto index = static_cast<uint32_t>(place);
    Data one;
    one.buffer = {keep(array), const_cast<std::byte*>(static_cast<const std::byte*>(array.data())),
                  static_cast<size_t>(array.nbytes())};
    one.dims = rt::ExecObject::Dims(array.shape(), array.shape() + array.ndim());
    if (slicing && array.size() > 0) {
      const Status sliced = slice(*slicing, offsets, spec.tensor(index).name, array, &one);
      if (!sliced.ok()) return report(context, sliced);
    }
    data.emplace_back(index, std::move(one));
  }
  return report(context, exec->set_data(std::move(data)));
}

rt::QStatus set_data(const PyExecObj& exec, const py::list& data, const DimensionsVec* dims) {
  const bool arrays =
      !data.empty() && (py::isinstance<py::tuple>(data[0]) || py::isinstance<py::list>(data[0]));
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

void bind_context(py::module_& m) {
  py::class_<PyContext>(m, "Context", doc("Context"))
      .def(py::init([] { return make_context({}); }))
      .def(py::init(&make_context), py::arg("qids"))
      .def(
          "setLogLevel",
          [](const PyContext& c, rt::LogLevel level) {
            c->set_log_level(level);
            return rt::QStatus::kSuccess;
          },
          py::arg("level"), doc("Context.setLogLevel"));
}

void bind_qpc(py::module_& m) {
  py::class_<PyQpc>(m, "Qpc", doc("Qpc"))
      .def(py::init(&open_qpc), py::arg("path"))
      .def("getIoDescriptor", &io_descriptor, doc("Qpc.getIoDescriptor"))
      .def(
          "getBufferMappings",
          [](const PyQpc& qpc) { return value_or_throw(rt::buffer_mappings(*qpc.qpc)); },
          doc("Qpc.getBufferMappings"));
}

void bind_program(py::module_& m) {
  py::class_<SlicingSpec>(m, "SlicingSpecHandle", doc("SlicingSpecHandle"));
  py::class_<PyProgram>(m, "Program", doc("Program"))
      // Public clients leave the device out, and then name the QPC.
      .def(py::init(&make_program), py::arg("context"), py::arg("devID").none(true) = py::none(),
           py::arg("qpcObj"), py::arg("properties") = rt::ProgramProperties())
      .def(
          "load",
          [](const PyProgram& p) {
            return report(*p->context(), unlocked([&] { return p->load(); }));
          },
          doc("Program.load"))
      .def(
          "unload",
          [](const PyProgram& p) {
            return report(*p->context(), unlocked([&] { return p->unload(); }));
          },
          doc("Program.unload"))
      .def("activate", &activate, doc("Program.activate"))
      .def(
          "deactivate",
          [](const PyProgram& p) {
            return report(*p->context(), unlocked([&] { return p->deactivate(); }));
          },
          doc("Program.deactivate"))
      .def(
          "createSlicingSpecHandle",
          [](const PyProgram& program, const std::string& spec) {
            return make_slicing(program, spec);
          },
          py::arg("spec"), doc("Program.createSlicingSpecHandle"))
      .def_static(
          "initProperties", [](rt::ProgramProperties& p) { p = {}; }, py::arg("properties"),
          doc("Program.initProperties"));
}

void bind_exec_obj(py::module_& m) {
  py::class_<PyExecObj>(m, "ExecObj", doc("ExecObj"))
      .def(py::init([](const PyContext& context, const PyProgram& program) {
             if (program->context() != context.shared()) {
               throw std::runtime_error("the program is of another context");
             }
             auto exec = unlocked([&] { return rt::ExecObject::create(program.shared()); });
             return PyExecObj(active_or_throw(std::move(exec)));
           }),
           py::arg("context"), py::arg("program"))
      .def(
          "getId", [](const PyExecObj& exec) { return exec->id(); }, doc("ExecObj.getId"))
      .def("setData", &set_data, py::arg("data"), py::arg("dims") = nullptr, doc("ExecObj.setData"))
      .def(
          "setDataWithSlices",
          [](const PyExecObj& exec, const py::list& data, const SlicingSpec& spec,
             const Offsets& offsets) {
            return py::make_tuple(set_arrays(exec, data, &spec, offsets), py::none());
          },
          py::arg("data"), py::arg("spec"), py::arg("offsets"), doc("ExecObj.setDataWithSlices"))
      .def("getData", &get_data, doc("ExecObj.getData"))
      .def(
          "run",
          [](const PyExecObj& exec, const py::list& data) {
            const rt::QStatus set = set_data(exec, data, nullptr);
            if (set != rt::QStatus::kSuccess) return set;
            const Status begun = exec->begin();
            if (!begun.ok()) return report(*exec->program()->context(), begun);
            return rt::to_qstatus(unlocked([&] { return exec->execute(); }));
          },
          py::arg("data"), doc("ExecObj.run"))
      .def(
          "waitForCompletion",
          [](const PyExecObj& exec) {
            return rt::to_qstatus(unlocked_until_signal(
                [&](const rt::KeepWaiting& more) { return exec->wait(more); }));
          },
          doc("ExecObj.waitForCompletion"));
}

void bind_queue(py::module_& m) {
  py::class_<PyQueue>(m, "Queue", doc("Queue"))
      .def(py::init([](const PyContext& context, int qid, const rt::QueueProperties* properties) {
             auto queue = unlocked([&] {
               return rt::Queue::create(context.shared(), qid,
                                        properties ? *properties : rt::QueueProperties());
             });
             return PyQueue(value_or_throw(std::move(queue)));
           }),
           py::arg("context"), py::arg("qid"), py::arg("properties") = nullptr)
      .def(
          "enqueue",
          [](const PyQueue& queue, const PyExecObj& exec) {
            return report(*exec->program()->context(),
                          unlocked([&] { return queue->enqueue(exec.shared()); }));
          },
          py::arg("execObj"), doc("Queue.enqueue"))
      .def_static(
          "initProperties", [](rt::QueueProperties& p) { p = {}; }, py::arg("properties"),
          doc("Queue.initProperties"));
}

}  // namespace

void bind_objects(py::module_& m) {
  bind_context(m);
  bind_qpc(m);
  bind_program(m);
  bind_exec_obj(m);
  bind_queue(m);
}

}  // namespace qaickit::qaicrt
