#pragma once

#include <chrono>
#include <cstdio>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <unordered_set>

#include "objects.h"

// What all exported functions share: handles given out, taken back and checked.
namespace qaicsim {

// All handles given out, so that a second release is told from a first one.
class Live {
 public:
  void add(const void* object) {
    const std::lock_guard lock(mutex_);
    objects_.insert(object);
  }
  bool has(const void* object) {
    const std::lock_guard lock(mutex_);
    return objects_.contains(object);
  }
  bool remove(const void* object) {
    const std::lock_guard lock(mutex_);
    return objects_.erase(object) > 0;
  }
  uint64_t size() {
    const std::lock_guard lock(mutex_);
    return objects_.size();
  }

 private:
  std::mutex mutex_;
  std::unordered_set<const void*> objects_;
};

inline Live& live() {
  static Live* const live = new Live;
  return *live;
}

// Looks at the tag alone, which is the first member of every kind: it may be another one's.
template <class T>
bool is(const T* object) noexcept {
  const auto* tag = reinterpret_cast<const std::atomic<uint32_t>*>(object);
  return tag && tag->load(std::memory_order_relaxed) == T::kKind;
}

// For releases, where the object may be gone: asks before it looks.
template <class T>
bool is_live(const T* object) {
  return object && live().has(object) && is(object);
}

// No exception leaves the library.
template <class F>
QStatus guard(F&& body) noexcept {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return QS_NOMEM;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "qaicsim: %s\n", e.what());
    return QS_ERROR;
  }
}

template <class T>
QStatus hand_out(std::unique_ptr<T> object, T** out) {
  live().add(object.get());
  *out = object.release();
  return QS_SUCCESS;
}

template <class T>
QStatus destroy(T* object) {
  if (!live().remove(object)) return QS_INVAL;
  delete object;
  return QS_SUCCESS;
}

inline void wait_until_left(const std::atomic<uint32_t>& users) {
  // acquire: pairs with the release decrement by the last thread inside.
  while (users.load(std::memory_order_acquire) > 0) {
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
}

}  // namespace qaicsim
