#pragma once

#include <cstdint>

#include "base/clock.h"

namespace qaickit {

inline void cpu_relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#endif
}

// Polls `ready` for at most `spin_ns`. The clock bounds the spin: a count of pauses would last ten
// times longer on one CPU than on another.
template <class Ready>
bool spin_until(Ready&& ready, uint64_t spin_ns) noexcept {
  if (ready()) return true;
  if (spin_ns == 0) return false;
  const uint64_t start = now_ns();
  do {
    for (int i = 0; i < 16; ++i) {
      cpu_relax();
      if (ready()) return true;
    }
  } while (now_ns() - start < spin_ns);
  return false;
}

}  // namespace qaickit
