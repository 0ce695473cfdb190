#pragma once

#include <sstream>
#include <string>

namespace qaickit {

// Joins values into one string, as an ostream would print them.
template <class... Args>
std::string cat(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return std::move(out).str();
}

}  // namespace qaickit
