#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "device/cuda/cuda_slot.h"
#include "queue/event_count.h"
#include "queue/mpmc_ring.h"

// The way of runs through a GPU, one for each program on it:
//
//   enqueue (caller)     copies in, on a stream of their own, which need no kernel to end first
//     -> submitter       waits for them on the compute stream, kernels, copies out on a third
//     stream
//     -> completer       waits for the run's event, then tells
//
// All calls into ONNX Runtime come from the submitter: its CUDA provider keeps captured graphs and
// library handles for each thread, and allows no two threads where graphs are captured.
namespace qaickit::cuda {

// What a lane's threads use. They share it, so that one that a GPU never lets go can be left
// behind.
struct LaneState {
  static constexpr size_t kMaxSlots = 4096;

  explicit LaneState(std::shared_ptr<Gpu> gpu);
  ~LaneState();
  Status make_streams();

  const std::shared_ptr<Gpu> gpu;
  const uint64_t spin_ns;
  CudaStream copy_in = nullptr;
  CudaStream compute = nullptr;
  CudaStream copy_out = nullptr;
  Loaded loaded;

  // A slot is in one of them at most, so none is ever full.
  MpmcRing<Slot*> submitted{kMaxSlots};
  MpmcRing<Slot*> running{kMaxSlots};
  EventCount work;     // submitted, or stopping
  EventCount started;  // running, or submitter_left
  EventCount ended;    // a run that was given up, or a warm-up
  std::atomic<bool> stopping{false};
  std::atomic<bool> submitter_left{false};
  std::atomic<bool> completer_left{false};
  std::atomic<uint32_t> completing{0};  // threads that are telling a Completion

  std::mutex mutex;
  std::vector<std::unique_ptr<Slot>> slots;
  std::vector<Slot*> free;
  int graphs_made = 0;
};

// Process-wide, for whatever allocates: ONNX Runtime captures graphs in CUDA's global mode, in
// which no thread may allocate memory until it has ended. Error kTimedOut: another holds it.
Result<std::unique_lock<std::mutex>> lock_setup();

class Lane {
 public:
  // `state` has its streams and what is loaded.
  explicit Lane(std::shared_ptr<LaneState> state);
  // Waits for the threads; leaves them behind, with their state, where the GPU holds them.
  ~Lane();

  LaneState& state() const noexcept { return *state_; }

  // A slot that is idle, zero and ready for runs with a set of shapes. Allocates where none is
  // free, then warms up, which captures the graph.
  Result<Slot*> acquire(size_t set);
  // Makes a slot ready for another set, which allocates at the first use of the set.
  Status prepare(Slot& slot, size_t set);
  // When its ExecObj dies; a run that is still going on is awaited by the lane.
  void give_back(Slot& slot) noexcept;

  // Hands a run over. Lock-free.
  void submit(Slot& slot) noexcept;
  // Waits until the run that was given up has ended.
  bool await_idle(const Slot& slot, uint64_t timeout_ns) noexcept;

 private:
  Slot* take_free();

  std::shared_ptr<LaneState> state_;
  std::thread submitter_;
  std::thread completer_;
};

}  // namespace qaickit::cuda
