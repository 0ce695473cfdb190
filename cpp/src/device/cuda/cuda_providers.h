#pragma once

#include "device/cuda/cuda_session.h"

// The options of ONNX Runtime's providers for GPUs.
namespace qaickit::cuda {

// What a program has to do with its provider.
struct ProviderWishes {
  CudaStream stream = nullptr;
  bool graphs = false;  // CUDA's
  bool fp16 = false;    // TensorRT's: kernels in fp16, and in int8
  bool int8 = false;
};

// The CUDA provider, which also computes what another leaves.
Status add_cuda(const Gpu& gpu, const Settings& settings, const ProviderWishes& wishes,
                ort::OrtSessionOptions* session);

// The TensorRT provider, opening the libraries that it needs. Its engines are kept in
// settings.engine_cache, in a directory of the program's content.
Status add_tensorrt(const Gpu& gpu, const Settings& settings, const ProviderWishes& wishes,
                    const Qpc& qpc, ort::OrtSessionOptions* session);

}  // namespace qaickit::cuda
