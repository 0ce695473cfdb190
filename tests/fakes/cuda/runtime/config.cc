#include "runtime/config.h"

#include <charconv>
#include <cstdio>
#include <cstdlib>

namespace fakecuda {
namespace {

template <class T>
bool read(std::string_view text, T min, T max, T* value) {
  T read{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), read);
  if (error != std::errc() || end != text.data() + text.size() || read < min || read > max) {
    return false;
  }
  *value = read;
  return true;
}

void read_variable(const char* name, uint64_t min, uint64_t max, uint64_t* value) {
  const char* text = std::getenv(name);
  if (!text || read(std::string_view(text), min, max, value)) return;
  std::fprintf(stderr, "fake CUDA: %s is '%s'; expected a whole number from %llu to %llu\n", name,
               text, static_cast<unsigned long long>(min), static_cast<unsigned long long>(max));
  std::abort();
}

bool read_member(std::string_view name, std::string_view text, FaultPlan* plan) {
  struct Count {
    std::string_view name;
    uint64_t FaultPlan::* member;
  };
  struct Rate {
    std::string_view name;
    double FaultPlan::* member;
  };
  static constexpr Count kCounts[] = {
      {"seed", &FaultPlan::seed},
      {"oom_at", &FaultPlan::oom_at},
      {"oom_above", &FaultPlan::oom_above},
      {"pinned_oom_at", &FaultPlan::pinned_oom_at},
      {"refuse_at", &FaultPlan::refuse_at},
      {"lost_at_launch", &FaultPlan::lost_at_launch},
      {"lost_at_copy", &FaultPlan::lost_at_copy},
      {"lost_in_kernel", &FaultPlan::lost_in_kernel},
      {"hang_at", &FaultPlan::hang_at},
  };
  static constexpr Rate kRates[] = {
      {"oom", &FaultPlan::oom}, {"refuse", &FaultPlan::refuse}, {"lost", &FaultPlan::lost}};
  for (const Count& row : kCounts) {
    if (row.name == name) return read(text, uint64_t{1}, UINT64_MAX, &(plan->*row.member));
  }
  for (const Rate& row : kRates) {
    if (row.name == name) return read(text, 0.0, 1.0, &(plan->*row.member));
  }
  if (name == "device") return read(text, int64_t{0}, int64_t{63}, &plan->device);
  if (name == "code") return read(text, 1, 999, &plan->code);
  return false;
}

}  // namespace

Config read_config() {
  Config config;
  const auto number = [](const char* name, uint64_t min, uint64_t max, uint64_t* value) {
    read_variable(name, min, max, value);
  };
  constexpr uint64_t kMinute = 60'000'000;
  number("QAICKIT_FAKECUDA_DEVICES", 0, 64, &config.devices);
  number("QAICKIT_FAKECUDA_MEMORY", 1, uint64_t{1} << 40, &config.memory);
  number("QAICKIT_FAKECUDA_RUNTIME", 1000, 999'999, &config.runtime);
  number("QAICKIT_FAKECUDA_DRIVER", 0, 999'999, &config.driver);
  number("QAICKIT_FAKECUDA_LATENCY_US", 0, kMinute, &config.latency_us);
  number("QAICKIT_FAKECUDA_COPY_US", 0, kMinute, &config.copy_us);
  number("QAICKIT_FAKECUDA_JITTER_US", 0, kMinute, &config.jitter_us);
  number("QAICKIT_FAKECUDA_CAPTURE_US", 0, kMinute, &config.capture_us);
  if (const char* text = std::getenv("QAICKIT_FAKECUDA_FAULTS")) config.faults = text;
  return config;
}

bool FaultPlan::draw(double rate, uint64_t kind, uint64_t nth) const noexcept {
  if (rate <= 0) return false;
  // splitmix64's output function: the nth number of a sequence without any state.
  uint64_t x = seed * 0xd1342543de82ef95u + kind * 0xda942042e4dd58b5u + nth * 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  x ^= x >> 31;
  return static_cast<double>(x >> 11) * 0x1p-53 < rate;
}

std::optional<FaultPlan> parse_faults(std::string_view text) {
  FaultPlan plan;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view item = text.substr(0, comma);
    text = comma == std::string_view::npos ? "" : text.substr(comma + 1);
    const size_t equals = item.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    if (!read_member(item.substr(0, equals), item.substr(equals + 1), &plan)) return std::nullopt;
  }
  return plan;
}

}  // namespace fakecuda
