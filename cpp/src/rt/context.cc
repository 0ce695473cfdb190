#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <map>
#include <mutex>

#include "base/aligned_array.h"
#include "base/cat.h"
#include "container/io_desc.h"
#include "qaickit/rt.h"
#include "rt/runs.h"

namespace qaickit::rt {
namespace {

// relaxed: a child has one thread when this is written, and starts with what its parent had read.
std::atomic<uint32_t> g_forks{0};
[[maybe_unused]] const int g_counting = ::pthread_atfork(nullptr, nullptr, [] {
  g_forks.fetch_add(1, std::memory_order_relaxed);
  forget_runs();
});

}  // namespace

uint32_t forks() noexcept { return g_forks.load(std::memory_order_relaxed); }

QStatus to_qstatus(const Status& status) noexcept {
  switch (status.code()) {
    case Code::kOk: return QStatus::kSuccess;
    case Code::kInvalidArgument:
    case Code::kFailedPrecondition:
    case Code::kClosed: return QStatus::kInval;
    case Code::kNotFound:
    case Code::kUnavailable: return QStatus::kNoDev;
    case Code::kPermissionDenied: return QStatus::kPerm;
    case Code::kUnsupported: return QStatus::kUnsupported;
    case Code::kResourceExhausted: return QStatus::kNoSpc;
    case Code::kTimedOut: return QStatus::kTimedOut;
    case Code::kDeviceError: return QStatus::kDevError;
    case Code::kDataLoss:
    case Code::kCancelled:
    case Code::kInternal: return QStatus::kError;
  }
  return QStatus::kError;
}

Buffer Buffer::allocate(size_t bytes) {
  auto memory = std::make_shared<AlignedBuffer>(bytes);
  std::byte* const data = memory->data();
  return {std::move(memory), data, bytes};
}

Result<std::vector<std::byte>> io_descriptor(const Qpc& qpc) {
  return encode_io_desc(*qpc.find(kNetworkDescSegment));
}

Result<std::vector<BufferMapping>> buffer_mappings(const Qpc& qpc) {
  QAICKIT_ASSIGN_OR_RETURN(const auto rows, derive_buffer_mappings(*qpc.find(kNetworkDescSegment)));
  std::vector<BufferMapping> mappings;
  for (const auto& row : rows) {
    mappings.push_back({row.name, static_cast<uint32_t>(mappings.size()), row.is_input, row.size,
                        row.is_partial_allowed, row.data_type});
  }
  return mappings;
}

struct Context::State {
  const uint32_t made_at = forks();
  std::atomic<LogLevel> level{LogLevel::kWarn};
  std::mutex mutex;
  std::map<int, std::shared_ptr<Device>> devices;
};

Context::Context(const Backend* backend, std::vector<int> ids)
    : backend_(backend), ids_(std::move(ids)), state_(std::make_shared<State>()) {}

Result<std::shared_ptr<Context>> Context::create(std::vector<int> ids, const std::string& backend) {
  QAICKIT_ASSIGN_OR_RETURN(const Backend* found,
                           backend.empty() ? default_backend() : find_backend(backend));
  return std::shared_ptr<Context>(new Context(found, std::move(ids)));
}

Status Context::check(int id) const {
  if (ids_.empty() || std::ranges::find(ids_, id) != ids_.end()) return {};
  return Status(Code::kNotFound, cat("device ", id, " is not one of the context's"));
}

Status Context::check_process() const {
  if (state_->made_at == forks()) return {};
  return Status(Code::kFailedPrecondition,
                "this was made in the process that this one was forked from, and devices do not "
                "survive that; make context, program and queue in the child, or start children "
                "with multiprocessing's 'spawn'");
}

Result<std::shared_ptr<Device>> Context::device(int id) {
  QAICKIT_RETURN_IF_ERROR(check_process());
  QAICKIT_RETURN_IF_ERROR(check(id));
  const std::lock_guard lock(state_->mutex);
  std::shared_ptr<Device>& device = state_->devices[id];
  if (!device) {
    QAICKIT_ASSIGN_OR_RETURN(device, backend_->create(id));
  }
  return device;
}

void Context::set_log_level(LogLevel level) noexcept {
  state_->level.store(level, std::memory_order_relaxed);
}

void Context::log(LogLevel level, std::string_view text) const {
  if (level < state_->level.load(std::memory_order_relaxed)) return;
  constexpr std::string_view kNames[] = {"DEBUG", "INFO", "WARN", "ERROR"};
  const std::string line = cat("[qaicrt] ", kNames[static_cast<size_t>(level)], ": ", text, "\n");
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace qaickit::rt
