#pragma once

#include "qaickit/status.h"

// The runs of this process that are in progress; see rt_exit.h.
namespace qaickit::rt {

Status begin_run() noexcept;  // kClosed: the process ends
void end_run() noexcept;      // of one that began
void forget_runs() noexcept;  // in a child of a fork: its parent's are not here

}  // namespace qaickit::rt
