#include "runtime/machine.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "runtime/sanitizer.h"

namespace fakecuda {
namespace {

std::atomic<Machine*> machine{nullptr};
std::mutex machine_mutex;

}  // namespace

void Device::lose() {
  int none = 0;
  lost_.compare_exchange_strong(none, machine_.faults().code, std::memory_order_relaxed);
}

int Device::status() {
  const int error = lost();
  if (error) synchronize();
  return error;
}

void Device::spend(uint64_t us) {
  if (const uint64_t jitter = machine_.config.jitter_us) {
    us += spent_.add() * 0x9e3779b97f4a7c15u % (jitter + 1);
  }
  if (us) std::this_thread::sleep_for(std::chrono::microseconds(us));
}

Position Device::issue(Stream& stream, Operation operation) {
  if (stream.blocking()) {
    std::vector<Position> before;
    {
      const Hidden hidden;
      const std::lock_guard lock(mutex_);
      const bool is_default = &stream == default_stream_.get();
      if (is_default) {
        default_stream_ops.add();
        for (const auto& weak : streams_) {
          const auto other = weak.lock();
          if (other && other->blocking()) before.push_back(other->last());
        }
      } else if (default_stream_) {
        before.push_back(default_stream_->last());
      }
    }
    for (Position& position : before) {
      Operation wait;
      wait.until = std::move(position);
      stream.push(std::move(wait));
    }
  }
  return stream.push(std::move(operation));
}

std::shared_ptr<Stream> Device::default_stream() {
  const std::lock_guard lock(mutex_);
  if (!default_stream_) default_stream_ = Stream::start(*this, true);
  return default_stream_;
}

std::shared_ptr<Stream> Device::create_stream(bool blocking) {
  auto stream = Stream::start(*this, blocking);
  const std::lock_guard lock(mutex_);
  std::erase_if(streams_, [](const auto& weak) { return weak.expired(); });
  streams_.push_back(stream);
  live_streams.add();
  return stream;
}

void Device::synchronize() {
  std::vector<Position> all;
  {
    const std::lock_guard lock(mutex_);
    if (default_stream_) all.push_back(default_stream_->last());
    for (const auto& weak : streams_) {
      if (const auto stream = weak.lock()) all.push_back(stream->last());
    }
  }
  for (const Position& position : all) position.stream->wait(position.count);
}

Machine& Machine::get() {
  Machine* found = machine.load(std::memory_order_acquire);
  if (found) return *found;
  const std::lock_guard lock(machine_mutex);
  if (!machine.load()) machine.store(new Machine);
  return *machine.load();
}

void Machine::reload() {
  const std::lock_guard lock(machine_mutex);
  // The old one stays for threads that still work on it.
  static auto* const old = new std::vector<Machine*>;
  if (machine.load()) old->push_back(machine.load());
  machine.store(new Machine, std::memory_order_release);
}

Machine::Machine() : config(read_config()) {
  for (uint64_t id = 0; id < config.devices; ++id) {
    devices.push_back(std::make_unique<Device>(*this, static_cast<int>(id)));
  }
  if (set_faults(config.faults.c_str())) return;
  std::fprintf(stderr, "fake CUDA: QAICKIT_FAKECUDA_FAULTS is '%s'; see fakecudaSetFaults\n",
               config.faults.c_str());
  std::abort();
}

bool Machine::set_faults(const char* plan) {
  const auto parsed = parse_faults(plan ? plan : "");
  if (!parsed) return false;
  publish(this);  // to kernels that hang until now
  {
    const std::lock_guard lock(mutex_);
    const uint64_t number = faults_.number + 1;
    faults_ = *parsed;
    faults_.number = number;
    for (const auto& device : devices) {
      for (auto* count :
           {&device->fault_allocations, &device->fault_launches, &device->fault_copies}) {
        count->clear();
      }
    }
    fault_pinned.clear();
  }
  faults_changed_.notify_all();
  return true;
}

FaultPlan Machine::faults() const {
  const Hidden hidden;
  const std::lock_guard lock(mutex_);
  return faults_;
}

void Machine::hang(uint64_t plan) {
  {
    const Hidden hidden;
    std::unique_lock lock(mutex_);
    faults_changed_.wait(lock, [&] { return faults_.number != plan; });
  }
  happens_after(this);
}

void Machine::misuse(std::string what) {
  const std::lock_guard lock(mutex_);
  if (misuses_++ == 0) first_misuse_ = std::move(what);
}

uint64_t Machine::misuses(char* text, size_t bytes) const {
  const std::lock_guard lock(mutex_);
  if (text && bytes > 0) std::snprintf(text, bytes, "%s", first_misuse_.c_str());
  return misuses_;
}

cudaStream_t Machine::add_stream(std::shared_ptr<Stream> stream) {
  auto handle = std::make_unique<FakeCudaStream>();
  handle->stream = std::move(stream);
  const std::lock_guard lock(mutex_);
  return streams_.emplace_back(std::move(handle)).get();
}

cudaEvent_t Machine::add_event(Device& device) {
  auto handle = std::make_unique<FakeCudaEvent>();
  handle->device = &device;
  live_events.add();
  const std::lock_guard lock(mutex_);
  return events_.emplace_back(std::move(handle)).get();
}

}  // namespace fakecuda
