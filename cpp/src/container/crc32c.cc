#include "container/crc32c.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace qaickit {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // reflected
constexpr size_t kLanes = 4;                  // hides the latency of the instruction

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? kPolynomial : 0);
    table[i] = value;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kTable = make_table();

#if defined(__x86_64__)

bool has_instruction() noexcept {
  static const bool has = __builtin_cpu_supports("sse4.2") != 0;
  return has;
}

__attribute__((target("sse4.2"))) uint32_t crc32c_sse(uint32_t state, Bytes data) noexcept {
  const std::byte* at = data.data();
  size_t left = data.size();
  uint64_t wide = state;
  for (; left >= sizeof(uint64_t); left -= sizeof(uint64_t), at += sizeof(uint64_t)) {
    uint64_t word;
    std::memcpy(&word, at, sizeof word);
    wide = _mm_crc32_u64(wide, word);
  }
  state = static_cast<uint32_t>(wide);
  for (; left > 0; --left, ++at) state = _mm_crc32_u8(state, static_cast<uint8_t>(*at));
  return state;
}

// The CRCs of kLanes whole blocks that follow each other.
__attribute__((target("sse4.2"))) void crc32c_sse_lanes(const std::byte* data,
                                                        uint32_t* out) noexcept {
  std::array<uint64_t, kLanes> state;
  state.fill(~uint32_t{0});
  for (size_t at = 0; at < kCrcBlockBytes; at += sizeof(uint64_t)) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      uint64_t word;
      std::memcpy(&word, data + lane * kCrcBlockBytes + at, sizeof word);
      state[lane] = _mm_crc32_u64(state[lane], word);
    }
  }
  for (size_t lane = 0; lane < kLanes; ++lane) out[lane] = ~static_cast<uint32_t>(state[lane]);
}

#endif

uint32_t crc32c(uint32_t state, Bytes data) noexcept {
#if defined(__x86_64__)
  if (has_instruction()) return crc32c_sse(state, data);
#endif
  return crc32c_portable(state, data);
}

}  // namespace

uint32_t crc32c_portable(uint32_t state, Bytes data) noexcept {
  for (const std::byte byte : data) {
    state = state >> 8 ^ kTable[(state ^ static_cast<uint32_t>(byte)) & 0xff];
  }
  return state;
}

std::vector<uint32_t> crc32c_blocks(Bytes data) {
  std::vector<uint32_t> blocks;
  blocks.reserve(data.size() / kCrcBlockBytes + 1);
#if defined(__x86_64__)
  for (; has_instruction() && data.size() >= kLanes * kCrcBlockBytes;
       data = data.subspan(kLanes * kCrcBlockBytes)) {
    blocks.resize(blocks.size() + kLanes);
    crc32c_sse_lanes(data.data(), blocks.data() + blocks.size() - kLanes);
  }
#endif
  for (; !data.empty(); data = data.subspan(std::min(data.size(), kCrcBlockBytes))) {
    blocks.push_back(~crc32c(~uint32_t{0}, data.first(std::min(data.size(), kCrcBlockBytes))));
  }
  return blocks;
}

void Crc32cBlocks::add(Bytes data) {
  while (!data.empty()) {
    const size_t taken = std::min(data.size(), kCrcBlockBytes - held_);
    state_ = crc32c(state_, data.first(taken));
    held_ += taken;
    data = data.subspan(taken);
    if (held_ < kCrcBlockBytes) return;
    blocks_.push_back(~state_);
    state_ = ~uint32_t{0};
    held_ = 0;
  }
}

std::vector<uint32_t> Crc32cBlocks::finish() {
  if (held_ > 0) blocks_.push_back(~state_);
  return std::move(blocks_);
}

}  // namespace qaickit
