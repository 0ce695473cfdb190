#pragma once

#include <memory>
#include <optional>
#include <string>

#include "arrays.h"
#include "qaickit/session.h"

namespace qaickit::py_ {

// A session and what its numpy side needs.
class PySession {
 public:
  PySession(std::shared_ptr<const Qpc> qpc, const SessionOptions& options);
  ~PySession();

  py::dict run(const py::handle& inputs, const RunOptions& options = {});
  // `tick(inferences)` is called now and then; false, or a signal's exception, ends it.
  py::tuple benchmark(uint64_t inferences, double seconds, const py::object& inputs,
                      const py::object& tick);
  void close();
  Session& session() const noexcept { return *session_; }
  const std::optional<HostManifest>& manifest() const noexcept { return manifest_; }

 private:
  py::dict run_any_shape(const py::handle& inputs, const RunOptions& options);

  std::optional<HostManifest> manifest_;
  std::unique_ptr<Session> session_;
  bool any_shape_ = false;  // the program allows more than one
  std::optional<ArrayBinder> inputs_;
  std::optional<ArrayBinder> outputs_;
};

}  // namespace qaickit::py_
