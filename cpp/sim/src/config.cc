#include "config.h"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string_view>

namespace qaicsim {
namespace {

constexpr double kMaxMicros = 60e6;

std::string_view text_of(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

void complain(const char* name, std::string_view value, const char* wanted) {
  std::fprintf(stderr, "qaicsim: %s is '%.*s', expected %s; it counts as not set\n", name,
               static_cast<int>(value.size()), value.data(), wanted);
}

template <class T>
std::optional<T> parse(std::string_view text, T min, T max) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (!(value >= min && value <= max)) return std::nullopt;
  return value;
}

uint64_t nanoseconds(const char* name, uint64_t fallback) {
  const std::string_view text = text_of(name);
  if (text.empty()) return fallback;
  if (const auto micros = parse<double>(text, 0, kMaxMicros)) {
    return static_cast<uint64_t>(*micros * 1000);
  }
  complain(name, text, "microseconds from 0 to 60000000");
  return fallback;
}

template <class T>
std::vector<T> numbers(const char* name, T min, T max, const char* wanted) {
  const std::string_view all = text_of(name);
  std::vector<T> values;
  for (std::string_view rest = all; !rest.empty();) {
    const size_t comma = rest.find(',');
    const auto value = parse<T>(rest.substr(0, comma), min, max);
    if (!value) {
      complain(name, all, wanted);
      return {};
    }
    values.push_back(*value);
    rest = comma == std::string_view::npos ? "" : rest.substr(comma + 1);
  }
  return values;
}

Compute read_compute() {
  const std::string_view text = text_of("QAICKIT_SIM_COMPUTE");
  if (text == "0") return Compute::kNothing;
  if (text == "echo") return Compute::kEcho;
  if (!text.empty() && text != "1") complain("QAICKIT_SIM_COMPUTE", text, "0, 1 or echo");
  return Compute::kHostHalf;
}

}  // namespace

Config read_config() {
  Config config;
  if (const std::string_view text = text_of("QAICKIT_SIM_DEVICES"); !text.empty()) {
    const auto devices = parse<uint32_t>(text, 0, 64);
    if (!devices) complain("QAICKIT_SIM_DEVICES", text, "a number from 0 to 64");
    config.devices = devices.value_or(config.devices);
  }
  const auto nsps = numbers<uint32_t>("QAICKIT_SIM_NSPS", 1, 255, "numbers from 1 to 255");
  if (!nsps.empty()) config.nsps = nsps;
  config.latency_ns = nanoseconds("QAICKIT_SIM_LATENCY_US", 0);
  config.per_sample_ns = nanoseconds("QAICKIT_SIM_PER_SAMPLE_US", 0);
  config.jitter_ns = nanoseconds("QAICKIT_SIM_JITTER_US", 0);
  config.spin_ns = nanoseconds("QAICKIT_SIM_SPIN_US", config.spin_ns);
  config.compute = read_compute();
  config.log = text_of("QAICKIT_SIM_LOG") == "1";
  config.faults = std::string(text_of("QAICKIT_SIM_FAULTS"));
  config.visible = numbers<int32_t>("QAIC_VISIBLE_DEVICES", 0, 63, "device ids");
  return config;
}

}  // namespace qaicsim
