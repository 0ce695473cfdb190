#pragma once

#include <string_view>
#include <vector>

#include "qaickit/status.h"

// One program over several devices, in the vendor's words a devMapping: "0:1:2:3".
namespace qaickit {

// The setting of a device that holds one.
inline constexpr std::string_view kDevMapping = "dev_mapping";

// Device ids, in their order; none of "". Error kInvalidArgument: not of that form, or one twice.
Result<std::vector<int>> parse_device_mapping(std::string_view text);

}  // namespace qaickit
