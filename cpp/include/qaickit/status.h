#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "qaickit/export.h"

namespace qaickit {

// What went wrong, coarse enough for a program to act on. The message says the rest to people.
enum class Code : uint8_t {
  kOk = 0,
  kInvalidArgument,     // the caller passed something wrong; a retry cannot help
  kNotFound,            // a file, a name or a device is not there
  kPermissionDenied,    // the operating system refused access
  kDataLoss,            // a file is damaged, truncated or not of its kind
  kUnavailable,         // not on this machine (a library or a card is missing)
  kUnsupported,         // understood, but this backend cannot do it
  kFailedPrecondition,  // right call, wrong moment (not set up, already running)
  kResourceExhausted,   // memory, activations or queue places are used up; a retry can help
  kTimedOut,            // did not finish in its time
  kCancelled,           // the caller asked for it to stop
  kClosed,              // the session was closed before it ran
  kDeviceError,         // the device reported a fault
  kInternal,            // a defect in qaickit
};

// Stable upper-case name of a code ("INVALID_ARGUMENT"), for logs and for the bindings.
QAICKIT_API std::string_view code_name(Code code) noexcept;

// Result of an operation without a value. Success holds no memory; copying shares the message.
// Thread-safe to read from several threads.
class [[nodiscard]] QAICKIT_API Status {
 public:
  Status() noexcept = default;  // success
  Status(Code code, std::string message);

  bool ok() const noexcept { return rep_ == nullptr; }
  Code code() const noexcept;
  std::string_view message() const noexcept;  // empty on success

  // "CODE: message", or "OK".
  std::string to_string() const;
  // The same code with "context: " put before the message; success stays success.
  Status with_context(std::string_view context) const;

 private:
  struct Rep {
    Code code;
    std::string message;
  };
  std::shared_ptr<const Rep> rep_;
};

// A value or the reason why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Status status) : state_(std::in_place_index<1>, std::move(status)) {}

  bool ok() const noexcept { return state_.index() == 0; }
  // The status: success when there is a value.
  Status status() const { return ok() ? Status() : *std::get_if<1>(&state_); }
  // Requires ok().
  T& value() & { return *std::get_if<0>(&state_); }
  const T& value() const& { return *std::get_if<0>(&state_); }
  T&& value() && { return std::move(*std::get_if<0>(&state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return std::get_if<0>(&state_); }
  const T* operator->() const { return std::get_if<0>(&state_); }

 private:
  std::variant<T, Status> state_;
};

}  // namespace qaickit

#define QAICKIT_RETURN_IF_ERROR(expr)                                      \
  do {                                                                     \
    if (::qaickit::Status status_ = (expr); !status_.ok()) return status_; \
  } while (false)

#define QAICKIT_CONCAT_INNER_(a, b) a##b
#define QAICKIT_CONCAT_(a, b) QAICKIT_CONCAT_INNER_(a, b)
#define QAICKIT_ASSIGN_OR_RETURN(lhs, expr) \
  QAICKIT_ASSIGN_OR_RETURN_(QAICKIT_CONCAT_(result_, __LINE__), lhs, expr)
#define QAICKIT_ASSIGN_OR_RETURN_(result, lhs, expr) \
  auto result = (expr);                              \
  if (!result.ok()) return result.status();          \
  lhs = std::move(result).value()
