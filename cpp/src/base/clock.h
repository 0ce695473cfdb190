#pragma once

#include <chrono>
#include <cstdint>

namespace qaickit {

// Nanoseconds of the monotonic clock; only differences mean anything.
inline uint64_t now_ns() noexcept {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

}  // namespace qaickit
