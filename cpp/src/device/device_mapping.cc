#include "device/device_mapping.h"

#include <algorithm>
#include <charconv>

#include "base/cat.h"

namespace qaickit {

Result<std::vector<int>> parse_device_mapping(std::string_view text) {
  std::vector<int> ids;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at < end) {
    int id = -1;
    const auto [next, error] = std::from_chars(at, end, id);
    const bool more = next < end;
    if (error != std::errc() || id < 0 || std::ranges::find(ids, id) != ids.end() ||
        (more && (*next != ':' || next + 1 == end))) {
      return Status(Code::kInvalidArgument,
                    cat("devMapping '", text, "': expected device ids like 0:1:2, each once"));
    }
    ids.push_back(id);
    at = next + (more ? 1 : 0);
  }
  return ids;
}

}  // namespace qaickit
