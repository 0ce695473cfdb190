#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

// Access to untrusted bytes. Every function checks its bounds before it computes anything with
// them, and none allocates.
namespace qaickit {

using Bytes = std::span<const std::byte>;

static_assert(std::endian::native == std::endian::little,
              "a QPC holds little-endian structs, which are read in place");

// `length` bytes from `offset`; nothing when any of them lies outside.
inline std::optional<Bytes> slice(Bytes bytes, uint64_t offset, uint64_t length) noexcept {
  if (offset > bytes.size() || length > bytes.size() - offset) return std::nullopt;
  return bytes.subspan(static_cast<size_t>(offset), static_cast<size_t>(length));
}

// A struct or number stored at `offset`, of any alignment; nothing when it does not fit.
template <class T>
std::optional<T> load(Bytes bytes, uint64_t offset) noexcept {
  static_assert(std::is_trivially_copyable_v<T>);
  const std::optional<Bytes> place = slice(bytes, offset, sizeof(T));
  if (!place) return std::nullopt;
  T value;
  std::memcpy(&value, place->data(), sizeof(T));
  return value;
}

inline std::string_view as_text(Bytes bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline Bytes as_byte_span(std::string_view text) noexcept {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace qaickit
