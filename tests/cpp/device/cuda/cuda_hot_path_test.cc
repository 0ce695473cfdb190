// The path of a query through the cuda device, counted: after warm-up no allocation, of the host's
// memory or of the GPU's. The fakes echo in ONNX Runtime's place and allocate nothing then, so what
// is counted is qaickit's own.

#include "device/cuda/rig.h"
#include "support/allocations.h"
#include "support/answer_log.h"

namespace qaickit::test {
namespace {

TEST(CudaHotPath, NothingIsAllocatedAfterWarmUp) {
  REQUIRE_FAKE_GPUS();
  for (const char* graphs : {"0", "1"}) {
    for (const int32_t batch : {1, 8}) {
      const Gpus gpus{{"ORT_COMPUTE", "echo"}};
      constexpr size_t kWarm = 2000;
      constexpr size_t kCounted = 6000;
      AnswerLog log(kWarm + kCounted, static_cast<size_t>(batch));
      const std::vector<Sample> samples = samples_from(0, kWarm + kCounted);
      const auto session = open_cuda(cuda_options({}, 2, 4, {{"cuda_graph", graphs}}), batch);
      ASSERT_TRUE(is_ok(session->start(log, {})));
      ASSERT_TRUE(is_ok(session->submit({samples.data(), kWarm})));
      log.wait_answered(kWarm);
      const FakeCudaCounters before = gpus.counters();
      const uint64_t allocations = allocations_during([&] {
        EXPECT_TRUE(session->submit({samples.data() + kWarm, kCounted}).ok());
        log.wait_all();
      });
      EXPECT_EQ(allocations, 0u) << "batch " << batch << ", cuda_graph " << graphs;
      EXPECT_EQ(gpus.counters().allocations, before.allocations);
      EXPECT_EQ(gpus.counters().pinned_allocations, before.pinned_allocations);
      EXPECT_GE(gpus.counters().launches - before.launches, kCounted / 8);
      EXPECT_TRUE(is_ok(session->stop()));
      EXPECT_TRUE(log.each_once());
      EXPECT_EQ(log.codes(), (std::map<Code, size_t>{{Code::kOk, kWarm + kCounted}}));
    }
  }
}

TEST(CudaHotPath, NothingIsAllocatedByARunOfTheCallers) {
  REQUIRE_FAKE_GPUS();
  const Gpus gpus{{"ORT_COMPUTE", "echo"}};
  const auto session = open_cuda(cuda_options());
  const std::vector<int64_t> in{1, 2, 3, 4};
  std::vector<int64_t> out(4);
  const ConstBuffer input{in.data(), 32};
  const MutableBuffer output{out.data(), 32};
  const auto run_often = [&] {
    for (int i = 0; i < 500; ++i) {
      out[3] = 0;
      if (!session->run({&input, 1}, {&output, 1}).ok() || out[3] != 4) ADD_FAILURE();
    }
  };
  run_often();
  EXPECT_EQ(allocations_during(run_often), 0u);
}

}  // namespace
}  // namespace qaickit::test
