#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace qaickit {

// Two cache lines, since some CPUs fetch them in pairs; also AVX-512's widest load and more.
inline constexpr size_t kBufferAlignment = 128;

// Owned array of fixed size, value-initialised, that shares no cache line with anything else, so
// that one thread's writes to it do not slow another's. Move-only. data() is never null, except
// after a move or by default, so that a zero-size tensor still has an address.
template <class T>
class AlignedArray {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  AlignedArray() = default;
  explicit AlignedArray(size_t size)
      : data_(static_cast<T*>(
            ::operator new(padded_bytes(size), std::align_val_t{kBufferAlignment}))),
        size_(size) {
    std::uninitialized_value_construct_n(data_, size);
  }
  AlignedArray(AlignedArray&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  AlignedArray& operator=(AlignedArray&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~AlignedArray() {
    if (data_) ::operator delete(data_, std::align_val_t{kBufferAlignment});
  }

  T* data() const noexcept { return data_; }
  size_t size() const noexcept { return size_; }
  T* begin() const noexcept { return data_; }
  T* end() const noexcept { return data_ + size_; }
  T& operator[](size_t i) const noexcept { return data_[i]; }

 private:
  static size_t padded_bytes(size_t size) {
    size_t bytes = 0;
    if (__builtin_mul_overflow(size, sizeof(T), &bytes) ||
        __builtin_add_overflow(bytes, kBufferAlignment, &bytes)) {
      throw std::bad_alloc();
    }
    // One more than needed was added, so this rounds up, and to at least one line.
    return bytes / kBufferAlignment * kBufferAlignment;
  }

  T* data_ = nullptr;
  size_t size_ = 0;
};

using AlignedBuffer = AlignedArray<std::byte>;

}  // namespace qaickit
