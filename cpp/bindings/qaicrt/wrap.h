#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gil.h"
#include "qaickit/rt.h"

// What the Python classes of qaicrt hold.
namespace qaickit::qaicrt {

namespace py = pybind11;

// A core object whose end may wait for threads that want the GIL.
template <class T>
class Held {
 public:
  explicit Held(std::shared_ptr<T> object) : object_(std::move(object)) {}
  Held(Held&&) noexcept = default;
  ~Held() {
    if (!object_) return;
    // In a child of a fork those threads are not there: it is left as it is.
    if (made_at_ != rt::forks()) {
      new std::shared_ptr<T>(std::move(object_));
      return;
    }
    const GilReleased released;
    object_.reset();
  }
  T* operator->() const noexcept { return object_.get(); }
  T& operator*() const noexcept { return *object_; }
  const std::shared_ptr<T>& shared() const noexcept { return object_; }

 private:
  std::shared_ptr<T> object_;
  uint32_t made_at_ = rt::forks();
};

struct PyContext : Held<rt::Context> {
  using Held::Held;
};
struct PyQpc {
  std::shared_ptr<const Qpc> qpc;
};
struct PyProgram : Held<rt::Program> {
  using Held::Held;
};
struct PyExecObj : Held<rt::ExecObject> {
  using Held::Held;
};
struct PyQueue : Held<rt::Queue> {
  using Held::Held;
};
struct PyBuffer {
  rt::Buffer buffer;
};
struct QidList {
  std::vector<int> ids;
};
// What makes a set, as the vendor's programs give it.
struct PySetProperties {
  rt::ProgramProperties program;
  rt::QueueProperties queue;
  std::string name;
  uint32_t id = 0;  // the caller's own

  rt::SetProperties to_native() const { return {program, queue, name}; }
};
// Buffers of one inference, by binding: inputs to give, outputs to hold results or zeros.
struct InferenceVector {
  py::list buffers;
};
// (element bytes, dims) of each binding.
struct DimensionsVec {
  std::vector<std::pair<uint32_t, std::vector<int64_t>>> rows;
};

// Keeps a Python object from any thread.
std::shared_ptr<const void> keep(const py::object& object);
// A copy of any contiguous or strided buffer. Raises TypeError for what is none.
rt::Buffer copy_of(const py::handle& object);

// Raises TypeError, naming the place in the list, for what is no QBuffer.
const rt::Buffer& buffer_at(const py::list& buffers, size_t index);
// The buffers of all bindings, or of the inputs alone. Raises ValueError for another number.
std::vector<rt::ExecObject::Data> data_of(const ProgramSpec& spec, const py::list& buffers);

// What the classes return; the whole text goes to the context's log.
rt::QStatus report(const rt::Context& context, const Status& status);
// For constructors, which have no status to return.
template <class T>
T value_or_throw(Result<T> result) {
  if (!result.ok()) throw std::runtime_error(result.status().to_string());
  return std::move(result).value();
}
// The same for what activates a program. Public programs look for the vendor's word for a device
// that is full.
template <class T>
T active_or_throw(Result<T> result) {
  if (result.status().code() == Code::kResourceExhausted) {
    throw std::runtime_error("QAIC_ERROR_NSP_ALLOC_FAILED: " + result.status().to_string());
  }
  return value_or_throw(std::move(result));
}
// Without the GIL.
template <class F>
auto unlocked(F&& work) {
  const GilReleased released;
  return work();
}
// The same for `work(keep_waiting)`, which Ctrl-C ends.
template <class F>
auto unlocked_until_signal(F&& work) {
  std::optional<py::error_already_set> raised;
  const rt::KeepWaiting no_signal = [&] {
    const GilAcquired locked;
    if (PyErr_CheckSignals() == 0) return true;
    raised.emplace();
    return false;
  };
  auto result = unlocked([&] { return work(no_signal); });
  if (raised) throw std::move(*raised);
  return result;
}

void bind_types(py::module_& m);
void bind_objects(py::module_& m);
void bind_group(py::module_& m);
void bind_sets(py::module_& m);
void bind_benchmark_set(py::module_& m);
void bind_profiling(py::module_& m);
void bind_util(py::module_& m);

}  // namespace qaickit::qaicrt
