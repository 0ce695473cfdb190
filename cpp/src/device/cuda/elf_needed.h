#pragma once

#include <string>
#include <vector>

#include "container/byte_range.h"
#include "qaickit/status.h"

namespace qaickit {

// The libraries that a shared library asks the loader for (DT_NEEDED), in its order.
// Source of the format: System V ABI, ELF-64 object files and dynamic linking.
// Error kDataLoss: not a 64-bit little-endian ELF file, or a damaged one.
Result<std::vector<std::string>> needed_libraries(Bytes file);

}  // namespace qaickit
