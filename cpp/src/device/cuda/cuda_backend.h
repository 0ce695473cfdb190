#pragma once

#include "qaickit/device.h"

namespace qaickit {

// NVIDIA GPUs through ONNX Runtime's CUDA and TensorRT providers; asynchronous. One ORT session for
// each program on a GPU, shared by its activations. Not run on hardware. Settings:
//   provider       cuda (default), or tensorrt where it is installed
//   cuda_graph     auto (default): where ONNX Runtime can capture the program; 1: or fail; 0
//   tf32           1 (default): products of fp32 in TF32; 0: in fp32
//   engine_cache   directory for TensorRT's engines; empty (default): they are not kept
//   gpu_mem_limit  bytes that ONNX Runtime may take for weights and activations; 0 (default): all
Result<std::vector<DeviceInfo>> enumerate_cuda();
Result<std::shared_ptr<Device>> create_cuda(int id);
std::vector<std::pair<std::string, std::string>> cuda_details();

constexpr Backend cuda_backend() {
  return {"cuda",
          "an NVIDIA GPU, through ONNX Runtime (not run on hardware); has to be named",
          enumerate_cuda,
          create_cuda,
          cuda_details,
          /*only_by_name=*/true};
}

}  // namespace qaickit
