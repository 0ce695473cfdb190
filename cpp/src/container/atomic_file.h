#pragma once

#include <span>
#include <string>

#include "container/byte_range.h"
#include "qaickit/status.h"

namespace qaickit {

// Writes `pieces` one after the other as the whole of `path`: into a temporary file in the same
// directory, synced to disk, then renamed. On failure `path` is as it was and nothing is left
// behind. A symbolic link at `path` is replaced, not followed.
Status write_file_atomically(const std::string& path, std::span<const Bytes> pieces);

}  // namespace qaickit
