#include "device/qaic/qaic_status.h"

#include <array>

#include "base/cat.h"

namespace qaickit::qaic {
namespace {

constexpr std::array<StatusMeaning, 15> kMeanings{{
    {QS_SUCCESS, "QS_SUCCESS", Code::kOk, "success", false},
    {QS_PERM, "QS_PERM", Code::kPermissionDenied,
     "no right to use the device; is the user in the group of the device files?", false},
    {QS_AGAIN, "QS_AGAIN", Code::kResourceExhausted, "no room now; try again", false},
    {QS_NOMEM, "QS_NOMEM", Code::kResourceExhausted, "out of memory on the host or the card",
     false},
    {QS_BUSY, "QS_BUSY", Code::kResourceExhausted, "in use", false},
    {QS_NODEV, "QS_NODEV", Code::kUnavailable, "no such device", true},
    {QS_INVAL, "QS_INVAL", Code::kInvalidArgument, "the library refused an argument", false},
    {QS_NOSPC, "QS_NOSPC", Code::kResourceExhausted,
     "not enough free NSPs or other resources of the card", false},
    {QS_BADFD, "QS_BADFD", Code::kFailedPrecondition, "the device file is closed or damaged", true},
    {QS_TIMEDOUT, "QS_TIMEDOUT", Code::kTimedOut, "the device did not answer in its time", false},
    {QS_PROTOCOL, "QS_PROTOCOL", Code::kDeviceError,
     "library and firmware of the card do not understand each other", true},
    {QS_UNSUPPORTED, "QS_UNSUPPORTED", Code::kUnsupported, "the card or its library cannot do it",
     false},
    {QS_DATA_CRC_ERROR, "QS_DATA_CRC_ERROR", Code::kDataLoss, "a checksum of the data is wrong",
     false},
    {QS_DEV_ERROR, "QS_DEV_ERROR", Code::kDeviceError, "the device failed or was reset", true},
    {QS_ERROR, "QS_ERROR", Code::kDeviceError, "the library reports a failure", false},
}};

constexpr StatusMeaning kUnknown{QS_ERROR, "unknown status", Code::kDeviceError,
                                 "a newer library than is known here", false};

}  // namespace

const StatusMeaning& meaning_of(QStatus status) noexcept {
  for (const StatusMeaning& row : kMeanings) {
    if (row.status == status) return row;
  }
  return kUnknown;
}

Status to_status(QStatus status, std::string_view call) {
  if (status == QS_SUCCESS) return {};
  const StatusMeaning& row = meaning_of(status);
  return Status(row.code,
                cat(call, ": ", row.name, " (", static_cast<int>(status), "): ", row.meaning));
}

}  // namespace qaickit::qaic
