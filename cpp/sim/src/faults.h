#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace qaicsim {

enum class Fault : uint8_t {
  kNone,
  kRefuse,
  kError,
  kLost,
  kReset,
  kDie,
  kFlushed,  // not drawn: a lost run that is given back
};

// One of splitmix64's outputs: the n-th number of a sequence without any state.
inline uint64_t hash(uint64_t seed, uint64_t n) noexcept {
  uint64_t x = seed * 0xd1342543de82ef95u + (n + 1) * 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}
// In [0, 1).
inline double unit(uint64_t bits) noexcept { return static_cast<double>(bits >> 11) * 0x1p-53; }

// See qaicsim.h for what the names mean.
struct FaultPlan {
  uint64_t seed = 1;
  int32_t device = -1;
  double enqueue = 0;
  double submit = 0;
  double error = 0;
  double lost = 0;
  double reset = 0;
  double die = 0;
  uint64_t die_after = 0;
  double load = 0;
  double activation = 0;
  double slow = 1;
  double stall_us = 0;

  bool hits(int32_t card) const noexcept { return device < 0 || device == card; }
  // Of the n-th enqueue (from 1) on a card that the plan hits: at most one.
  Fault draw(int32_t card, uint64_t n) const noexcept;
  // Whether the n-th operation of a kind fails that does so at this rate.
  bool draw(int32_t card, double rate, uint64_t n) const noexcept;
};

// Nothing when it is not of the form that qaicsim.h describes.
std::optional<FaultPlan> parse_faults(std::string_view spec);

}  // namespace qaicsim
