#pragma once

#include <cstdint>
#include <string>

#include "device/cuda/cuda_slot.h"
#include "qaickit/device.h"

namespace qaickit::cuda {

enum class Graphs { kWherePossible, kAlways, kNever };

struct Settings {
  bool tensorrt = false;
  Graphs graphs = Graphs::kWherePossible;
  bool tf32 = true;
  uint64_t gpu_mem_limit = 0;  // bytes of ONNX Runtime's arena; 0: all there is
  std::string engine_cache;    // directory for TensorRT's engines; empty: they are not kept
};

// Error kInvalidArgument names the setting, what was expected and what came.
Result<Settings> read_settings(const DeviceSettings& settings);

// A session of ONNX Runtime's on a GPU and a stream: on the fp16 graph of a QPC that has one, else
// on its graph. `graphs`: CUDA graphs.
Result<Loaded> load_session(Gpu& gpu, CudaStream stream, std::shared_ptr<const Qpc> qpc,
                            const ProgramOptions& options, const Settings& settings, bool graphs);

// What a QPC with a host half is computed in, on a GPU that uses TF32 or not.
std::string precision_of(const Qpc& qpc, bool tf32, bool tensorrt);

}  // namespace qaickit::cuda
