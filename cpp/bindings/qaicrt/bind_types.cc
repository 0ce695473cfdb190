#include <pybind11/stl.h>

#include <cstring>

#include "qaicrt_docs.h"
#include "wrap.h"

namespace qaickit::qaicrt {

std::shared_ptr<const void> keep(const py::object& object) {
  PyObject* const raw = object.inc_ref().ptr();
  return {raw, [](PyObject* held) {
            if (is_finalizing()) return;
            const GilAcquired locked;
            Py_DECREF(held);
          }};
}

rt::Buffer copy_of(const py::handle& object) {
  Py_buffer view;
  if (PyObject_GetBuffer(object.ptr(), &view, PyBUF_FULL_RO) != 0) throw py::error_already_set();
  if (view.format && std::strchr(view.format, 'O')) {
    PyBuffer_Release(&view);
    throw py::type_error("expected numbers or bytes, got an array of Python objects");
  }
  rt::Buffer copy = rt::Buffer::allocate(static_cast<size_t>(view.len));
  const int failed = view.len == 0 ? 0 : PyBuffer_ToContiguous(copy.data, &view, view.len, 'C');
  PyBuffer_Release(&view);
  if (failed != 0) throw py::error_already_set();
  return copy;
}

const rt::Buffer& buffer_at(const py::list& buffers, size_t index) {
  const py::handle object = buffers[index];
  if (!py::isinstance<PyBuffer>(object)) {
    throw py::type_error("buffer " + std::to_string(index) + ": expected a QBuffer, got " +
                         std::string(py::str(py::type::handle_of(object).attr("__name__"))) +
                         "; make one with QBuffer(...)");
  }
  return object.cast<const PyBuffer&>().buffer;
}

rt::QStatus report(const rt::Context& context, const Status& status) {
  if (!status.ok()) context.log(rt::LogLevel::kError, status.message());
  return rt::to_qstatus(status);
}

namespace {

std::pair<uint32_t, std::vector<int64_t>> to_row(const py::handle& item) {
  return item.cast<std::pair<uint32_t, std::vector<int64_t>>>();
}

size_t place(size_t size, py::ssize_t index) {
  if (index < 0) index += static_cast<py::ssize_t>(size);
  if (index < 0 || static_cast<size_t>(index) >= size) throw py::index_error();
  return static_cast<size_t>(index);
}

void bind_enums(py::module_& m) {
  using rt::QStatus;
  py::enum_<QStatus>(m, "QStatus", doc("QStatus"), py::arithmetic())
      .value("QS_SUCCESS", QStatus::kSuccess)
      .value("QS_PERM", QStatus::kPerm)
      .value("QS_AGAIN", QStatus::kAgain)
      .value("QS_NOMEM", QStatus::kNoMem)
      .value("QS_BUSY", QStatus::kBusy)
      .value("QS_NODEV", QStatus::kNoDev)
      .value("QS_INVAL", QStatus::kInval)
      .value("QS_NOSPC", QStatus::kNoSpc)
      .value("QS_BADFD", QStatus::kBadFd)
      .value("QS_TIMEDOUT", QStatus::kTimedOut)
      .value("QS_PROTOCOL", QStatus::kProtocol)
      .value("QS_UNSUPPORTED", QStatus::kUnsupported)
      .value("QS_DATA_CRC_ERROR", QStatus::kDataCrcError)
      .value("QS_DEV_ERROR", QStatus::kDevError)
      .value("QS_ERROR", QStatus::kError);
  py::enum_<rt::LogLevel>(m, "QLogLevel", doc("QLogLevel"), py::arithmetic())
      .value("QL_DEBUG", rt::LogLevel::kDebug)
      .value("QL_INFO", rt::LogLevel::kInfo)
      .value("QL_WARN", rt::LogLevel::kWarn)
      .value("QL_ERROR", rt::LogLevel::kError);
  enum class IoType { kInvalid = 0, kInput = 1, kOutput = 2 };
  py::enum_<IoType>(m, "BufferIoTypeEnum", doc("BufferIoTypeEnum"), py::arithmetic())
      .value("BUFFER_IO_TYPE_INVALID", IoType::kInvalid)
      .value("BUFFER_IO_TYPE_INPUT", IoType::kInput)
      .value("BUFFER_IO_TYPE_OUTPUT", IoType::kOutput);
  enum class DataType {
    kFloat,
    kFloat16,
    kInt8Q,
    kUInt8Q,
    kInt16Q,
    kInt32Q,
    kInt32I,
    kInt64I,
    kInt8,
    kInval
  };
  py::enum_<DataType>(m, "BufferDataTypeEnum", doc("BufferDataTypeEnum"), py::arithmetic())
      .value("BUFFER_DATA_TYPE_FLOAT", DataType::kFloat)
      .value("BUFFER_DATA_TYPE_FLOAT16", DataType::kFloat16)
      .value("BUFFER_DATA_TYPE_INT8Q", DataType::kInt8Q)
      .value("BUFFER_DATA_TYPE_UINT8Q", DataType::kUInt8Q)
      .value("BUFFER_DATA_TYPE_INT16Q", DataType::kInt16Q)
      .value("BUFFER_DATA_TYPE_INT32Q", DataType::kInt32Q)
      .value("BUFFER_DATA_TYPE_INT32I", DataType::kInt32I)
      .value("BUFFER_DATA_TYPE_INT64I", DataType::kInt64I)
      .value("BUFFER_DATA_TYPE_INT8", DataType::kInt8)
      .value("BUFFER_DATA_TYPE_INVAL", DataType::kInval);
  py::class_<rt::BufferMapping>(m, "BufferMapping", doc("BufferMapping"))
      .def_readonly("bufferName", &rt::BufferMapping::name, doc("BufferMapping.bufferName"))
      .def_readonly("index", &rt::BufferMapping::index, doc("BufferMapping.index"))
      .def_property_readonly(
          "ioType",
          [](const rt::BufferMapping& b) { return b.is_input ? IoType::kInput : IoType::kOutput; },
          doc("BufferMapping.ioType"))
      .def_readonly("size", &rt::BufferMapping::size, doc("BufferMapping.size"))
      .def_readonly("isPartialBufferAllowed", &rt::BufferMapping::is_partial_allowed,
                    doc("BufferMapping.isPartialBufferAllowed"))
      .def_property_readonly(
          "dataType",
          [](const rt::BufferMapping& b) {
            return static_cast<DataType>(std::min(b.data_type, uint32_t{9}));
          },
          doc("BufferMapping.dataType"));
}

void bind_properties(py::module_& m) {
  py::class_<rt::ProgramProperties>(m, "QAicProgramProperties", doc("QAicProgramProperties"))
      .def(py::init<>())
      .def_readwrite("SubmitNumRetries", &rt::ProgramProperties::submit_num_retries,
                     doc("QAicProgramProperties.SubmitNumRetries"))
      .def_readwrite("SubmitRetryTimeoutMs", &rt::ProgramProperties::submit_retry_timeout_ms,
                     doc("QAicProgramProperties.SubmitRetryTimeoutMs"))
      .def_readwrite("dataPathTimeoutMs", &rt::ProgramProperties::data_path_timeout_ms,
                     doc("QAicProgramProperties.dataPathTimeoutMs"))
      .def_readwrite("devMapping", &rt::ProgramProperties::dev_mapping,
                     doc("QAicProgramProperties.devMapping"));
  m.attr("ProgramProperties") = m.attr("QAicProgramProperties");
  py::class_<rt::QueueProperties>(m, "QAicQueueProperties", doc("QAicQueueProperties"))
      .def(py::init<>())
      .def_readwrite("properties", &rt::QueueProperties::properties,
                     doc("QAicQueueProperties.properties"))
      .def_readwrite("numThreadsPerQueue", &rt::QueueProperties::num_threads,
                     doc("QAicQueueProperties.numThreadsPerQueue"));
}

}  // namespace

void bind_types(py::module_& m) {
  bind_enums(m);
  bind_properties(m);
  py::class_<QidList>(m, "QIDList", doc("QIDList"))
      .def(py::init<>())
      .def(py::init<std::vector<int>>(), py::arg("ids"))
      .def(
          "append", [](QidList& l, int id) { l.ids.push_back(id); }, py::arg("id"),
          doc("QIDList.append"))
      .def("__len__", [](const QidList& l) { return l.ids.size(); })
      .def("__getitem__",
           [](const QidList& l, py::ssize_t i) { return l.ids[place(l.ids.size(), i)]; })
      .def("__iter__", [](const QidList& l) { return py::iter(py::cast(l.ids)); })
      .def("__repr__", [](const QidList& l) {
        return "QIDList(" + std::string(py::repr(py::cast(l.ids))) + ")";
      });
  py::implicitly_convertible<py::list, QidList>();
  py::implicitly_convertible<py::tuple, QidList>();
  py::class_<PyBuffer>(m, "QBuffer", doc("QBuffer"), py::buffer_protocol())
      .def(py::init([](const py::object& data) { return PyBuffer{copy_of(data)}; }),
           py::arg("data"))
      .def_property_readonly(
          "size", [](const PyBuffer& b) { return b.buffer.size; }, doc("QBuffer.size"))
      .def("__len__", [](const PyBuffer& b) { return b.buffer.size; })
      .def("__bytes__",
           [](const PyBuffer& b) {
             return py::bytes(reinterpret_cast<const char*>(b.buffer.data), b.buffer.size);
           })
      .def_buffer([](const PyBuffer& b) {
        return py::buffer_info(reinterpret_cast<uint8_t*>(b.buffer.data),
                               static_cast<py::ssize_t>(b.buffer.size));
      });
  py::class_<DimensionsVec>(m, "BufferDimensionsVecRef", doc("BufferDimensionsVecRef"))
      .def(py::init([](const py::iterable& rows) {
             DimensionsVec dims;
             for (const py::handle row : rows) dims.rows.push_back(to_row(row));
             return dims;
           }),
           py::arg("rows") = py::list())
      .def("__len__", [](const DimensionsVec& d) { return d.rows.size(); })
      .def("__getitem__",
           [](const DimensionsVec& d, py::ssize_t i) { return d.rows[place(d.rows.size(), i)]; })
      .def("__setitem__",
           [](DimensionsVec& d, py::ssize_t i, const py::object& row) {
             d.rows[place(d.rows.size(), i)] = to_row(row);
           })
      .def(
          "append", [](DimensionsVec& d, const py::object& row) { d.rows.push_back(to_row(row)); },
          doc("BufferDimensionsVecRef.append"))
      .def("__iter__", [](const DimensionsVec& d) { return py::iter(py::cast(d.rows)); });
}

}  // namespace qaickit::qaicrt
