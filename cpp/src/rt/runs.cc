#include "rt/runs.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

#include "qaickit/rt_exit.h"

namespace qaickit::rt {
namespace {

constexpr auto kPatience = std::chrono::seconds(5);

// In one order for all: whoever ends sees the run, or the run sees that it is too late.
std::atomic<bool> g_ending{false};
std::atomic<uint32_t> g_running{0};

}  // namespace

Status begin_run() noexcept {
  g_running.fetch_add(1);
  if (!g_ending.load()) return {};
  g_running.fetch_sub(1);
  return Status(Code::kClosed, "the process ends; no more runs are started");
}

void end_run() noexcept { g_running.fetch_sub(1); }

void forget_runs() noexcept { g_running.store(0); }

void end_runs() noexcept {
  g_ending.store(true);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (g_running.load() > 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace qaickit::rt
