#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "QAicApi.h"
#include "qaickit/status.h"
#include "qaicsim.h"

// The vendor's runtime library, libQAic.so, opened at run time. The headers of its C API that come
// with the simulator are included in this folder only.
namespace qaickit::qaic {

struct Api {
#define QAIC_FUNCTION(name) decltype(&::name) name = nullptr;
#include "device/qaic/qaic_symbols.inc"
#undef QAIC_FUNCTION
  // Of the simulator only; else null.
#define QAIC_SIM_FUNCTION(name) decltype(&::name) name = nullptr;
#include "device/qaic/qaic_sim_symbols.inc"
#undef QAIC_SIM_FUNCTION
  uint16_t major = 0;
  uint16_t minor = 0;
  std::string patch;
  std::string variant;
  std::string path;        // file it came from
  bool simulated = false;  // it says that it is qaickit's simulator
};

// Paths at which the library is looked for: what the environment variable QAIC_LIB names, alone,
// when it is set; else the SDK's place, then the loader's path.
std::vector<std::string> library_candidates();

// Whether a library of that version fits the headers that this was built with.
bool version_fits(int major, int minor) noexcept;

// Loads the library once for the process; a failure is not kept. Error kUnavailable lists what was
// tried, or the symbols that are missing, or the version found, and says what to do.
Result<const Api*> load_api();

// Ids of the devices there are, in ascending order, whatever their status. How the library itself
// lists them is not public, so they are asked for one by one.
std::vector<QID> device_ids(const Api& api);

}  // namespace qaickit::qaic
