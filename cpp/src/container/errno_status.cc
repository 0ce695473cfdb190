#include "container/errno_status.h"

#include <cerrno>
#include <system_error>

#include "base/cat.h"

namespace qaickit {
namespace {

Code code_of(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR: return Code::kNotFound;
    case EACCES:
    case EPERM:
    case EROFS: return Code::kPermissionDenied;
    case EISDIR:
    case ELOOP:
    case EINVAL:
    case ENAMETOOLONG: return Code::kInvalidArgument;
    case EDQUOT:
    case EFBIG:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOSPC: return Code::kResourceExhausted;
    default: return Code::kInternal;
  }
}

}  // namespace

Status errno_status(int error, const std::string& what) {
  return Status(code_of(error), cat(what, ": ", std::generic_category().message(error)));
}

}  // namespace qaickit
