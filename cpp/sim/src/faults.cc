#include "faults.h"

#include <charconv>

namespace qaicsim {
namespace {

template <class T>
bool read(std::string_view text, T min, T max, T* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size() && *value >= min && *value <= max;
}

bool read_member(std::string_view name, std::string_view text, FaultPlan* plan) {
  const auto rate = [text](double* value) { return read(text, 0.0, 1.0, value); };
  if (name == "seed") return read(text, uint64_t{0}, UINT64_MAX, &plan->seed);
  if (name == "device") return read(text, 0, 63, &plan->device);
  if (name == "enqueue") return rate(&plan->enqueue);
  if (name == "submit") return rate(&plan->submit);
  if (name == "error") return rate(&plan->error);
  if (name == "lost") return rate(&plan->lost);
  if (name == "reset") return rate(&plan->reset);
  if (name == "die") return rate(&plan->die);
  if (name == "die_after") return read(text, uint64_t{1}, UINT64_MAX, &plan->die_after);
  if (name == "load") return rate(&plan->load);
  if (name == "activation") return rate(&plan->activation);
  if (name == "slow") return read(text, 0.0, 1e6, &plan->slow);
  if (name == "stall_us") return read(text, 0.0, 60e6, &plan->stall_us);
  return false;
}

}  // namespace

Fault FaultPlan::draw(int32_t card, uint64_t n) const noexcept {
  if (n == die_after) return Fault::kDie;
  double u = unit(hash(seed + static_cast<uint64_t>(card), n));
  if ((u -= enqueue) < 0) return Fault::kRefuse;
  if ((u -= error) < 0) return Fault::kError;
  if ((u -= lost) < 0) return Fault::kLost;
  if ((u -= reset) < 0) return Fault::kReset;
  if ((u -= die) < 0) return Fault::kDie;
  return Fault::kNone;
}

bool FaultPlan::draw(int32_t card, double rate, uint64_t n) const noexcept {
  return unit(hash(~seed + static_cast<uint64_t>(card), n)) < rate;
}

std::optional<FaultPlan> parse_faults(std::string_view spec) {
  FaultPlan plan;
  while (!spec.empty()) {
    const size_t comma = spec.find(',');
    const std::string_view item = spec.substr(0, comma);
    spec = comma == std::string_view::npos ? "" : spec.substr(comma + 1);
    const size_t equals = item.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    if (!read_member(item.substr(0, equals), item.substr(equals + 1), &plan)) return std::nullopt;
  }
  if (plan.enqueue + plan.error + plan.lost + plan.reset + plan.die > 1.0) return std::nullopt;
  return plan;
}

}  // namespace qaicsim
