#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <string>

#include "qaickit/qpc.h"

namespace qaickit::py_ {

// An opened QPC; pybind11 has no holder for a const object.
struct PyQpc {
  explicit PyQpc(const std::string& path, WeightsCheck check = WeightsCheck::kNow);

  std::shared_ptr<const Qpc> qpc;
};

}  // namespace qaickit::py_
