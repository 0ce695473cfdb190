#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace qaickit {

using Sha256Digest = std::array<std::byte, 32>;

// SHA-256 (FIPS 180-4) of bytes that come in pieces, with the CPU's SHA instructions where it has
// them. `portable`: without them, so that tests reach that path on any machine.
class Sha256 {
 public:
  using CompressBlocks = void (*)(std::array<uint32_t, 8>& state, const std::byte* blocks,
                                  size_t count);

  explicit Sha256(bool portable = false) noexcept;
  void add(std::span<const std::byte> data) noexcept;
  Sha256Digest finish() noexcept;  // once

 private:
  CompressBlocks compress_;
  std::array<uint32_t, 8> state_;
  std::array<std::byte, 64> block_{};  // begun, not full
  size_t held_ = 0;                    // bytes in it
  uint64_t size_ = 0;
};

Sha256Digest sha256(std::span<const std::byte> data) noexcept;
Sha256Digest sha256_portable(std::span<const std::byte> data) noexcept;

}  // namespace qaickit
