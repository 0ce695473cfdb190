#include "arrays.h"

#include <cstring>
#include <new>

#include "errors.h"

namespace qaickit::py_ {
namespace {

using py::detail::array_proxy;
using py::detail::npy_api;

[[noreturn]] void refuse(const std::string& message) {
  raise_if_error(Status(Code::kInvalidArgument, message));
  throw std::logic_error("unreachable");
}

std::string shape_of(const py::array& array) {
  const std::vector<int64_t> dims(array.shape(), array.shape() + array.ndim());
  return dims_to_string(dims);
}

size_t bytes_of(const py::detail::PyArray_Proxy* array, size_t element_bytes) {
  size_t bytes = element_bytes;
  for (int i = 0; i < array->nd; ++i) bytes *= static_cast<size_t>(array->dimensions[i]);
  return bytes;
}

std::string text(py::handle object) { return py::str(object); }

}  // namespace

ArrayBinder::ArrayBinder(const std::vector<TensorSpec>& specs, bool any_dims)
    : any_dims_(any_dims) {
  for (const TensorSpec& spec : specs) {
    if (spec.dtype == DType::kBFloat16) {
      raise_if_error(Status(Code::kUnsupported,
                            "'" + spec.name + "' is bfloat16, which numpy has no type for"));
    }
    PyObject* name =
        PyUnicode_FromStringAndSize(spec.name.data(), static_cast<py::ssize_t>(spec.name.size()));
    PyUnicode_InternInPlace(&name);
    tensors_.push_back({&spec,
                        py::reinterpret_steal<py::str>(name),
                        py::dtype(std::string(dtype_name(spec.dtype))),
                        {spec.dims.begin(), spec.dims.end()},
                        spec.bytes()});
  }
}

ConstBuffer ArrayBinder::borrow_one(const Tensor& tensor, py::object& owner) const {
  const std::string& name = tensor.spec->name;
  PyObject* object = owner.ptr();
  if (!npy_api::get().PyArray_Check_(object)) {
    refuse("input '" + name + "': expected a numpy array, got " +
           text(py::type::handle_of(object).attr("__name__")) + "; wrap it in numpy.asarray");
  }
  const auto* array = array_proxy(object);
  const auto& dims = tensor.dims;
  const bool same_dtype = array->descr == tensor.dtype.ptr() ||
                          npy_api::get().PyArray_EquivTypes_(array->descr, tensor.dtype.ptr());
  const bool same_shape = any_dims_ || (static_cast<size_t>(array->nd) == dims.size() &&
                                        std::equal(dims.begin(), dims.end(), array->dimensions));
  if (same_dtype && same_shape) {
    constexpr int kPlain = npy_api::NPY_ARRAY_C_CONTIGUOUS_ | npy_api::NPY_ARRAY_ALIGNED_;
    if ((array->flags & kPlain) != kPlain) {
      owner = py::array::ensure(owner, kPlain);
      if (!owner) throw std::bad_alloc();
      array = array_proxy(owner.ptr());
    }
    return {array->data,
            any_dims_ ? bytes_of(array, dtype_bytes(tensor.spec->dtype)) : tensor.bytes};
  }

  const auto as_array = py::reinterpret_borrow<py::array>(object);
  const std::string expected =
      std::string(dtype_name(tensor.spec->dtype)) + " " + dims_to_string(tensor.spec->dims);
  const std::string got = text(as_array.dtype()) + " " + shape_of(as_array);
  const std::string advice =
      same_dtype ? "reshape or pad it; the shapes were fixed when the program was compiled"
                 : "cast with .astype('" + std::string(dtype_name(tensor.spec->dtype)) + "')";
  refuse("input '" + name + "': expected " + expected + ", got " + got + "; " + advice);
}

void ArrayBinder::borrow(py::handle mapping, ConstBuffer* buffers, py::object* owners) const {
  py::dict copy;
  PyObject* dict = mapping.ptr();
  if (!PyDict_Check(dict)) {
    // What a tokenizer returns, for instance, is a mapping and no dict.
    if (PyObject_HasAttrString(dict, "keys") == 0 || PyDict_Update(copy.ptr(), dict) != 0) {
      PyErr_Clear();
      refuse("expected a dict of input name to numpy array, got " +
             text(py::type::handle_of(mapping).attr("__name__")));
    }
    dict = copy.ptr();
  }
  if (static_cast<size_t>(PyDict_GET_SIZE(dict)) != tensors_.size()) refuse_names(dict);
  for (size_t i = 0; i < tensors_.size(); ++i) {
    PyObject* array = PyDict_GetItemWithError(dict, tensors_[i].name.ptr());
    if (!array) {
      if (PyErr_Occurred()) throw py::error_already_set();
      refuse_names(dict);
    }
    owners[i] = py::reinterpret_borrow<py::object>(array);
    buffers[i] = borrow_one(tensors_[i], owners[i]);
  }
}

void ArrayBinder::refuse_names(py::handle mapping) const {
  std::string missing;
  for (const Tensor& tensor : tensors_) {
    if (!mapping.contains(tensor.name))
      missing += (missing.empty() ? "'" : ", '") + tensor.spec->name + "'";
  }
  std::string unknown;
  std::string expected;
  for (const Tensor& tensor : tensors_)
    expected += (expected.empty() ? "'" : ", '") + tensor.spec->name + "'";
  for (py::handle key : mapping) {
    bool known = false;
    for (const Tensor& tensor : tensors_) known = known || key.equal(tensor.name);
    if (!known) unknown += (unknown.empty() ? "" : ", ") + std::string(py::repr(key));
  }
  std::string message = "inputs: expected " + (expected.empty() ? "none" : expected);
  if (!missing.empty()) message += "; missing " + missing;
  if (!unknown.empty()) message += "; unknown " + unknown;
  refuse(message);
}

py::dict ArrayBinder::make(MutableBuffer* buffers) const {
  py::dict outputs;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    buffers[i] = {make_one(tensors_[i], tensors_[i].dims, outputs), tensors_[i].bytes};
  }
  return outputs;
}

py::dict ArrayBinder::make(std::span<const std::vector<int64_t>> dims,
                           MutableBuffer* buffers) const {
  py::dict outputs;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    size_t bytes = dtype_bytes(tensors_[i].spec->dtype);
    for (const int64_t dim : dims[i]) bytes *= static_cast<size_t>(dim);
    buffers[i] = {make_one(tensors_[i], {dims[i].begin(), dims[i].end()}, outputs), bytes};
  }
  return outputs;
}

void* ArrayBinder::make_one(const Tensor& tensor, std::span<const py::ssize_t> dims,
                            const py::dict& outputs) {
  const auto& api = npy_api::get();
  // NewFromDescr takes the reference to the dtype over.
  PyObject* array = api.PyArray_NewFromDescr_(api.PyArray_Type_, tensor.dtype.inc_ref().ptr(),
                                              static_cast<int>(dims.size()), dims.data(), nullptr,
                                              nullptr, 0, nullptr);
  if (!array) throw py::error_already_set();
  void* const data = array_proxy(array)->data;
  const int failed = PyDict_SetItem(outputs.ptr(), tensor.name.ptr(), array);
  Py_DECREF(array);
  if (failed != 0) throw py::error_already_set();
  return data;
}

}  // namespace qaickit::py_
