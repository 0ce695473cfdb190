#include <gtest/gtest.h>

#include <cstring>

#include "container/message_io.h"
#include "container/network_desc.h"
#include "container/network_desc.pb.h"
#include "sim.h"
#include "support/completions.h"
#include "support/programs.h"
#include "support/result.h"

namespace qaickit {
namespace {

using test::AwaitCompletion;
using test::echo_program;
using test::is_error;
using test::is_ok;
using test::Sim;
using test::value_of;

constexpr uint32_t kInputAt = 32;
constexpr uint32_t kOutputAt = 8;

void add_copy(aicnwdesc::IOBinding* binding, aicnwdesc::direction direction, uint32_t buffer,
              uint32_t offset) {
  binding->clear_transformseq();
  aicnwdesc::transform* copy = binding->add_transformseq();
  copy->set_kind(aicnwdesc::CopyDMABufferTransform);
  copy->set_type(binding->io_initial().type());
  *copy->mutable_dims() = binding->io_initial().dims();
  copy->mutable_copy_dma_buffer()->set_dir(direction);
  copy->mutable_copy_dma_buffer()->set_buffer_num(buffer);
  copy->mutable_copy_dma_buffer()->set_offset(offset);
}

// A program that is copied into and out of DMA buffers, as the vendor's compiler describes it.
std::shared_ptr<const Qpc> dma_qpc() {
  QpcContent content;
  content.program = echo_program();
  content.manifest.producer = "qaickit tests";
  content.manifest.precision = "fp32";
  content.onnx_model = as_byte_span("not a graph");
  const auto plain = value_of(encode_network_desc(content.program));
  aicnwdesc::networkDescriptor network;
  EXPECT_TRUE(network.ParseFromArray(plain.data(), static_cast<int>(plain.size())));
  add_copy(network.mutable_inputs(0), aicnwdesc::In, 0, kInputAt);
  add_copy(network.mutable_outputs(0), aicnwdesc::Out, 1, kOutputAt);
  network.clear_dma_buffers();
  for (const auto direction : {aicnwdesc::In, aicnwdesc::Out}) {
    aicnwdesc::DMABuffer* buffer = network.add_dma_buffers();
    buffer->set_size(64);
    buffer->set_dir(direction);
  }
  const std::string desc = network.SerializeAsString();
  content.extra = {{kNetworkDescSegment, as_byte_span(desc)}};
  return value_of(Qpc::from_bytes(value_of(build_qpc(content)), "dma.bin"));
}

TEST(QaicZeroCopy, BuffersAreTheDriversOwn) {
  Sim sim;
  {
    const auto device = value_of(value_of(find_backend("qaic"))->create(0));
    ProgramOptions options;
    options.settings = {{"skip_stage", "dma"}};
    const auto program = value_of(device->load(dma_qpc(), options));
    const auto activation = value_of(program->activate());
    const auto exec = value_of(activation->create_exec_obj());
    const std::span<std::byte> input = exec->input(0);
    const std::span<std::byte> output = exec->output(0);
    ASSERT_EQ(input.size(), 32u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(input.data()) % 4096, kInputAt);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(output.data()) % 4096, kOutputAt);
    std::memset(input.data(), 3, input.size());
    AwaitCompletion done;
    ASSERT_TRUE(is_ok(exec->enqueue(done)));
    ASSERT_TRUE(is_ok(done.wait()));
    EXPECT_EQ(std::memcmp(output.data(), input.data(), input.size()), 0);

    // The caller's memory is copied, at each run.
    int64_t in[4] = {};
    int64_t out[4] = {};
    ASSERT_TRUE(is_ok(exec->bind_input(0, in)));
    ASSERT_TRUE(is_ok(exec->bind_output(0, out)));
    in[1] = 5;
    ASSERT_TRUE(is_ok(exec->enqueue(done)));
    ASSERT_TRUE(is_ok(done.wait(2)));
    EXPECT_EQ(out[1], 5);
    ASSERT_TRUE(is_ok(exec->bind_input(0, nullptr)));
    EXPECT_EQ(exec->input(0).data(), input.data());
  }
  EXPECT_EQ(sim.live_objects(), 0u);
}

TEST(QaicZeroCopy, InASession) {
  Sim sim;
  SessionOptions options;
  options.backend = "qaic";
  options.device_settings = {{"skip_stage", "dma"}};
  const auto session = value_of(Session::open(dma_qpc(), options));
  const int64_t in[4] = {1, 2, 3, 4};
  int64_t out[4] = {};
  const ConstBuffer input{in, sizeof in};
  const MutableBuffer output{out, sizeof out};
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(is_ok(session->run({&input, 1}, {&output, 1})));
  EXPECT_EQ(out[3], 4);
  options.device_settings = {{"skip_stage", "convert"}};
  EXPECT_TRUE(is_error(Session::open(dma_qpc(), options).status(), Code::kInvalidArgument,
                       "convert", "default, dma"));
}

// After a lost run the ExecObj goes on with other DMA buffers.
TEST(QaicZeroCopy, AfterARunThatWasGivenUp) {
  Sim sim;
  {
    const auto device = value_of(value_of(find_backend("qaic"))->create(0));
    ProgramOptions options;
    options.settings = {{"skip_stage", "dma"}};
    const auto program = value_of(device->load(dma_qpc(), options));
    const auto activation = value_of(program->activate());
    const auto exec = value_of(activation->create_exec_obj());
    const std::byte* const before = exec->input(0).data();
    sim.faults("lost=1");
    AwaitCompletion done;
    ASSERT_TRUE(is_ok(exec->enqueue(done)));
    exec->cancel();
    EXPECT_TRUE(is_error(done.wait(), Code::kCancelled, "qaic:0"));
    sim.faults("");
    EXPECT_NE(exec->input(0).data(), before);
    std::memset(exec->input(0).data(), 6, 32);
    ASSERT_TRUE(is_ok(exec->enqueue(done)));
    EXPECT_TRUE(is_ok(done.wait(2)));
    EXPECT_EQ(exec->output(0)[31], std::byte{6});
    exec->cancel();  // nothing is running
    EXPECT_EQ(done.calls(), 2u);
  }
  EXPECT_EQ(sim.live_objects(), 0u);
}

}  // namespace
}  // namespace qaickit
