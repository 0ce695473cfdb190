// What is said where something is missing. Libraries are opened once for a process: every test is
// one of its own under ctest.

#include <gtest/gtest.h>

#include "qaickit/device.h"
#include "support/environment.h"
#include "support/gpus.h"
#include "support/result.h"

namespace qaickit {
namespace {

using test::Gpus;
using test::is_error;
using test::is_ok;
using test::value_of;

Status cuda_status() { return value_of(find_backend("cuda"))->enumerate().status(); }

// A second test in the same process finds the libraries of the first.
#define ONE_TEST_A_PROCESS() \
  static bool used = false;  \
  if (std::exchange(used, true)) GTEST_SKIP() << "libraries are loaded once for a process"

class CudaMissing : public ::testing::Test {
 protected:
  void SetUp() override {
    ONE_TEST_A_PROCESS();
    REQUIRE_FAKE_GPUS();
  }
};

TEST_F(CudaMissing, NothingIsMissing) {
  const Gpus gpus{{"DEVICES", "2"}};
  const Backend& backend = *value_of(find_backend("cuda"));
  const auto devices = value_of(backend.enumerate());
  ASSERT_EQ(devices.size(), 2u);
  EXPECT_NE(devices[1].name.find("Fake GPU, 2048 MiB, CUDA 12.8"), std::string::npos)
      << devices[1].name;
  EXPECT_FALSE(devices[1].simulated);
  std::string text;
  for (const auto& [name, value] : backend.details()) text += name + ": " + value + "\n";
  for (const char* part : {"provider: ", "libonnxruntime_providers_cuda.so", "runtime: CUDA 12.8, ",
                           "driver: CUDA 12.8, ", "device 1: Fake GPU", "PCI 0000:12:00.0",
                           "compute capability 9.0"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
  }
  EXPECT_TRUE(is_error(backend.create(2).status(), Code::kNotFound, "2"));
  EXPECT_NE(value_of(default_backend())->name, "cuda");
}

TEST_F(CudaMissing, ADriver) {
  setenv("QAICKIT_CUDA_DRIVER_LIB", "/nonexistent/libcuda.so.1", 1);
  EXPECT_TRUE(is_error(cuda_status(), Code::kUnavailable, "/nonexistent/libcuda.so.1", "driver"));
}

TEST_F(CudaMissing, ARuntime) {
  setenv("QAICKIT_CUDART_LIB", "/nonexistent/libcudart.so.12", 1);
  EXPECT_TRUE(is_error(cuda_status(), Code::kUnavailable, "/nonexistent/libcudart.so.12",
                       "pip install onnxruntime-gpu[cuda,cudnn]"));
}

TEST_F(CudaMissing, FunctionsOfTheRuntime) {
  setenv("QAICKIT_CUDART_LIB", "libm.so.6", 1);
  EXPECT_TRUE(is_error(cuda_status(), Code::kUnavailable, "cudaMalloc", "libm.so.6"));
}

TEST_F(CudaMissing, ANewerDriver) {
  const Gpus gpus{{"DRIVER", "11080"}};
  EXPECT_TRUE(is_error(cuda_status(), Code::kUnavailable, "CUDA 12.8", "CUDA 11.8",
                       "install a newer driver"));
}

TEST_F(CudaMissing, ARuntimeOfTheProvidersMajorVersion) {
  const Gpus gpus{{"RUNTIME", "13000"}, {"DRIVER", "13000"}};
  EXPECT_TRUE(is_error(cuda_status(), Code::kUnavailable, "13.0", "libcudart.so.12"));
}

TEST_F(CudaMissing, AGpu) {
  const Gpus gpus{{"DEVICES", "0"}};
  EXPECT_TRUE(is_error(cuda_status(), Code::kUnavailable, "cudaErrorNoDevice", "nvidia-smi"));
}

TEST_F(CudaMissing, TheProviderInOnnxRuntime) {
  const Gpus gpus{{"ORT_PROVIDERS", ""}};
  EXPECT_TRUE(is_error(cuda_status(), Code::kUnavailable, FAKE_ONNXRUNTIME, "has no CUDA provider",
                       "pip install onnxruntime-gpu"));
}

TEST_F(CudaMissing, ANewEnoughOnnxRuntime) {
  const Gpus gpus{{"ORT_VERSION", "1.21.1"}};
  EXPECT_TRUE(is_error(cuda_status(), Code::kUnavailable, "1.21.1", "1.22"));
}

TEST_F(CudaMissing, AnOnnxRuntimeThatTellsWhereItUsesInputs) {
  const Gpus gpus{{"ORT_VERSION", "1.22.1"}};
  EXPECT_TRUE(is_error(cuda_status(), Code::kUnavailable, "1.22.1", "1.23 or later"));
}

}  // namespace
}  // namespace qaickit
