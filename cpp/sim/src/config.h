#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace qaicsim {

// What a run does besides taking its time.
enum class Compute {
  kHostHalf,  // the graph of the QPC, on the CPU
  kNothing,   // outputs stay as they are
  kEcho,      // output i becomes a copy of input i, as far as both reach
};

// The environment: one variable a member.
struct Config {
  uint32_t devices = 1;            // QAICKIT_SIM_DEVICES
  std::vector<uint32_t> nsps{16};  // QAICKIT_SIM_NSPS: "16", or "16,14" by device; the last repeats
  uint64_t latency_ns = 0;         // QAICKIT_SIM_LATENCY_US: an activation's time for a run
  uint64_t per_sample_ns = 0;      // QAICKIT_SIM_PER_SAMPLE_US: and for each sample of its batch
  uint64_t jitter_ns = 0;          // QAICKIT_SIM_JITTER_US: at most so much on top of a completion
  uint64_t spin_ns = 5'000;        // QAICKIT_SIM_SPIN_US: before an idle queue thread sleeps
  Compute compute = Compute::kHostHalf;  // QAICKIT_SIM_COMPUTE: 1, 0 or echo
  bool log = false;                      // QAICKIT_SIM_LOG=1: messages to stderr too
  std::string faults;                    // QAICKIT_SIM_FAULTS
  std::vector<int32_t> visible;          // QAIC_VISIBLE_DEVICES: empty is all

  bool has_latency() const noexcept { return latency_ns + per_sample_ns + jitter_ns > 0; }
};

// A variable that cannot be read is reported on stderr and counts as not set.
Config read_config();

}  // namespace qaicsim
