#pragma once

#include <mutex>
#include <utility>

#include "qaickit/status.h"

namespace qaickit {

// The functions of a library: the Api that `open`, which returns Result<Api>, had at its first
// success. One for each type Api and the whole process. Never destroyed, since threads of the
// library may outlive static destruction. A failure is not kept, so that a place named later gets
// its chance.
template <class Api, class Open>
Result<const Api*> load_once(const Open& open) {
  static std::mutex mutex;
  static const Api* loaded = nullptr;
  const std::lock_guard lock(mutex);
  if (!loaded) {
    Result<Api> api = open();
    if (!api.ok()) return api.status();
    loaded = new Api(std::move(api).value());
  }
  return loaded;
}

}  // namespace qaickit
