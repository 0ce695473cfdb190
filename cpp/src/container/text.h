#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace qaickit {

// True for well-formed UTF-8 (no overlong forms, no surrogates, nothing above U+10FFFF).
bool is_utf8(std::string_view text) noexcept;

// Untrusted text for a message: in quotes, anything but printable ASCII as \xNN, cut when long.
std::string printable(std::string_view text);

// Lower-case hexadecimal digits, two for each byte.
std::string to_hex(std::span<const std::byte> bytes);

}  // namespace qaickit
