#include <gtest/gtest.h>

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

}  // namespace
}  // namespace qaickit::cuda
