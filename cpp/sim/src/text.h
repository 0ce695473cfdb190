#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string_view>

namespace qaicsim {

// Into an array of the API's, cut where it ends and filled up with zeros.
template <size_t N>
void copy_text(char (&to)[N], std::string_view text) {
  const size_t length = std::min(text.size(), N - 1);
  std::memcpy(to, text.data(), length);
  std::memset(to + length, 0, N - length);
}

}  // namespace qaicsim
