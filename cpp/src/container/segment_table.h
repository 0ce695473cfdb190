#pragma once

#include <vector>

#include "container/byte_range.h"
#include "qaickit/qpc.h"

namespace qaickit {

// The segments of a container, in the order of its table, as views into `file`. Checks everything
// that it computes with: the header, the table, every name and every payload lie inside the file.
// Errors are kDataLoss and say what was expected, what came, and at which offset.
Result<std::vector<SegmentView>> parse_segments(Bytes file);

}  // namespace qaickit
