#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "container/byte_range.h"
#include "container/sha256.h"
#include "qaickit/qpc.h"

// The manifest segment of the host half. It protects the file: it lists the segment table, in its
// order, with a digest of every payload, and carries a digest of itself. What the container's
// structs hold beyond that list (versions, base, padding) changes no content.
namespace qaickit {

inline constexpr uint32_t kManifestVersion = 1;

struct HostTensor {
  std::string name;
  DType dtype;
};

struct SegmentRecord {
  std::string name;
  uint64_t size = 0;
  uint64_t offset = 0;
  Sha256Digest digest{};
  std::vector<uint32_t> crc32c;  // of each MiB; empty: none are kept
};

struct ManifestRecord {
  HostManifest manifest;
  std::vector<HostTensor> inputs;  // in the order of networkdesc.bin
  std::vector<HostTensor> outputs;
  std::vector<SegmentRecord> segments;  // the manifest's own has only a name
};

// Errors: kInvalidArgument.
Result<std::vector<std::byte>> encode_manifest(const ManifestRecord& record);

// Errors: kDataLoss, kUnsupported (written by a newer qaickit).
Result<ManifestRecord> decode_manifest(Bytes segment);

// Of SHA-256: kFull takes every segment, kQuick leaves out those that have CRCs.
enum class Check { kQuick, kFull };

// Checks the table and the digests of the segments against the list. Error: kDataLoss, naming the
// segment.
Status verify_segments(std::span<const SegmentRecord> records, Bytes file,
                       std::span<const SegmentView> segments, Check check);

// Checks the CRCs of those segments that have some; verify_segments() has been successful. Error as
// there.
Status verify_crcs(std::span<const SegmentRecord> records, Bytes file,
                   std::span<const SegmentView> segments);

// Gives the tensors of `program`, as read from networkdesc.bin, their exact host dtypes. Error:
// kDataLoss when the two do not name the same tensors.
Status apply_host_dtypes(const ManifestRecord& record, ProgramSpec* program);

}  // namespace qaickit
