#pragma once

#include <pybind11/pybind11.h>

#include "qaickit/status.h"

namespace qaickit::py_ {

// Raises the class of qaickit.errors that belongs to the code; success returns.
void raise_if_error(const Status& status);

template <class T>
T value_or_raise(Result<T> result) {
  raise_if_error(result.status());
  return std::move(result).value();
}

}  // namespace qaickit::py_
