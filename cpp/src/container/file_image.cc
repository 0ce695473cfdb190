#include "container/file_image.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "base/cat.h"
#include "container/errno_status.h"
#include "container/unique_fd.h"

namespace qaickit {

Result<FileImage> FileImage::map(const std::string& path) {
  if (path.find('\0') != std::string::npos) {
    return Status(Code::kInvalidArgument, "the path holds a zero byte");
  }
  // Without O_NONBLOCK opening a named pipe would wait for its other end.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat info{};
  if (!fd.ok() || ::fstat(fd.get(), &info) != 0) return errno_status(errno, "cannot open");
  if (S_ISDIR(info.st_mode)) {
    return Status(Code::kInvalidArgument,
                  "is a directory; give the file in it, for instance programqpc.bin");
  }
  if (!S_ISREG(info.st_mode)) return Status(Code::kInvalidArgument, "is not a regular file");

  FileImage image;
  const auto size = static_cast<size_t>(info.st_size);
  if (size == 0) return image;  // mmap refuses a length of 0
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (address == MAP_FAILED) return errno_status(errno, cat("cannot map ", size, " bytes"));
  image.bytes_ = Bytes(static_cast<const std::byte*>(address), size);
  image.mapped_ = true;
  return image;
}

FileImage FileImage::own(std::vector<std::byte> bytes) {
  FileImage image;
  image.owned_ = std::move(bytes);
  image.bytes_ = image.owned_;
  return image;
}

FileImage FileImage::borrow(Bytes bytes) {
  FileImage image;
  image.bytes_ = bytes;
  return image;
}

FileImage::FileImage(FileImage&& other) noexcept
    : bytes_(std::exchange(other.bytes_, {})),
      owned_(std::move(other.owned_)),
      mapped_(std::exchange(other.mapped_, false)) {}

FileImage::~FileImage() {
  if (mapped_) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace qaickit
