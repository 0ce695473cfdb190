#pragma once

#include <cstddef>
#include <cstring>
#include <new>
#include <utility>

namespace qaickit {

inline constexpr size_t kBufferAlignment = 64;  // a cache line, and AVX-512's widest load

// Owned, zeroed, aligned memory of fixed size. Move-only. data() is never null, so that a
// zero-size tensor still has an address.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t bytes)
      : data_(static_cast<std::byte*>(
            ::operator new(bytes > 0 ? bytes : 1, std::align_val_t{kBufferAlignment}))),
        bytes_(bytes) {
    std::memset(data_, 0, bytes);
  }
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~AlignedBuffer() {
    if (data_) ::operator delete(data_, std::align_val_t{kBufferAlignment});
  }

  std::byte* data() const noexcept { return data_; }
  size_t size() const noexcept { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace qaickit
