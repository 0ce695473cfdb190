#pragma once

#include <array>
#include <cstddef>
#include <span>

namespace qaickit {

using Sha256Digest = std::array<std::byte, 32>;

// SHA-256 (FIPS 180-4), with the CPU's SHA instructions where it has them.
Sha256Digest sha256(std::span<const std::byte> data) noexcept;

// The same without them, so that tests reach it on any machine.
Sha256Digest sha256_portable(std::span<const std::byte> data) noexcept;

}  // namespace qaickit
