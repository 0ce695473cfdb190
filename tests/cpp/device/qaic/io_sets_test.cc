// Programs whose pre- and post-processing a caller can skip, over the simulator with the host half:
// what comes out must be what the whole program makes of the same numbers.

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

#include "container/message_io.h"
#include "container/network_desc.h"
#include "container/network_desc.pb.h"
#include "sim.h"
#include "sim/onnx_graph.h"
#include "support/programs.h"
#include "support/result.h"

namespace qaickit {
namespace {

using test::is_error;
using test::is_ok;
using test::Sim;
using test::value_of;

using Dims = std::initializer_list<int>;

bool can_compute() { return std::getenv("QAICKIT_ONNXRUNTIME_LIB") != nullptr; }

void describe(aicnwdesc::IODescriptor* io, aicnwdesc::dataType type, Dims dims) {
  io->Clear();
  io->set_type(type);
  for (const int dim : dims) io->add_dims(dim);
}

aicnwdesc::transform* add_step(aicnwdesc::IOBinding* binding, aicnwdesc::transformKind kind,
                               aicnwdesc::dataType type, Dims dims, float scale = 0,
                               int offset = 0) {
  aicnwdesc::transform* step = binding->add_transformseq();
  step->set_kind(kind);
  step->set_type(type);
  for (const int dim : dims) step->add_dims(dim);
  step->set_scale(scale);
  step->set_offset(offset);
  return step;
}

void add_copy(aicnwdesc::IOBinding* binding, aicnwdesc::direction direction,
              aicnwdesc::dataType type, Dims dims, float scale = 0, int offset = 0) {
  aicnwdesc::transform* copy =
      add_step(binding, aicnwdesc::CopyDMABufferTransform, type, dims, scale, offset);
  copy->mutable_copy_dma_buffer()->set_dir(direction);
  copy->mutable_copy_dma_buffer()->set_buffer_num(direction == aicnwdesc::In ? 0 : 1);
  copy->mutable_copy_dma_buffer()->set_offset(16);
}

// float32 y = x + x, [2, 3], with the steps that `edit` gives it.
std::shared_ptr<const Qpc> doubling(void (*edit)(aicnwdesc::IOBinding* x, aicnwdesc::IOBinding* y),
                                    int32_t batch = 1) {
  QpcContent content;
  content.program.name = "doubling";
  content.program.inputs = {{"x", DType::kFloat32, {2, 3}}};
  content.program.outputs = {{"y", DType::kFloat32, {2, 3}}};
  content.program.batch_size = batch;
  content.manifest.producer = "qaickit tests";
  content.manifest.precision = "fp32";
  const std::string graph = test::doubling_graph({2, 3});
  content.onnx_model = as_byte_span(graph);
  const auto plain = value_of(encode_network_desc(content.program));
  aicnwdesc::networkDescriptor network;
  EXPECT_TRUE(network.ParseFromArray(plain.data(), static_cast<int>(plain.size())));
  network.mutable_inputs(0)->clear_transformseq();
  network.mutable_outputs(0)->clear_transformseq();
  edit(network.mutable_inputs(0), network.mutable_outputs(0));
  for (int i = 0; i < network.dma_buffers_size(); ++i) network.mutable_dma_buffers(i)->set_size(64);
  const std::string desc = network.SerializeAsString();
  content.extra = {{kNetworkDescSegment, as_byte_span(desc)}};
  return value_of(Qpc::from_bytes(value_of(build_qpc(content)), "doubling.bin"));
}

// The card takes uint8 and gives int8.
void quantised(aicnwdesc::IOBinding* x, aicnwdesc::IOBinding* y) {
  using namespace aicnwdesc;
  describe(x->mutable_io_transformed(), UInt8QTy, {2, 3});
  add_step(x, QuantizeTransform, UInt8QTy, {2, 3}, 0.5f, 10);
  add_copy(x, In, UInt8QTy, {2, 3}, 0.5f, 10);
  describe(y->mutable_io_initial(), Int8QTy, {2, 3});
  add_copy(y, Out, Int8QTy, {2, 3}, 1.0f, -3);
  add_step(y, DequantizeTransform, FloatTy, {2, 3}, 1.0f, -3);
}

// The card computes in float16, with rows and columns changed over.
void turned(aicnwdesc::IOBinding* x, aicnwdesc::IOBinding* y) {
  using namespace aicnwdesc;
  describe(x->mutable_io_transformed(), Float16Ty, {3, 2});
  add_step(x, ConvertTransform, Float16Ty, {2, 3});
  aicnwdesc::transform* transpose = add_step(x, TransposeTransform, Float16Ty, {3, 2});
  transpose->add_shuffle(1);
  transpose->add_shuffle(0);
  add_copy(x, In, Float16Ty, {3, 2});
  describe(y->mutable_io_initial(), Float16Ty, {3, 2});
  add_copy(y, Out, Float16Ty, {3, 2});
  transpose = add_step(y, TransposeTransform, Float16Ty, {2, 3});
  transpose->add_shuffle(1);
  transpose->add_shuffle(0);
  add_step(y, ConvertTransform, FloatTy, {2, 3});
}

// The card has a layout of its own.
void tiled(aicnwdesc::IOBinding* x, aicnwdesc::IOBinding* y) {
  using namespace aicnwdesc;
  describe(x->mutable_io_transformed(), FloatTy, {2, 3});
  add_step(x, ConvertToD32Transform, FloatTy, {2, 3})->set_layout(D32Untiled);
  add_copy(x, In, FloatTy, {2, 3});
  add_copy(y, Out, FloatTy, {2, 3});
}

SessionOptions skipping(const std::string& stage) {
  SessionOptions options;
  options.backend = "qaic";
  if (!stage.empty()) options.device_settings = {{"skip_stage", stage}};
  return options;
}

template <class Out, class In>
std::vector<Out> run(Session& session, const std::vector<In>& in) {
  std::vector<Out> out(in.size());
  const ConstBuffer input{in.data(), in.size() * sizeof(In)};
  const MutableBuffer output{out.data(), out.size() * sizeof(Out)};
  EXPECT_TRUE(is_ok(session.run({&input, 1}, {&output, 1})));
  return out;
}

TEST(QaicIoSets, TheWholeProgramTakesTheUsersNumbers) {
  if (!can_compute()) GTEST_SKIP() << "no ONNX Runtime";
  const Sim sim{{"COMPUTE", "1"}};
  for (const auto edit : {quantised, turned, tiled}) {
    const auto session = value_of(Session::open(doubling(edit), skipping("")));
    EXPECT_EQ((run<float, float>(*session, {1, 2, 3, 4, 5, 6})),
              (std::vector<float>{2, 4, 6, 8, 10, 12}));
  }
}

TEST(QaicIoSets, QuantisedBuffersLieInDmaBuffers) {
  if (!can_compute()) GTEST_SKIP() << "no ONNX Runtime";
  const Sim sim{{"COMPUTE", "1"}};
  for (const char* stage : {"quantize", "dma", "quant"}) {
    const auto session = value_of(Session::open(doubling(quantised), skipping(stage)));
    const ProgramSpec& program = session->program();
    EXPECT_EQ(program.inputs[0].dtype, DType::kUInt8);
    EXPECT_EQ(program.inputs[0].scale, 0.5f);
    EXPECT_EQ(program.inputs[0].offset, 10);
    EXPECT_EQ(program.outputs[0].dtype, DType::kInt8);
    // (q - 10) / 2, doubled, in steps of 1 from -3.
    EXPECT_EQ((run<int8_t, uint8_t>(*session, {10, 11, 20, 0, 110, 255})),
              (std::vector<int8_t>{-3, -2, 7, -13, 97, 127}));
  }
  // Where the buffers of the ExecObj are.
  const auto device = value_of(value_of(find_backend("qaic"))->create(0));
  ProgramOptions options;
  options.settings = {{"skip_stage", "quantize"}};
  const auto program = value_of(device->load(doubling(quantised), options));
  const auto activation = value_of(program->activate());
  const auto exec = value_of(activation->create_exec_obj());
  EXPECT_EQ(exec->input(0).size(), 6u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(exec->input(0).data()) % 4096, 16u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(exec->output(0).data()) % 4096, 16u);
}

constexpr uint16_t kHalf[] = {0x0000, 0x3c00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600,
                              0x4700, 0x4800, 0x4880, 0x4900, 0x4980, 0x4a00};  // 0 to 12

std::vector<uint16_t> halves(std::initializer_list<size_t> numbers) {
  std::vector<uint16_t> halves;
  for (const size_t number : numbers) halves.push_back(kHalf[number]);
  return halves;
}

// After the conversion there is still the transposition to do: by the library, from host buffers.
TEST(QaicIoSets, ASetBeforeOtherStepsIsBoundInHostBuffers) {
  if (!can_compute()) GTEST_SKIP() << "no ONNX Runtime";
  const Sim sim{{"COMPUTE", "1"}};
  const auto session = value_of(Session::open(doubling(turned, 2), skipping("convert")));
  EXPECT_EQ(session->program().inputs[0].dtype, DType::kFloat16);
  EXPECT_EQ(session->program().inputs[0].dims, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ((run<uint16_t, uint16_t>(*session, halves({1, 2, 3, 4, 5, 6}))),
            halves({2, 4, 6, 8, 10, 12}));
}

TEST(QaicIoSets, TransposedBuffersLieInDmaBuffers) {
  if (!can_compute()) GTEST_SKIP() << "no ONNX Runtime";
  const Sim sim{{"COMPUTE", "1"}};
  const auto session = value_of(Session::open(doubling(turned), skipping("transpose")));
  EXPECT_EQ(session->program().inputs[0].dims, (std::vector<int64_t>{3, 2}));
  EXPECT_EQ((run<uint16_t, uint16_t>(*session, halves({1, 4, 2, 5, 3, 6}))),
            halves({2, 8, 4, 10, 6, 12}));
}

TEST(QaicIoSets, WhatCannotBeDoneIsRefusedWithItsReason) {
  Sim sim{{"COMPUTE", "1"}};
  EXPECT_TRUE(is_error(Session::open(doubling(quantised), skipping("convert")).status(),
                       Code::kInvalidArgument, "'convert'", "default, quantize, dma"));
  // Columns first: the samples of a batch of two rows lie scattered.
  EXPECT_TRUE(is_error(Session::open(doubling(turned, 2), skipping("transpose")).status(),
                       Code::kUnsupported, "'x'", "[3, 2]", "transpose"));
  if (can_compute()) {
    EXPECT_TRUE(is_error(Session::open(doubling(tiled), skipping("d32convert")).status(),
                         Code::kUnsupported, "d32convert", "'x'", "D32"));
  }
  EXPECT_EQ(sim.live_objects(), 0u);
}

}  // namespace
}  // namespace qaickit
