#include "container/network_desc.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "container/network_desc.pb.h"
#include "qpc_bytes.h"
#include "support/result.h"

namespace qaickit {
namespace {

using namespace test;
namespace pb = aicnwdesc;

pb::networkDescriptor example_message() {
  const ByteVector bytes = example_network_desc();
  pb::networkDescriptor message;
  EXPECT_TRUE(message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
  return message;
}

Result<ProgramSpec> decode(const pb::networkDescriptor& message,
                           ZeroDims zero_dims = ZeroDims::kRefuse) {
  const std::string bytes = message.SerializeAsString();
  return decode_network_desc(as_byte_span(bytes), zero_dims);
}

// The error of a program that differs from the example by `change`.
std::string encode_error(const std::function<void(ProgramSpec&)>& change) {
  ProgramSpec program = example_program();
  change(program);
  const Status status = encode_network_desc(program).status();
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  return std::string(status.message());
}

std::string decode_error(const std::function<void(pb::networkDescriptor&)>& change) {
  pb::networkDescriptor message = example_message();
  change(message);
  const Status status = decode(message).status();
  EXPECT_EQ(status.code(), Code::kDataLoss);
  return std::string(status.message());
}

TEST(NetworkDesc, EncodesTheExampleByteForByte) {
  const auto bytes = encode_network_desc(example_program());
  ASSERT_TRUE(bytes.ok()) << bytes.status().to_string();
  EXPECT_EQ(bytes.value().size(), 119u);
  EXPECT_EQ(bytes.value(), example_network_desc());
}

TEST(NetworkDesc, DecodesTheExample) {
  const auto program = decode_network_desc(example_network_desc(), ZeroDims::kRefuse);
  ASSERT_TRUE(program.ok()) << program.status().to_string();
  EXPECT_EQ(program.value().name, "demo");
  EXPECT_EQ(program.value().num_cores, 1u);
  EXPECT_EQ(program.value().batch_size, 1);
  ASSERT_EQ(program.value().inputs.size(), 1u);
  const TensorSpec& image = program.value().inputs[0];
  EXPECT_EQ(image.name, "image");
  EXPECT_EQ(image.dtype, DType::kFloat32);
  EXPECT_EQ(image.bytes(), 602112u);
  EXPECT_EQ(image.scale, 1.0f);
  EXPECT_EQ(image.offset, 0);
  ASSERT_EQ(program.value().outputs.size(), 1u);
  EXPECT_EQ(program.value().outputs[0].name, "output");
  EXPECT_EQ(program.value().outputs[0].bytes(), 4000u);
}

TEST(NetworkDesc, DTypesRoundTrip) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat16, DType::kInt8, DType::kUInt8,
                            DType::kInt16, DType::kInt32, DType::kInt64}) {
    ProgramSpec program = example_program();
    for (const auto& [scale, offset] : {std::pair{1.0f, 0}, std::pair{0.25f, -7}}) {
      program.inputs[0] = {"x", dtype, {3, 5}, scale, offset};
      const auto bytes = encode_network_desc(program);
      ASSERT_TRUE(bytes.ok()) << bytes.status().to_string();
      const auto back = decode_network_desc(bytes.value(), ZeroDims::kRefuse);
      ASSERT_TRUE(back.ok()) << back.status().to_string();
      const TensorSpec& spec = back.value().inputs[0];
      EXPECT_EQ(spec.dtype, dtype);
      EXPECT_EQ(spec.scale, scale) << dtype_name(dtype);
      EXPECT_EQ(spec.offset, offset) << dtype_name(dtype);
      EXPECT_EQ(vendor_dtype(dtype), dtype);
    }
  }
}

TEST(NetworkDesc, WritesTheVendorsTypes) {
  const std::pair<TensorSpec, pb::dataType> rows[] = {
      {{"x", DType::kUInt8, {4}, 0.5f, 128}, pb::UInt8QTy},
      {{"x", DType::kInt8, {4}}, pb::Int8QTy},
      {{"x", DType::kBool, {4}}, pb::Int8Ty},
      {{"x", DType::kInt32, {4}}, pb::Int32ITy},
      {{"x", DType::kInt32, {4}, 0.5f}, pb::Int32QTy},
      {{"x", DType::kInt64, {4}}, pb::Int64ITy}};
  for (const auto& [spec, type] : rows) {
    ProgramSpec program = example_program();
    program.inputs = {spec};
    const auto bytes = encode_network_desc(program);
    ASSERT_TRUE(bytes.ok());
    pb::networkDescriptor message;
    ASSERT_TRUE(
        message.ParseFromArray(bytes.value().data(), static_cast<int>(bytes.value().size())));
    const pb::IOBinding& binding = message.inputs(0);
    EXPECT_EQ(binding.io_initial().type(), type);
    EXPECT_EQ(binding.align(), dtype_bytes(spec.dtype));
    ASSERT_EQ(binding.transformseq_size(), 1);
    EXPECT_EQ(binding.transformseq(0).kind(), pb::CopyDMABufferTransform);
    EXPECT_EQ(binding.transformseq(0).scale(), spec.scale);
  }
  EXPECT_EQ(vendor_dtype(DType::kBool), DType::kInt8);
}

TEST(NetworkDesc, ReadsEveryVendorType) {
  const DType expected[] = {DType::kFloat32, DType::kFloat16, DType::kInt8,
                            DType::kUInt8,   DType::kInt16,   DType::kInt32,
                            DType::kInt32,   DType::kInt64,   DType::kInt8};
  for (int type = 0; type < 9; ++type) {
    pb::networkDescriptor message = example_message();
    message.mutable_inputs(0)->mutable_io_initial()->set_type(static_cast<pb::dataType>(type));
    const auto program = decode(message);
    ASSERT_TRUE(program.ok()) << program.status().to_string();
    EXPECT_EQ(program.value().inputs[0].dtype, expected[type]);
  }
}

TEST(NetworkDesc, RefusesDTypesWithoutAVendorType) {
  for (const DType dtype :
       {DType::kBFloat16, DType::kFloat64, DType::kUInt16, DType::kUInt32, DType::kUInt64}) {
    EXPECT_EQ(vendor_dtype(dtype), std::nullopt);
    const std::string error = encode_error([&](ProgramSpec& p) { p.outputs[0].dtype = dtype; });
    EXPECT_EQ(error,
              "output 0 ('output') is " + std::string(dtype_name(dtype)) +
                  ", which a QPC cannot hold; cast it in the graph to float32, float16, int8, "
                  "uint8, int16, int32, int64 or bool");
  }
}

TEST(NetworkDesc, ZeroDimsAndScalars) {
  ProgramSpec program = example_program();
  program.inputs = {{"scalar", DType::kFloat32, {}}, {"empty", DType::kInt64, {0, 4}}};
  const auto bytes = encode_network_desc(program);
  ASSERT_TRUE(bytes.ok()) << bytes.status().to_string();
  const auto back = decode_network_desc(bytes.value(), ZeroDims::kAllow);
  ASSERT_TRUE(back.ok()) << back.status().to_string();
  EXPECT_TRUE(back.value().inputs[0].dims.empty());
  EXPECT_EQ(back.value().inputs[0].bytes(), 4u);
  EXPECT_EQ(back.value().inputs[1].dims, (std::vector<int64_t>{0, 4}));
  EXPECT_EQ(back.value().inputs[1].bytes(), 0u);
  const auto refused = decode_network_desc(bytes.value(), ZeroDims::kRefuse);
  EXPECT_EQ(refused.status().message(),
            "networkdesc.bin: input 1 ('empty') has a zero in its dims [0, 4]");

  // The vendor sizes the buffer of an empty tensor by its other dims.
  pb::networkDescriptor message;
  ASSERT_TRUE(message.ParseFromArray(bytes.value().data(), static_cast<int>(bytes.value().size())));
  EXPECT_EQ(message.dma_buffers(1).size(), 32u);
}

TEST(NetworkDesc, MinimumOfTheVendorOpens) {
  pb::networkDescriptor message;
  message.set_major_version(8);
  message.mutable_outputs()->Add()->set_name("y");
  message.mutable_outputs(0)->mutable_io_initial();
  message.mutable_outputs(0)->mutable_io_transformed()->add_dims(5);
  const auto program = decode(message);
  ASSERT_TRUE(program.ok()) << program.status().to_string();
  EXPECT_EQ(program.value().name, "");
  EXPECT_EQ(program.value().num_cores, 0u);
  EXPECT_EQ(program.value().batch_size, 1);
  EXPECT_EQ(program.value().outputs[0].dims, (std::vector<int64_t>{5}));
}

TEST(NetworkDesc, InputsComeFromInitialOutputsFromTransformed) {
  pb::networkDescriptor message = example_message();
  message.mutable_inputs(0)->mutable_io_transformed()->set_type(pb::Int8QTy);
  message.mutable_outputs(0)->mutable_io_initial()->set_type(pb::Int8QTy);
  const auto program = decode(message);
  ASSERT_TRUE(program.ok());
  EXPECT_EQ(program.value().inputs[0].dtype, DType::kFloat32);
  EXPECT_EQ(program.value().outputs[0].dtype, DType::kFloat32);
}

TEST(NetworkDesc, EncodeErrorsSayWhatIsWrong) {
  EXPECT_EQ(encode_error([](auto& p) { p.inputs[0].name = ""; }), "input 0 has no name");
  EXPECT_EQ(encode_error([](auto& p) { p.inputs[0].dims = {1, -3}; }),
            "input 0 ('image') has dims [1, -3], each must be from 0 to 2147483647");
  EXPECT_EQ(encode_error([](auto& p) { p.inputs[0].dims = {int64_t{1} << 31}; }),
            "input 0 ('image') has dims [2147483648], each must be from 0 to 2147483647");
  EXPECT_EQ(encode_error([](auto& p) { p.inputs[0].dims = {1 << 15, 1 << 15}; }),
            "input 0 ('image') is float32 [32768, 32768], a tensor of a QPC has less than 4 GiB");
  EXPECT_EQ(encode_error([](auto& p) { p.inputs.push_back(p.inputs[0]); }),
            "two inputs are named 'image'");
  EXPECT_EQ(encode_error([](auto& p) { p.outputs.clear(); }), "the program has no outputs");
  EXPECT_EQ(encode_error([](auto& p) { p.batch_size = 0; }),
            "the batch size is 0, it must be at least 1");
  EXPECT_EQ(encode_error([](auto& p) { p.outputs[0].scale = 0; }),
            "output 0 ('output') has a scale of 0");
  encode_error([](auto& p) { p.inputs[0].dims.assign(65, 1); });
  encode_error([](auto& p) { p.inputs[0].name = std::string(4097, 'x'); });
  encode_error([](auto& p) { p.inputs[0].name = "\xff"; });
  encode_error([](auto& p) { p.inputs[0].name = std::string("a\0b", 3); });
  encode_error([](auto& p) { p.inputs[0].scale = std::numeric_limits<float>::infinity(); });
  encode_error([](auto& p) { p.name = "\xff"; });
}

TEST(NetworkDesc, DecodeErrorsSayWhatIsWrong) {
  EXPECT_EQ(decode_error([](auto& m) { m.mutable_inputs(0)->clear_name(); }),
            "networkdesc.bin: input 0 has no name");
  EXPECT_EQ(decode_error([](auto& m) {
              m.mutable_inputs(0)->set_name("\x1b");
              m.mutable_inputs(0)->clear_io_initial();
            }),
            "networkdesc.bin: input 0 ('\\x1b') has no description");
  EXPECT_EQ(decode_error([](auto& m) { m.mutable_outputs(0)->clear_io_transformed(); }),
            "networkdesc.bin: output 0 ('output') has no description");
  EXPECT_EQ(decode_error([](auto& m) {
              m.mutable_inputs(0)->mutable_io_initial()->set_type(static_cast<pb::dataType>(11));
            }),
            "networkdesc.bin: input 0 ('image') has data type 11, known are 0 to 8");
  EXPECT_EQ(
      decode_error([](auto& m) { m.mutable_inputs(0)->mutable_io_initial()->set_dims(0, -1); }),
      "networkdesc.bin: input 0 ('image') has dims [-1, 3, 224, 224], each must be from 0 to "
      "2147483647");
  EXPECT_EQ(decode_error([](auto& m) {
              for (int i = 0; i < 4; ++i) {
                m.mutable_inputs(0)->mutable_io_initial()->set_dims(i, 2147483647);
              }
            }),
            "networkdesc.bin: input 0 ('image') is float32 [2147483647, 2147483647, 2147483647, "
            "2147483647], a tensor of a QPC has less than 4 GiB");
  EXPECT_EQ(decode_error([](auto& m) { *m.add_outputs() = m.outputs(0); }),
            "networkdesc.bin: two outputs are named 'output'");
  EXPECT_EQ(decode_error([](auto& m) { m.clear_outputs(); }),
            "networkdesc.bin: the program has no outputs");
  EXPECT_EQ(decode_error([](auto& m) { m.set_batch_size(-1); }),
            "networkdesc.bin: the batch size is -1, it must be at least 1");
  decode_error([](auto& m) { m.set_network_name("\xff"); });
  decode_error([](auto& m) {
    m.mutable_outputs(0)->mutable_io_transformed()->set_qscale(
        std::numeric_limits<float>::quiet_NaN());
  });
}

ShapeSet example_shapes(int64_t batch) { return {{batch, 3, 8, 8}, {1, 10}}; }

TEST(NetworkDesc, AllowedShapesComeBack) {
  ProgramSpec program = example_program();
  program.inputs[0].partial = true;
  program.allowed_shapes = {example_shapes(1), {{1, 3, 224, 224}, {1, 1000}}};
  const ByteVector bytes = value_of(encode_network_desc(program));
  const ProgramSpec back = value_of(decode_network_desc(bytes, ZeroDims::kRefuse));
  EXPECT_EQ(back.allowed_shapes, program.allowed_shapes);
  EXPECT_TRUE(back.inputs[0].partial);
  EXPECT_FALSE(back.outputs[0].partial);
  EXPECT_EQ(back.default_shape_set(), 1u);
  EXPECT_EQ(back.bytes(0, 0), 3 * 8 * 8 * 4u);
  pb::networkDescriptor message;
  ASSERT_TRUE(message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
  ASSERT_EQ(message.allowed_shapes_size(), 2);
  EXPECT_EQ(message.allowed_shapes(1).shapes(1).dims(1), 1000);
  EXPECT_EQ(message.allowed_shapes(0).shapes(0).type(), pb::FloatTy);
}

TEST(NetworkDesc, AllowedShapesThatCannotBeAreRefusedOnWriting) {
  EXPECT_EQ(encode_error([](auto& p) { p.allowed_shapes = {{{1, 3}}}; }),
            "allowed shapes 0: 1 shapes, expected one for each of 2 inputs and outputs");
  EXPECT_EQ(encode_error([](auto& p) { p.allowed_shapes = {{{2, 3, 224, 224}, {1, 10}}}; }),
            "allowed shapes 0: 'image' is [2, 3, 224, 224], larger than the buffer of [1, 3, 224, "
            "224]");
  encode_error([](auto& p) { p.allowed_shapes = {{{1, -3, 8, 8}, {1, 10}}}; });
}

TEST(NetworkDesc, AllowedShapesThatCannotBeAreRefusedOnReading) {
  const auto error_of = [](const std::function<void(pb::IOShapes&)>& change) {
    return decode_error([&](pb::networkDescriptor& m) {
      pb::IOShapes* shapes = m.add_allowed_shapes();
      for (const std::vector<int64_t>& dims : example_shapes(1)) {
        pb::tensorShape* shape = shapes->add_shapes();
        for (const int64_t dim : dims) shape->add_dims(static_cast<int32_t>(dim));
      }
      change(*shapes);
    });
  };
  EXPECT_EQ(error_of([](auto& s) { s.mutable_shapes()->RemoveLast(); }),
            "networkdesc.bin: allowed shapes 0: 1 shapes for 2 inputs and outputs");
  EXPECT_EQ(error_of([](auto& s) { s.mutable_shapes(0)->set_dims(1, 0); }),
            "networkdesc.bin: allowed shapes 0: a zero in dims [1, 0, 8, 8]");
  error_of([](auto& s) { s.mutable_shapes(0)->set_dims(1, -1); });
  error_of([](auto& s) { s.mutable_shapes(0)->set_dims(2, 2147483647); });
  for (int dim = 0; dim < 4; ++dim) {
    error_of([&](auto& s) {
      for (int i = 0; i < 4; ++i) s.mutable_shapes(0)->set_dims(i, 2147483647);
      s.mutable_shapes(0)->set_dims(dim, 1);
    });
  }
  error_of([](auto& s) { s.mutable_shapes(1)->set_dims(1, 1001); });
  error_of([](auto& s) { s.add_shapes(); });
}

TEST(NetworkDesc, EveryTruncationIsAnErrorOrAProgram) {
  const ByteVector whole = example_network_desc();
  for (size_t length = 0; length < whole.size(); ++length) {
    const auto program = decode_network_desc(Bytes(whole).first(length), ZeroDims::kRefuse);
    EXPECT_TRUE(program.ok() || program.status().code() == Code::kDataLoss) << length;
  }
}

TEST(NetworkDesc, RefusesAHugeMessageUnread) {
  const ByteVector zeros(kMaxMessageBytes + 1);
  EXPECT_EQ(decode_network_desc(zeros, ZeroDims::kRefuse).status().message(),
            "networkdesc.bin: has 67108865 bytes, at most 67108864 are possible");
}

}  // namespace
}  // namespace qaickit
