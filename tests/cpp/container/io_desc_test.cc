#include "container/io_desc.h"

#include <gtest/gtest.h>

#include <string>

#include "QAicApi.pb.h"
#include "container/io_steps.h"
#include "container/network_desc.h"
#include "container/network_desc.pb.h"
#include "support/result.h"

namespace qaickit {
namespace {

using test::is_error;
using test::is_ok;
using test::value_of;

aicnwdesc::transform* add_step(aicnwdesc::IOBinding* binding, aicnwdesc::transformKind kind,
                               aicnwdesc::dataType type, std::initializer_list<int> dims) {
  aicnwdesc::transform* step = binding->add_transformseq();
  step->set_kind(kind);
  step->set_type(type);
  for (const int dim : dims) step->add_dims(dim);
  return step;
}

void describe(aicnwdesc::IODescriptor* io, aicnwdesc::dataType type,
              std::initializer_list<int> dims) {
  io->set_type(type);
  for (const int dim : dims) io->add_dims(dim);
}

// One input that is quantised, transposed and copied; one that is only copied; one output that is
// copied, then dequantised.
aicnwdesc::networkDescriptor several_stages() {
  aicnwdesc::networkDescriptor network;
  network.set_major_version(9);
  network.set_network_name("net");
  aicnwdesc::IOBinding* image = network.add_inputs();
  image->set_name("image");
  describe(image->mutable_io_initial(), aicnwdesc::FloatTy, {1, 3, 4});
  describe(image->mutable_io_transformed(), aicnwdesc::Int8QTy, {1, 4, 3});
  add_step(image, aicnwdesc::QuantizeTransform, aicnwdesc::Int8QTy, {1, 3, 4})->set_scale(0.5f);
  add_step(image, aicnwdesc::TransposeTransform, aicnwdesc::Int8QTy, {1, 4, 3});
  aicnwdesc::transform* copy =
      add_step(image, aicnwdesc::CopyDMABufferTransform, aicnwdesc::Int8QTy, {1, 4, 3});
  copy->mutable_copy_dma_buffer()->set_offset(64);
  aicnwdesc::IOBinding* mask = network.add_inputs();
  mask->set_name("mask");
  mask->set_is_partial_allowed(true);
  describe(mask->mutable_io_initial(), aicnwdesc::Int64ITy, {1, 0, 2});
  describe(mask->mutable_io_transformed(), aicnwdesc::Int64ITy, {1, 0, 2});
  add_step(mask, aicnwdesc::CopyDMABufferTransform, aicnwdesc::Int64ITy, {1, 2});
  aicnwdesc::IOBinding* scores = network.add_outputs();
  scores->set_name("scores");
  describe(scores->mutable_io_initial(), aicnwdesc::UInt8QTy, {1, 10});
  describe(scores->mutable_io_transformed(), aicnwdesc::FloatTy, {1, 10});
  copy = add_step(scores, aicnwdesc::CopyDMABufferTransform, aicnwdesc::UInt8QTy, {1, 10});
  copy->mutable_copy_dma_buffer()->set_buffer_num(1);
  add_step(scores, aicnwdesc::DequantizeTransform, aicnwdesc::FloatTy, {1, 10});
  network.add_dma_buffers()->set_size(96);
  network.add_dma_buffers()->set_size(10);
  network.mutable_dma_buffers(1)->set_dir(aicnwdesc::Out);
  aicnwdesc::IOShapes* shapes = network.add_allowed_shapes();
  shapes->add_shapes()->add_dims(7);
  return network;
}

Status derive(const aicnwdesc::networkDescriptor& network, aicapi::IoDesc* io_desc) {
  const std::string text = network.SerializeAsString();
  return derive_io_desc(as_byte_span(text), io_desc);
}

TEST(IoDesc, FollowsTheStages) {
  aicapi::IoDesc io_desc;
  ASSERT_TRUE(is_ok(derive(several_stages(), &io_desc)));
  EXPECT_EQ(io_desc.program_name(), "net");
  std::string names;
  for (const aicapi::IoSet& set : io_desc.io_sets()) names += set.name() + " ";
  EXPECT_EQ(names, "default quantize transpose dma ");
  EXPECT_EQ(io_desc.selected_set().SerializeAsString(), io_desc.io_sets(0).SerializeAsString());

  const aicapi::IoSet& defaults = io_desc.io_sets(0);
  ASSERT_EQ(defaults.bindings_size(), 3);
  EXPECT_EQ(defaults.bindings(0).size(), 48u);
  EXPECT_EQ(defaults.bindings(1).size(), 16u) << "zero dims do not count";
  EXPECT_TRUE(defaults.bindings(1).is_partial_buf_allowed());
  EXPECT_EQ(defaults.bindings(2).index(), 2u);
  EXPECT_EQ(defaults.bindings(2).type(), aicapi::FLOAT_TYPE);
  EXPECT_EQ(defaults.bindings(2).dir(), aicapi::BUFFER_IO_TYPE_OUTPUT);
  EXPECT_TRUE(defaults.bindings(2).is_valid());

  const aicapi::IoSet& quantize = io_desc.io_sets(1);
  EXPECT_EQ(quantize.bindings(0).type(), aicapi::INT8_Q_TYPE);
  EXPECT_EQ(quantize.bindings(0).quant_scale(), 0.5f);
  EXPECT_EQ(quantize.bindings(0).size(), 12u);
  EXPECT_FALSE(quantize.bindings(1).is_valid());
  EXPECT_EQ(quantize.bindings(1).size(), 16u);
  // Of an output, the step before, which here is the copy.
  EXPECT_EQ(quantize.bindings(2).type(), aicapi::UINT8_Q_TYPE);
  ASSERT_EQ(quantize.bindings(2).dma_buf_info_size(), 1);
  EXPECT_EQ(quantize.bindings(2).dma_buf_info(0).dma_buf_index(), 1u);

  const aicapi::IoSet& dma = io_desc.io_sets(3);
  EXPECT_EQ(dma.bindings(0).dims(1), 4);
  ASSERT_EQ(dma.bindings(0).dma_buf_info_size(), 1);
  EXPECT_EQ(dma.bindings(0).dma_buf_info(0).dma_offset(), 64u);
  EXPECT_EQ(dma.bindings(0).dma_buf_info(0).dma_size(), 12u);
  EXPECT_EQ(dma.bindings(2).size(), 10u);

  ASSERT_EQ(io_desc.dma_buf_size(), 2);
  EXPECT_EQ(io_desc.dma_buf(1).index(), 1u);
  EXPECT_EQ(io_desc.dma_buf(1).size(), 10u);
  EXPECT_EQ(io_desc.dma_buf(1).dir(), aicapi::BUFFER_IO_TYPE_OUTPUT);
  ASSERT_EQ(io_desc.allowed_shapes_size(), 1);
  EXPECT_EQ(io_desc.allowed_shapes(0).shapes(0).dims(0), 7);
}

TEST(IoDesc, AnOutputWithoutAStepBeforeIsAsTheDeviceHasIt) {
  aicnwdesc::networkDescriptor network = several_stages();
  network.mutable_outputs(0)->mutable_transformseq()->DeleteSubrange(0, 1);
  aicapi::IoDesc io_desc;
  ASSERT_TRUE(is_ok(derive(network, &io_desc)));
  EXPECT_EQ(io_desc.io_sets(1).bindings(2).type(), aicapi::UINT8_Q_TYPE);
  EXPECT_EQ(io_desc.io_sets(1).bindings(2).dma_buf_info_size(), 0);
}

TEST(IoDesc, OwnProgramsHaveTheSetsOfAPlainCopy) {
  ProgramSpec program;
  program.name = "p";
  program.inputs = {{"x", DType::kBool, {2, 3}}};
  program.outputs = {{"y", DType::kFloat16, {}}};
  const auto segment = value_of(encode_network_desc(program));
  aicapi::IoDesc io_desc;
  const auto bytes = value_of(encode_io_desc(segment));
  ASSERT_TRUE(io_desc.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
  ASSERT_EQ(io_desc.io_sets_size(), 2);
  EXPECT_EQ(io_desc.io_sets(1).name(), "dma");
  EXPECT_EQ(io_desc.io_sets(1).bindings(1).size(), 2u) << "a scalar is one element";
}

TEST(IoDesc, MappingsGiveOutputsTheTypeOfTheDevice) {
  const std::string text = several_stages().SerializeAsString();
  const auto mappings = value_of(derive_buffer_mappings(as_byte_span(text)));
  ASSERT_EQ(mappings.size(), 3u);
  EXPECT_EQ(mappings[0].size, 48u);
  EXPECT_TRUE(mappings[1].is_partial_allowed);
  EXPECT_FALSE(mappings[2].is_input);
  EXPECT_EQ(mappings[2].size, 40u);
  EXPECT_EQ(mappings[2].data_type, 3u);
}

TEST(IoDesc, DamageIsNoticed) {
  aicapi::IoDesc io_desc;
  EXPECT_TRUE(is_error(derive_io_desc(as_byte_span("\xff\xff"), &io_desc), Code::kDataLoss));
  aicnwdesc::networkDescriptor network = several_stages();
  network.mutable_inputs(0)->clear_name();
  EXPECT_TRUE(is_error(derive(network, &io_desc), Code::kDataLoss, "binding 0", "no name"));
  network = several_stages();
  network.mutable_inputs(1)->mutable_io_initial()->add_dims(-1);
  EXPECT_TRUE(is_error(derive(network, &io_desc), Code::kDataLoss, "'mask'"));
  network = several_stages();
  for (int i = 0; i < 4; ++i)
    network.mutable_outputs(0)->mutable_io_transformed()->add_dims(1 << 30);
  EXPECT_TRUE(is_error(derive(network, &io_desc), Code::kDataLoss, "'scores'"));
  network = several_stages();
  network.mutable_inputs(0)->mutable_transformseq(0)->set_type(
      static_cast<aicnwdesc::dataType>(77));
  EXPECT_TRUE(is_error(derive(network, &io_desc), Code::kDataLoss, "'image'"));
}

TEST(IoDesc, ASetIsFoundByItsNameOrAPartOfIt) {
  aicapi::IoDesc io_desc;
  ASSERT_TRUE(is_ok(derive(several_stages(), &io_desc)));
  EXPECT_EQ(find_io_set(io_desc, "transpose")->name(), "transpose");
  EXPECT_EQ(find_io_set(io_desc, "quant")->name(), "quantize");
  EXPECT_EQ(find_io_set(io_desc, "convert"), nullptr);
  EXPECT_EQ(io_set_names(io_desc), "default, quantize, transpose, dma");
}

TEST(IoDesc, AProgramAtASetHasTheFormatsOfTheSet) {
  aicapi::IoDesc io_desc;
  ASSERT_TRUE(is_ok(derive(several_stages(), &io_desc)));
  ProgramSpec program;
  program.inputs = {{"image", DType::kFloat32, {1, 3, 4}}, {"mask", DType::kBool, {1, 2}}};
  program.outputs = {{"scores", DType::kFloat32, {1, 10}}};
  const ProgramSpec at = value_of(program_at(program, *find_io_set(io_desc, "quantize")));
  EXPECT_EQ(at.inputs[0].dtype, DType::kInt8);
  EXPECT_EQ(at.inputs[0].scale, 0.5f);
  EXPECT_EQ(at.inputs[0].dims, (std::vector<int64_t>{1, 3, 4}));
  EXPECT_EQ(at.inputs[1].dtype, DType::kBool) << "has no such stage";
  EXPECT_EQ(at.outputs[0].dtype, DType::kUInt8);
  EXPECT_EQ(at.outputs[0].name, "scores");
  program.outputs.clear();
  EXPECT_TRUE(is_error(program_at(program, io_desc.io_sets(0)).status(), Code::kDataLoss,
                       "3 bindings", "2"));
}

std::vector<std::vector<IoStep>> steps_of(std::string_view set) {
  const std::string text = several_stages().SerializeAsString();
  return value_of(derive_io_steps(as_byte_span(text), set));
}

TEST(IoSteps, LeadFromTheUserToTheSetAndBack) {
  for (const auto& steps : steps_of("default")) EXPECT_TRUE(steps.empty());
  const auto quantize = steps_of("quantize");
  ASSERT_EQ(quantize[0].size(), 1u);
  EXPECT_EQ(quantize[0][0].kind, IoStep::Kind::kConvert);
  EXPECT_EQ(quantize[0][0].before.dtype, DType::kFloat32);
  EXPECT_FALSE(quantize[0][0].before.quantised);
  EXPECT_EQ(quantize[0][0].after.dtype, DType::kInt8);
  EXPECT_TRUE(quantize[0][0].after.quantised);
  EXPECT_TRUE(quantize[1].empty());
  ASSERT_EQ(quantize[2].size(), 1u);
  EXPECT_EQ(quantize[2][0].before.dtype, DType::kUInt8);
  EXPECT_EQ(quantize[2][0].after.dtype, DType::kFloat32);

  const auto dma = steps_of("dma");
  ASSERT_EQ(dma[0].size(), 3u);
  EXPECT_EQ(dma[0][1].kind, IoStep::Kind::kTranspose);
  EXPECT_EQ(dma[0][1].after.dims, (std::vector<int32_t>{1, 4, 3}));
  EXPECT_EQ(dma[0][2].after.scale, 0.5f) << "steps that do not say leave it as it was";
  EXPECT_EQ(dma[1].size(), 1u);
  EXPECT_EQ(dma[2].size(), 1u);
}

}  // namespace
}  // namespace qaickit
