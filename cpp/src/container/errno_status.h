#pragma once

#include <string>

#include "qaickit/status.h"

namespace qaickit {

// "cannot read 'x': No such file or directory" with the code that suits `error` (an errno value).
Status errno_status(int error, const std::string& what);

}  // namespace qaickit
