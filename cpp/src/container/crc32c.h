#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "container/byte_range.h"

namespace qaickit {

// A CRC-32C (RFC 3720, appendix B.4) for each MiB of some data, the last block being what is left.
// It finds damage an order of magnitude faster than SHA-256, with the CPU's instruction where it
// has one.
inline constexpr size_t kCrcBlockBytes = size_t{1} << 20;

std::vector<uint32_t> crc32c_blocks(Bytes data);

// The same for data that come in pieces.
class Crc32cBlocks {
 public:
  void add(Bytes data);
  std::vector<uint32_t> finish();  // once

 private:
  std::vector<uint32_t> blocks_;
  uint32_t state_ = ~uint32_t{0};
  size_t held_ = 0;  // bytes of the block that is not full
};

// Without the instruction, so that tests reach it on any machine. `state` is ~0 at the start, and
// the CRC is ~state at the end.
uint32_t crc32c_portable(uint32_t state, Bytes data) noexcept;

}  // namespace qaickit
