#include <string>

#include "qaicrt_docs.h"
#include "wrap.h"

namespace qaickit::qaicrt {
namespace {

using rt::QStatus;

enum class Protocol { kControlPath = 0, kDataPath = 1 };

struct GroupProperties {
  Protocol protocol = Protocol::kControlPath;
};
struct PyGroup : Held<rt::ProgramGroup> {
  using Held::Held;
};

// The properties say how a card changes programs; they change in one way here.
PyGroup make_group(const PyContext& context, int device, const std::string& name,
                   const GroupProperties*) {
  return PyGroup(value_or_throw(
      unlocked([&] { return rt::ProgramGroup::create(context.shared(), device, name); })));
}

py::tuple add_program(const PyGroup& group, const PyQpc& qpc,
                      const rt::ProgramProperties& properties) {
  auto made = unlocked([&] { return group->add_program(qpc.qpc, properties); });
  if (!made.ok()) return py::make_tuple(report(*group->context(), made.status()), py::none());
  return py::make_tuple(QStatus::kSuccess, PyProgram(std::move(made).value()));
}

}  // namespace

void bind_group(py::module_& m) {
  py::enum_<Protocol>(m, "QAicProgramGroupPropertiesProtocol",
                      doc("QAicProgramGroupPropertiesProtocol"), py::arithmetic())
      .value("QAIC_PROGRAM_GROUP_PROTOCOL_CONTROL_PATH", Protocol::kControlPath)
      .value("QAIC_PROGRAM_GROUP_PROTOCOL_DATA_PATH", Protocol::kDataPath);
  py::class_<GroupProperties>(m, "QAicProgramGroupProperties", doc("QAicProgramGroupProperties"))
      .def(py::init<>())
      .def_readwrite("protocolSelect", &GroupProperties::protocol,
                     doc("QAicProgramGroupProperties.protocolSelect"));
  py::class_<PyGroup>(m, "ProgramGroup", doc("ProgramGroup"))
      .def(py::init(&make_group), py::arg("context"), py::arg("devID"), py::arg("name"),
           py::arg("properties").none(true) = py::none())
      .def("addProgram", &add_program, py::arg("qpc"),
           py::arg("properties") = rt::ProgramProperties(), doc("ProgramGroup.addProgram"))
      .def(
          "enable",
          [](const PyGroup& group) {
            return report(*group->context(), unlocked([&] { return group->enable(); }));
          },
          doc("ProgramGroup.enable"))
      .def(
          "disable",
          [](const PyGroup& group, bool wait, uint64_t timeout_us) {
            return report(*group->context(),
                          unlocked([&] { return group->disable(wait, timeout_us); }));
          },
          py::arg("wait") = true, py::arg("timeoutUs") = 0, doc("ProgramGroup.disable"))
      .def(
          "enqueue",
          [](const PyGroup& group, const PyExecObj& exec) {
            return report(*group->context(),
                          unlocked([&] { return group->enqueue(exec.shared()); }));
          },
          py::arg("execObj"), doc("ProgramGroup.enqueue"));
}

}  // namespace qaickit::qaicrt
