#pragma once

#include <string_view>

#include "QAicApi.h"
#include "qaickit/status.h"

namespace qaickit::qaic {

struct StatusMeaning {
  QStatus status;
  std::string_view name;  // "QS_NOSPC"
  Code code;
  std::string_view meaning;  // for people
  bool device_fault;         // several in a row: the device is gone
};

// For every value; those that are not of the vendor's list are a device error.
const StatusMeaning& meaning_of(QStatus status) noexcept;

// Success, or "<call>: QS_NOSPC (7): <meaning>" with the code that stands for it.
Status to_status(QStatus status, std::string_view call);

}  // namespace qaickit::qaic

#define QAIC_RETURN_IF_ERROR(api, call, ...) \
  QAICKIT_RETURN_IF_ERROR(::qaickit::qaic::to_status((api).call(__VA_ARGS__), #call))
