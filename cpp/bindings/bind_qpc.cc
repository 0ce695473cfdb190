#include "bind_qpc.h"

#include <pybind11/stl.h>

#include <map>
#include <utility>
#include <variant>
#include <vector>

#include "core_docs.h"
#include "dicts.h"
#include "errors.h"
#include "gil.h"
#include "module.h"

namespace qaickit::py_ {
namespace {

std::span<const std::byte> bytes_of(const py::bytes& bytes) {
  const std::string_view view = bytes;
  return std::as_bytes(std::span(view.data(), view.size()));
}

py::bytes to_bytes(std::span<const std::byte> data) {
  return py::bytes(reinterpret_cast<const char*>(data.data()), data.size());
}

py::dict describe(const PyQpc& opened) {
  const auto& qpc = opened.qpc;
  const py::object sha256 = py::module_::import("hashlib").attr("sha256");
  py::list segments;
  for (const SegmentView& segment : qpc->segments()) {
    py::dict dict;
    dict["name"] = std::string(segment.name);
    dict["bytes"] = segment.data.size();
    dict["offset"] = segment.offset;
    dict["sha256"] = sha256(py::memoryview::from_memory(
                                segment.data.data(), static_cast<py::ssize_t>(segment.data.size())))
                         .attr("hexdigest")();
    segments.append(dict);
  }
  py::dict dict;
  dict["path"] = qpc->label();
  dict["file_bytes"] = qpc->file_bytes();
  dict["program"] = to_dict(qpc->program());
  dict["segments"] = segments;
  dict["has_host_half"] = qpc->has_host_half();
  dict["has_card_half"] = qpc->has_card_half();
  dict["manifest"] = to_dict(qpc->manifest());
  return dict;
}

py::bytes segment(const PyQpc& opened, const std::string& name) {
  const auto data = opened.qpc->find(name);
  if (!data) {
    std::string known;
    for (const SegmentView& s : opened.qpc->segments()) {
      known += (known.empty() ? "" : ", ") + std::string(s.name);
    }
    raise_if_error(Status(Code::kNotFound,
                          opened.qpc->label() + " has no segment '" + name + "'; it has " + known));
  }
  return to_bytes(*data);
}

// A payload, alone or with the bytes of its static part.
using Extra = std::variant<py::bytes, std::pair<py::bytes, uint64_t>>;

SegmentView to_segment(const std::string& name, const Extra& extra) {
  if (const auto* bytes = std::get_if<py::bytes>(&extra)) return {name, bytes_of(*bytes)};
  const auto& [bytes, offset] = std::get<std::pair<py::bytes, uint64_t>>(extra);
  return {name, bytes_of(bytes), offset};
}

void write(const std::string& path, const py::dict& program, const py::dict& manifest,
           const py::bytes& model, const std::map<std::string, Extra>& extra,
           const std::vector<py::buffer>& weights, const py::bytes& fp16_model) {
  QpcContent content;
  content.program = to_program(program);
  content.manifest = to_manifest(manifest);
  content.onnx_model = bytes_of(model);
  content.fp16_model = bytes_of(fp16_model);
  for (const auto& [name, data] : extra) content.extra.push_back(to_segment(name, data));
  std::vector<py::buffer_info> views;
  for (const py::buffer& weight : weights) {
    const py::buffer_info& view = views.emplace_back(weight.request());
    if (PyBuffer_IsContiguous(view.view(), 'C') == 0) {
      throw py::value_error("weights must be C-contiguous buffers");
    }
    content.weights.emplace_back(static_cast<const std::byte*>(view.ptr),
                                 static_cast<size_t>(view.size * view.itemsize));
  }
  Status status;
  {
    const GilReleased released;
    status = write_qpc(path, content);
  }
  raise_if_error(status);
}

}  // namespace

PyQpc::PyQpc(const std::string& path, WeightsCheck check) {
  auto opened = [&] {
    const GilReleased released;
    return Qpc::open(path, check);
  }();
  qpc = value_or_raise(std::move(opened));
}

void bind_qpc(py::module_& m) {
  py::class_<PyQpc, std::shared_ptr<PyQpc>>(m, "Qpc", doc("Qpc"))
      .def(py::init([](const std::string& path, bool check_weights) {
             return PyQpc(path, check_weights ? WeightsCheck::kNow : WeightsCheck::kLater);
           }),
           py::arg("path"), py::kw_only(), py::arg("check_weights") = true)
      .def_property_readonly(
          "path", [](const PyQpc& q) { return q.qpc->label(); }, doc("Qpc.path"))
      .def_property_readonly(
          "program", [](const PyQpc& q) { return to_dict(q.qpc->program()); }, doc("Qpc.program"))
      .def_property_readonly(
          "manifest", [](const PyQpc& q) { return to_dict(q.qpc->manifest()); },
          doc("Qpc.manifest"))
      .def(
          "verify",
          [](const PyQpc& q) {
            Status status;
            {
              const GilReleased released;
              status = q.qpc->verify();
            }
            raise_if_error(status);
          },
          doc("Qpc.verify"))
      .def("describe", &describe, doc("Qpc.describe"))
      .def("segment", &segment, py::arg("name"), doc("Qpc.segment"));
  m.def(
      "read_qpc", [](const std::string& path) { return describe(PyQpc(path)); }, py::arg("path"),
      doc("read_qpc"));
  m.def(
      "qpc_segment",
      [](const std::string& path, const std::string& name) { return segment(PyQpc(path), name); },
      py::arg("path"), py::arg("name"), doc("qpc_segment"));
  m.def("write_qpc", &write, py::arg("path"), py::arg("program"), py::arg("manifest"),
        py::arg("model"), py::arg("extra") = std::map<std::string, Extra>{},
        py::arg("weights") = std::vector<py::buffer>{}, py::arg("fp16_model") = py::bytes(),
        doc("write_qpc"));
}

}  // namespace qaickit::py_
