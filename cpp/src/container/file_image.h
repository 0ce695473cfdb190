#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "container/byte_range.h"
#include "qaickit/status.h"

namespace qaickit {

// The bytes of a whole file, mapped read-only, owned or somebody else's. It can be moved, once
// made; bytes() keep their address then.
class FileImage {
 public:
  // Maps a regular file. Errors: kNotFound, kPermissionDenied, kResourceExhausted, and
  // kInvalidArgument for anything that is no regular file.
  static Result<FileImage> map(const std::string& path);
  static FileImage own(std::vector<std::byte> bytes);
  // The memory must stay.
  static FileImage borrow(Bytes bytes);

  FileImage(FileImage&& other) noexcept;
  ~FileImage();

  Bytes bytes() const noexcept { return bytes_; }

 private:
  FileImage() = default;

  Bytes bytes_;
  std::vector<std::byte> owned_;  // empty when mapped or borrowed
  bool mapped_ = false;
};

}  // namespace qaickit
