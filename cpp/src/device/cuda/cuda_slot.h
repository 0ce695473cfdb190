#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "device/cuda/cuda_gpu.h"
#include "device/ort/ort_session.h"
#include "qaickit/device.h"

namespace qaickit::cuda {

// What is loaded of a program on a GPU, for ONNX Runtime.
struct Loaded {
  std::shared_ptr<const Qpc> qpc;
  ort::Owned<ort::OrtMemoryInfo> device_memory;
  ort::Owned<ort::OrtMemoryInfo> host_memory;
  ort::Owned<ort::OrtSession> session;
  std::vector<char> on_host;  // of each tensor: ONNX Runtime uses it in the host's memory
  bool graphs = false;        // runs are captured into CUDA graphs
};

// The GPU's half of an ExecObj: pinned host memory and device memory of the same layout, the
// events of a run, and for each set of shapes what ONNX Runtime is told once. Addresses never
// change, so a captured graph stays right; and since ONNX Runtime keeps graphs until the session
// ends, slots are kept as well, and used again.
//
// `state` is the number of a run and a phase, which settles who tells its Completion:
//   idle -> in flight     by enqueue
//   in flight -> ending   by the lane's threads: they tell, and then it is idle
//   in flight -> retired  by cancel(), which tells; the lane makes it idle when the run has ended
class Slot {
 public:
  enum Phase : uint64_t { kIdle, kInFlight, kEnding, kRetired, kPhases };
  static uint64_t phase(uint64_t state) noexcept { return state % kPhases; }
  static uint64_t with_phase(uint64_t state, Phase phase) noexcept {
    return state - state % kPhases + phase;
  }

  // `loaded` outlives it.
  static Result<std::unique_ptr<Slot>> create(Gpu& gpu, const Loaded& loaded);
  ~Slot();
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

  // Tells ONNX Runtime of a set's tensors, once; further calls cost nothing. `graph_id`: of the
  // graph that its runs are captured into.
  Status bind(size_t set, int graph_id);
  bool is_bound(size_t set) const noexcept { return sets_[set].binding != nullptr; }
  // Frees ONNX Runtime's objects, which have to go before the session does.
  void unbind() noexcept { sets_.clear(); }
  void unbind(size_t set) noexcept { sets_[set] = {}; }
  // As new: host memory zero; and device memory, on a stream.
  void clear() noexcept;
  Status clear_device(CudaStream stream) noexcept;

  // Whether a tensor never goes to the device: inputs have to be in host(t), outputs come there.
  bool on_host(size_t t) const noexcept { return loaded_.on_host[t]; }
  // An input in host(t), or in pinned memory of the caller's, to the device.
  Status copy_in(size_t t, const std::byte* from, size_t bytes, CudaStream stream) noexcept;
  // Puts a run's kernels on the compute stream.
  Status run(size_t set) noexcept;
  // Outputs to the host, in a run's set of shapes.
  Status copy_out(CudaStream stream) noexcept;
  void copy_to_targets() noexcept;

  std::byte* host(size_t t) const noexcept { return host_ + offsets_[t]; }

  // Where an output is wanted; null: in host(t). The device always writes host(t): it cannot be
  // stopped, and must not write into a caller's memory after the run was given up.
  struct Target {
    std::byte* to = nullptr;
    size_t bytes = 0;
  };

  std::atomic<uint64_t> state{kIdle};
  CudaEvent copied_in = nullptr;
  CudaEvent computed = nullptr;
  CudaEvent done = nullptr;
  // Of the run in flight; written before it is handed to the lane.
  Completion* completion = nullptr;
  size_t set = 0;
  std::vector<Target> targets;  // of each output
  // No run of a caller's but one that the lane makes the set ready with.
  std::atomic<bool> warming{false};
  Status warmed_up;       // how it ended
  bool orphaned = false;  // its ExecObj is gone; under the lane's mutex

 private:
  struct ShapeSet {
    std::vector<ort::Owned<ort::OrtValue>> values;
    ort::Owned<ort::OrtRunOptions> options;
    ort::Owned<ort::OrtIoBinding> binding;
  };

  Slot(Gpu& gpu, const Loaded& loaded) : gpu_(gpu), loaded_(loaded) {}
  Status init();
  std::byte* device(size_t t) const noexcept { return device_ + offsets_[t]; }
  size_t num_inputs() const noexcept { return offsets_.size() - 1 - targets.size(); }

  Gpu& gpu_;
  const Loaded& loaded_;
  std::vector<size_t> offsets_;  // of each tensor, in host_ and device_
  size_t bytes_ = 0;
  std::byte* host_ = nullptr;
  std::byte* device_ = nullptr;
  std::vector<ShapeSet> sets_;
};

}  // namespace qaickit::cuda
