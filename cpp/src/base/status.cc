#include "qaickit/status.h"

#include "base/cat.h"

namespace qaickit {

std::string_view code_name(Code code) noexcept {
  switch (code) {
    case Code::kOk: return "OK";
    case Code::kInvalidArgument: return "INVALID_ARGUMENT";
    case Code::kNotFound: return "NOT_FOUND";
    case Code::kPermissionDenied: return "PERMISSION_DENIED";
    case Code::kDataLoss: return "DATA_LOSS";
    case Code::kUnavailable: return "UNAVAILABLE";
    case Code::kUnsupported: return "UNSUPPORTED";
    case Code::kFailedPrecondition: return "FAILED_PRECONDITION";
    case Code::kResourceExhausted: return "RESOURCE_EXHAUSTED";
    case Code::kTimedOut: return "TIMED_OUT";
    case Code::kCancelled: return "CANCELLED";
    case Code::kClosed: return "CLOSED";
    case Code::kDeviceError: return "DEVICE_ERROR";
    case Code::kInternal: return "INTERNAL";
  }
  return "INTERNAL";
}

Status::Status(Code code, std::string message)
    : rep_(code == Code::kOk ? nullptr
                             : std::make_shared<const Rep>(Rep{code, std::move(message)})) {}

Code Status::code() const noexcept { return rep_ ? rep_->code : Code::kOk; }

std::string_view Status::message() const noexcept {
  return rep_ ? std::string_view(rep_->message) : std::string_view();
}

std::string Status::to_string() const {
  return ok() ? "OK" : cat(code_name(code()), ": ", message());
}

Status Status::with_context(std::string_view context) const {
  return ok() ? *this : Status(code(), cat(context, ": ", message()));
}

}  // namespace qaickit
