#include "container/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "base/cat.h"
#include "container/errno_status.h"
#include "container/unique_fd.h"

namespace qaickit {
namespace {

// A file of its own name in `directory`, removed again unless it was renamed.
class TemporaryFile {
 public:
  ~TemporaryFile() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }

  // Not mkstemp(): its mode 0600 would stay, where the user's umask should decide.
  Status create(const std::string& directory) {
    static std::atomic<unsigned> counter{0};
    while (true) {
      std::string path = cat(directory, ".qaickit-", ::getpid(), "-", counter++, ".tmp");
      fd_ = UniqueFd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
      if (fd_.ok()) {
        path_ = std::move(path);
        return {};
      }
      if (errno != EEXIST) return errno_status(errno, "cannot create a file in its directory");
    }
  }

  Status write(Bytes bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(fd_.get(), bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return errno_status(errno, "cannot write");
      bytes = bytes.subspan(static_cast<size_t>(written));
    }
    return {};
  }

  Status rename_to(const std::string& path) {
    if (::fsync(fd_.get()) != 0 || fd_.close() != 0) return errno_status(errno, "cannot write");
    if (::rename(path_.c_str(), path.c_str()) != 0) return errno_status(errno, "cannot replace");
    path_.clear();
    return {};
  }

 private:
  UniqueFd fd_;
  std::string path_;
};

}  // namespace

Status write_file_atomically(const std::string& path, std::span<const Bytes> pieces) {
  if (path.empty() || path.back() == '/' || path.find('\0') != std::string::npos) {
    return Status(Code::kInvalidArgument, "is not the path of a file");
  }
  const size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "./" : path.substr(0, slash + 1);

  TemporaryFile file;
  QAICKIT_RETURN_IF_ERROR(file.create(directory));
  for (const Bytes piece : pieces) QAICKIT_RETURN_IF_ERROR(file.write(piece));
  QAICKIT_RETURN_IF_ERROR(file.rename_to(path));

  // The rename itself is durable only once the directory is; some file systems cannot sync one.
  const UniqueFd parent(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (parent.ok()) ::fsync(parent.get());
  return {};
}

}  // namespace qaickit
