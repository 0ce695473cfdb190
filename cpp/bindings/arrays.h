#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <span>
#include <string>
#include <vector>

#include "qaickit/session.h"
#include "qaickit/tensor.h"

namespace qaickit::py_ {

namespace py = pybind11;

// The numpy side of a program's inputs or outputs: what is looked up and compared on each call,
// prepared once.
class ArrayBinder {
 public:
  // `any_dims`: borrow() takes arrays of whatever dims, for the caller to look up.
  explicit ArrayBinder(const std::vector<TensorSpec>& specs, bool any_dims = false);

  // Reads name -> array, in binding order; without a copy where the elements lie side by side, as
  // C has them. `owners` keeps the arrays or their copies alive, whatever another thread does to
  // the dict meanwhile. Raises InvalidArgumentError with the name,
  // what was expected and what came.
  void borrow(py::handle mapping, ConstBuffer* buffers, py::object* owners) const;
  // New, uninitialised arrays for all specs, as a dict by name.
  py::dict make(MutableBuffer* buffers) const;
  // The same with these dims, one for each spec.
  py::dict make(std::span<const std::vector<int64_t>> dims, MutableBuffer* buffers) const;
  size_t size() const noexcept { return tensors_.size(); }

 private:
  struct Tensor {
    const TensorSpec* spec;
    py::str name;
    py::dtype dtype;
    std::vector<py::ssize_t> dims;
    size_t bytes;
  };
  // `owner` is the array, or becomes its copy.
  ConstBuffer borrow_one(const Tensor& tensor, py::object& owner) const;
  [[noreturn]] void refuse_names(py::handle mapping) const;
  // Puts a new array into `outputs`, and returns where its data are.
  static void* make_one(const Tensor& tensor, std::span<const py::ssize_t> dims,
                        const py::dict& outputs);

  const bool any_dims_;
  std::vector<Tensor> tensors_;
};

}  // namespace qaickit::py_
