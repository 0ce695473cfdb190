#pragma once

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace qaickit {

// Keeps what a thread or a device that was left behind may still use, for the rest of the process
// and within sight of leak checkers.
inline void keep_for_ever(std::shared_ptr<void> object) {
  static std::mutex mutex;
  static auto* const kept = new std::vector<std::shared_ptr<void>>;
  const std::lock_guard lock(mutex);
  kept->push_back(std::move(object));
}

}  // namespace qaickit
