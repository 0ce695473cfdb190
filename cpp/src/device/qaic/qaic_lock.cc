#include "device/qaic/qaic_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "base/cat.h"
#include "container/unique_fd.h"

namespace qaickit::qaic {
namespace {

std::mutex held_mutex;
std::map<QID, UniqueFd>& held() {
  static auto* const held = new std::map<QID, UniqueFd>;
  return *held;
}

bool is_held(QID id) {
  const std::lock_guard lock(held_mutex);
  return held().contains(id);
}

}  // namespace

QStatus lock_device(QID id, bool block) {
  if (is_held(id)) return QS_SUCCESS;
  // In /tmp for all users, as the devices are; nothing is ever written to the file.
  const std::string path = cat("/tmp/qaickit-device-", id, ".lock");
  constexpr mode_t kForAll = 0666;
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kForAll));
  if (!file.ok()) return errno == EACCES ? QS_PERM : QS_ERROR;
  int result = 0;
  do {
    result = ::flock(file.get(), LOCK_EX | (block ? 0 : LOCK_NB));
  } while (result != 0 && errno == EINTR);
  if (result != 0) return errno == EWOULDBLOCK ? QS_BUSY : QS_ERROR;
  const std::lock_guard lock(held_mutex);
  held().insert_or_assign(id, std::move(file));
  return QS_SUCCESS;
}

QStatus unlock_device(QID id) {
  const std::lock_guard lock(held_mutex);
  return held().erase(id) > 0 ? QS_SUCCESS : QS_INVAL;  // closing the file gives the lock back
}

}  // namespace qaickit::qaic
