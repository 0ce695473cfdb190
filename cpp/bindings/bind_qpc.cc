#include <pybind11/stl.h>

#include <map>
#include <string>

#include "dicts.h"
#include "errors.h"
#include "module.h"
#include "qaickit/qpc.h"

namespace qaickit::py_ {
namespace {

std::shared_ptr<const Qpc> open(const std::string& path) {
  auto qpc = [&] {
    const py::gil_scoped_release released;
    return Qpc::open(path);
  }();
  return value_or_raise(std::move(qpc));
}

std::span<const std::byte> bytes_of(const py::bytes& bytes) {
  const std::string_view view = bytes;
  return std::as_bytes(std::span(view.data(), view.size()));
}

py::bytes to_bytes(std::span<const std::byte> data) {
  return py::bytes(reinterpret_cast<const char*>(data.data()), data.size());
}

py::dict read_qpc(const std::string& path) {
  const auto qpc = open(path);
  const py::object sha256 = py::module_::import("hashlib").attr("sha256");
  py::list segments;
  for (const SegmentView& segment : qpc->segments()) {
    py::dict dict;
    dict["name"] = std::string(segment.name);
    dict["bytes"] = segment.data.size();
    dict["sha256"] = sha256(py::memoryview::from_memory(
                                segment.data.data(), static_cast<py::ssize_t>(segment.data.size())))
                         .attr("hexdigest")();
    segments.append(dict);
  }
  py::dict dict;
  dict["path"] = path;
  dict["file_bytes"] = qpc->file_bytes();
  dict["program"] = to_dict(qpc->program());
  dict["segments"] = segments;
  dict["has_host_half"] = qpc->has_host_half();
  dict["has_card_half"] = qpc->has_card_half();
  dict["manifest"] = to_dict(qpc->manifest());
  return dict;
}

py::bytes qpc_segment(const std::string& path, const std::string& name) {
  const auto qpc = open(path);
  const auto data = qpc->find(name);
  if (!data) {
    std::string known;
    for (const SegmentView& s : qpc->segments()) {
      known += (known.empty() ? "" : ", ") + std::string(s.name);
    }
    raise_if_error(
        Status(Code::kNotFound, path + " has no segment '" + name + "'; it has " + known));
  }
  return to_bytes(*data);
}

void write(const std::string& path, const py::dict& program, const py::dict& manifest,
           const py::bytes& model, const std::map<std::string, py::bytes>& extra) {
  QpcContent content{to_program(program), to_manifest(manifest), bytes_of(model), {}};
  for (const auto& [name, data] : extra) content.extra.push_back({name, bytes_of(data)});
  Status status;
  {
    const py::gil_scoped_release released;
    status = write_qpc(path, content);
  }
  raise_if_error(status);
}

}  // namespace

void bind_qpc(py::module_& m) {
  m.def("read_qpc", &read_qpc, py::arg("path"));
  m.def("qpc_segment", &qpc_segment, py::arg("path"), py::arg("name"));
  m.def("write_qpc", &write, py::arg("path"), py::arg("program"), py::arg("manifest"),
        py::arg("model"), py::arg("extra") = std::map<std::string, py::bytes>{});
}

}  // namespace qaickit::py_
