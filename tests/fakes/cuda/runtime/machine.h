#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "fake_cuda.h"
#include "fake_cudart.h"
#include "runtime/config.h"
#include "runtime/counter.h"
#include "runtime/memory.h"
#include "runtime/stream.h"

// What the program holds. Never freed, so that a handle that was destroyed is known as such.
struct FakeCudaStream {
  std::shared_ptr<fakecuda::Stream> stream;  // null: destroyed
};
struct FakeCudaEvent {
  fakecuda::Device* device = nullptr;  // null: destroyed
  std::mutex mutex;
  fakecuda::Position position;
};

namespace fakecuda {

class Machine;

class Device {
 public:
  Device(Machine& machine, int id) : machine_(machine), id(id) {}

  // The error that everything here ends with from now on; 0: none.
  int lost() const noexcept { return lost_.load(std::memory_order_relaxed); }
  void lose();
  // That error, once nothing runs here any more: with it the context of the device is gone.
  int status();

  // A stream's thread around an operation, and the time that it takes.
  void begin() noexcept { most_busy.raise_to(busy_.add()); }
  void end() noexcept { busy_.sub(); }
  void spend(uint64_t us);

  // Puts an operation on a stream of this device, in the order that the legacy default stream asks
  // for (CUDA Runtime API, "Stream synchronization behavior": it waits for all blocking streams,
  // and they for it).
  Position issue(Stream& stream, Operation operation);
  std::shared_ptr<Stream> default_stream();
  std::shared_ptr<Stream> create_stream(bool blocking);
  // Until all that was issued so far is done.
  void synchronize();

  Machine& machine_;
  const int id;
  Counter allocations, live_allocations, live_bytes, live_streams, copies, pageable_copies, fills;
  Counter launches, default_stream_ops, stream_waits, most_busy;
  // Since faults were set.
  Counter fault_allocations, fault_launches, fault_copies;

 private:
  std::atomic<int> lost_{0};
  Counter busy_, spent_;
  std::mutex mutex_;
  std::shared_ptr<Stream> default_stream_;
  std::vector<std::weak_ptr<Stream>> streams_;
};

// A process's view of CUDA. Never freed: streams' threads outlive everything.
class Machine {
 public:
  static Machine& get();
  static void reload();

  bool set_faults(const char* plan);
  FaultPlan faults() const;
  void hang(uint64_t plan);  // until the plan of that number is replaced

  void misuse(std::string what);
  uint64_t misuses(char* text, size_t bytes) const;

  cudaStream_t add_stream(std::shared_ptr<Stream> stream);
  cudaEvent_t add_event(Device& device);

  const Config config;
  std::vector<std::unique_ptr<Device>> devices;
  MemoryMap memory;
  Counter pinned_allocations, live_pinned, live_events, fault_pinned;

  // A capture in the global mode; at most one at a time.
  std::atomic<Stream*> capturing{nullptr};
  std::atomic<std::thread::id> capturer{};
  std::atomic<bool> capture_invalid{false};

 private:
  Machine();
  mutable std::mutex mutex_;
  std::condition_variable faults_changed_;
  FaultPlan faults_;
  uint64_t misuses_ = 0;
  std::string first_misuse_;
  std::vector<std::unique_ptr<FakeCudaStream>> streams_;
  std::vector<std::unique_ptr<FakeCudaEvent>> events_;
};

}  // namespace fakecuda
