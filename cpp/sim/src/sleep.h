#pragma once

#include <time.h>

#include <cstdint>

namespace qaicsim {

// Of the clock that now_ns() reads.
inline void sleep_until(uint64_t ns) noexcept {
  const timespec at{static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr);
}

}  // namespace qaicsim
