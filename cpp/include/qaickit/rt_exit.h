#pragma once

#include "qaickit/export.h"

namespace qaickit::rt {

// For a host that ends while threads compute: refuses runs from now on (kClosed), and waits for
// those in progress, some seconds at most. Libraries that devices are driven by do not survive the
// end of the process while they work.
QAICKIT_API void end_runs() noexcept;

}  // namespace qaickit::rt
