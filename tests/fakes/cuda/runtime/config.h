#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fakecuda {

// The environment; fake_cuda.h says what the variables mean.
struct Config {
  uint64_t devices = 1;
  uint64_t memory = uint64_t{2} << 30;
  uint64_t runtime = 12080;
  uint64_t driver = 12080;
  uint64_t latency_us = 0;
  uint64_t copy_us = 0;
  uint64_t jitter_us = 0;
  uint64_t capture_us = 200;
  std::string faults;
};

// Ends the process with a message where a variable cannot be read.
Config read_config();

// A fault plan; fake_cuda.h says what the names mean. 0: never.
struct FaultPlan {
  uint64_t number = 0;  // of all plans there were
  int64_t device = -1;
  uint64_t seed = 1;
  uint64_t oom_at = 0;
  uint64_t oom_above = 0;
  double oom = 0;
  uint64_t pinned_oom_at = 0;
  uint64_t refuse_at = 0;
  double refuse = 0;
  uint64_t lost_at_launch = 0;
  uint64_t lost_at_copy = 0;
  uint64_t lost_in_kernel = 0;
  double lost = 0;
  int code = 719;
  uint64_t hang_at = 0;

  bool hits(int gpu) const noexcept { return device < 0 || device == gpu; }
  // Whether the nth operation fails that does so at this rate. `kind` keeps sequences apart.
  bool draw(double rate, uint64_t kind, uint64_t nth) const noexcept;
};

// Nothing when it is not of the form that fake_cuda.h describes.
std::optional<FaultPlan> parse_faults(std::string_view text);

}  // namespace fakecuda
