#pragma once

#include <vector>

#include "qaickit/status.h"

namespace qaickit {

// CPUs this process may run on, ascending. Containers often allow fewer than the machine has.
std::vector<int> allowed_cpus();

// Pins the calling thread to one CPU. An error (a CPU that is not allowed) leaves the thread as
// it was; callers treat it as a warning.
Status pin_this_thread(int cpu);

}  // namespace qaickit
