#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

// The container on disk: little-endian C structs, nothing compressed. Drawn as the writer lays it
// out (base 0, every element padded with zeros to 8); a reader takes the parts in any order.
//
//   0                 QpcHeader
//   40                QpcSegmentEntry[num_images]
//   40 + 32 * n       names, each NUL-terminated
//   ...               payloads, in the order of the table
//   size
//
// A stored pointer is `base + file offset`, so its offset is `pointer - base` modulo 2^64, whatever
// base is.
namespace qaickit {

inline constexpr uint32_t kQpcMagic = 0x00a1cd7c;
inline constexpr uint16_t kQpcFastPath = 0;  // pointers into a process' memory; never on disk
inline constexpr uint16_t kQpcSlowPath = 1;  // everything inline
inline constexpr size_t kQpcAlignment = 8;
// Of the segment of the weights in the file: as in the segment, so that they lie well in memory.
inline constexpr size_t kWeightAlignment = 64;

// Limits of ours, far above what any compiler writes; they bound the work a hostile file can cause.
inline constexpr uint64_t kMaxSegments = 65536;
inline constexpr size_t kMaxNameBytes = 4096;
inline constexpr size_t kMaxMessageBytes = size_t{64} << 20;  // network descriptor, manifest

struct QpcHeader {
  uint32_t magic = kQpcMagic;
  uint8_t major_version = 0;  // readers look at neither version
  uint8_t minor_version = 1;
  uint16_t compression = kQpcSlowPath;
  uint64_t size = 0;  // of the whole file
  uint64_t base = 0;
  uint64_t num_images = 0;  // segments
  uint64_t images = 0;      // pointer to the segment table
};
static_assert(sizeof(QpcHeader) == 40 && offsetof(QpcHeader, images) == 32);

struct QpcSegmentEntry {
  uint64_t size = 0;    // payload bytes
  uint64_t offset = 0;  // constants.bin: bytes of its static part; else 0
  uint64_t name = 0;    // pointer
  uint64_t start = 0;   // pointer to the payload
};
static_assert(sizeof(QpcSegmentEntry) == 32);

// constantsdesc.bin of a program without constants: two sizes and two flags, all zero.
inline constexpr std::array<std::byte, 24> kNoConstantsDesc{};

// network.elf of a file without card half: the first bytes of a 64-bit little-endian ELF header,
// so that the open tools take it and a card refuses it.
inline constexpr std::array<std::byte, 64> kPlaceholderElf = {
    std::byte{0x7f}, std::byte{'E'}, std::byte{'L'}, std::byte{'F'},
    std::byte{2},    std::byte{1},   std::byte{1}};

}  // namespace qaickit
