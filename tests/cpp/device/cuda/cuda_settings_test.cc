#include <gtest/gtest.h>

#include "container/qpc_bytes.h"
#include "device/cuda/cuda_session.h"
#include "support/result.h"

namespace qaickit::cuda {
namespace {

using test::is_error;
using test::value_of;

TEST(CudaSettings, Defaults) {
  const Settings settings = value_of(read_settings({}));
  EXPECT_FALSE(settings.tensorrt);
  EXPECT_EQ(settings.graphs, Graphs::kWherePossible);
  EXPECT_TRUE(settings.tf32);
  EXPECT_EQ(settings.gpu_mem_limit, 0u);
}

TEST(CudaSettings, AreRead) {
  const Settings settings =
      value_of(read_settings({{"cuda_graph", "1"}, {"tf32", "0"}, {"gpu_mem_limit", "1e9"}}));
  EXPECT_EQ(settings.graphs, Graphs::kAlways);
  EXPECT_FALSE(settings.tf32);
  EXPECT_EQ(settings.gpu_mem_limit, 1'000'000'000u);
  EXPECT_EQ(value_of(read_settings({{"cuda_graph", "0"}})).graphs, Graphs::kNever);
}

// Its graphs would be replayed with another ExecObj's addresses.
TEST(CudaSettings, TensorRtRunsWithoutGraphs) {
  const Settings settings = value_of(read_settings({{"provider", "tensorrt"}}));
  EXPECT_TRUE(settings.tensorrt);
  EXPECT_EQ(settings.graphs, Graphs::kNever);
  EXPECT_TRUE(is_error(read_settings({{"provider", "tensorrt"}, {"cuda_graph", "1"}}).status(),
                       Code::kInvalidArgument, "cuda_graph", "leave it out"));
  EXPECT_TRUE(is_error(read_settings({{"provider", "tensorrt"}, {"tf32", "0"}}).status(),
                       Code::kInvalidArgument, "NVIDIA_TF32_OVERRIDE"));
}

TEST(CudaSettings, OnlyTensorRtHasEngines) {
  const DeviceSettings wanted = {{"engine_cache", "/tmp/engines"}};
  EXPECT_TRUE(is_error(read_settings(wanted).status(), Code::kInvalidArgument, "engine_cache",
                       "provider=tensorrt"));
  const Settings settings =
      value_of(read_settings({{"engine_cache", "/tmp/engines"}, {"provider", "tensorrt"}}));
  EXPECT_EQ(settings.engine_cache, "/tmp/engines");
}

TEST(CudaSettings, WrongOnesAreRefusedByName) {
  EXPECT_TRUE(is_error(read_settings({{"provider", "rocm"}}).status(), Code::kInvalidArgument,
                       "provider", "'rocm'"));
  EXPECT_TRUE(is_error(read_settings({{"cuda_graph", "yes"}}).status(), Code::kInvalidArgument,
                       "cuda_graph", "'yes'"));
  EXPECT_TRUE(is_error(read_settings({{"tf32", "2"}}).status(), Code::kInvalidArgument, "tf32"));
  EXPECT_TRUE(is_error(read_settings({{"gpu_mem_limit", "-1"}}).status(), Code::kInvalidArgument,
                       "gpu_mem_limit"));
  EXPECT_TRUE(is_error(read_settings({{"streams", "3"}}).status(), Code::kInvalidArgument,
                       "'streams'", "cuda_graph"));
}

std::string precision(const std::string& policy, bool fp16_graph, bool tf32, bool tensorrt,
                      bool converted = true) {
  test::SmallContent small;
  const auto fp16 = test::bytes_of("the graph in fp16");
  small.content.manifest.precision = policy;
  if (converted) small.content.manifest.options["convert_to_fp16"] = "true";
  if (fp16_graph) small.content.fp16_model = fp16;
  const auto qpc = value_of(Qpc::from_bytes(value_of(build_qpc(small.content)), "a.bin"));
  return precision_of(*qpc, tf32, tensorrt);
}

TEST(CudaPrecision, IsThatOfTheGraphThatRuns) {
  EXPECT_EQ(precision("fp32", false, false, false), "fp32");
  EXPECT_EQ(precision("fp32", false, true, false), "fp32 (TF32)");
  EXPECT_EQ(precision("fp32", true, true, false), "fp32 (TF32), some nodes in fp16");
  EXPECT_EQ(precision("fp16", true, true, false), "fp16");
}

// A model of fp16 has no second graph; nor has one of whose nodes none can be in fp16.
TEST(CudaPrecision, WithoutAGraphInFp16) {
  EXPECT_EQ(precision("fp16", false, false, false, /*converted=*/false), "fp16");
  EXPECT_EQ(precision("fp16", false, false, false, /*converted=*/true), "fp32");
}

TEST(CudaPrecision, OfIntegersIsThatOfTheProvider) {
  EXPECT_EQ(precision("int8", false, true, false), "int8 computed in fp32 (TF32)");
  EXPECT_EQ(precision("int8", false, true, true), "int8");
  EXPECT_EQ(precision("int8", true, false, true), "int8, other nodes in fp16");
  EXPECT_EQ(precision("int8", true, false, false), "int8 computed in fp32, other nodes in fp16");
}

}  // namespace
}  // namespace qaickit::cuda
