#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <functional>

#include "qpc_bytes.h"
#include "scratch.h"

namespace qaickit {
namespace {

using namespace test;

std::string error_of(const std::function<void(QpcContent&)>& change) {
  SmallContent small;
  change(small.content);
  const Status status = build_qpc(small.content).status();
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  return std::string(status.message());
}

TEST(QpcWriter, WorkedExampleByteForByte) {
  QpcContent content;
  content.program = example_program();
  content.host_half = false;
  const auto bytes = build_qpc(content);
  ASSERT_TRUE(bytes.ok()) << bytes.status().to_string();
  EXPECT_EQ(bytes.value(), example_file());
}

TEST(QpcWriter, RoundTrip) {
  SmallContent small;
  const auto bytes = build_qpc(small.content);
  ASSERT_TRUE(bytes.ok()) << bytes.status().to_string();
  const auto opened = open_bytes(bytes.value());
  ASSERT_TRUE(opened.ok()) << opened.status().to_string();
  const Qpc& qpc = *opened.value();
  EXPECT_TRUE(qpc.has_host_half());
  EXPECT_FALSE(qpc.has_card_half());
  EXPECT_EQ(as_text(*qpc.find(kModelSegment)), as_text(small.model));
  EXPECT_EQ(as_text(*qpc.find(kConstantsSegment)), "static|dynamic");

  const auto manifest = qpc.manifest();
  ASSERT_TRUE(manifest.has_value());
  EXPECT_EQ(manifest->format_version, 1u);
  EXPECT_EQ(manifest->producer, "qaickit test");
  EXPECT_EQ(manifest->precision, "fp16");
  EXPECT_EQ(manifest->options, small.content.manifest.options);
  EXPECT_TRUE(manifest->random_weights);
  EXPECT_EQ(manifest->node_precision, small.content.manifest.node_precision);
  EXPECT_EQ(manifest->calibration, small.content.manifest.calibration);

  const ProgramSpec& program = qpc.program();
  EXPECT_EQ(program.name, "small");
  EXPECT_EQ(program.num_cores, 4u);
  EXPECT_EQ(program.batch_size, 2);
  ASSERT_EQ(program.inputs.size(), 3u);
  EXPECT_EQ(program.inputs[0].dtype, DType::kInt64);
  EXPECT_EQ(program.inputs[1].dtype, DType::kBool);
  EXPECT_EQ(program.inputs[2].dtype, DType::kUInt8);
  EXPECT_EQ(program.inputs[2].scale, 0.5f);
  EXPECT_EQ(program.inputs[2].offset, 128);
  ASSERT_EQ(program.outputs.size(), 2u);
  EXPECT_TRUE(program.outputs[0].dims.empty());
  EXPECT_EQ(program.outputs[1].dims, (std::vector<int64_t>{0, 4}));
}

TEST(QpcWriter, LayoutIsPaddedAndDeterministic) {
  SmallContent small;
  const ByteVector bytes = build_qpc(small.content).value();
  EXPECT_EQ(bytes, build_qpc(small.content).value());
  EXPECT_EQ(bytes.size() % 8, 0u);
  const QpcHeader header = *load<QpcHeader>(bytes, 0);
  EXPECT_EQ(header.base, 0u);
  EXPECT_EQ(header.images, 40u);
  EXPECT_EQ(header.num_images, 6u);
  uint64_t end = 40 + 32 * header.num_images;
  const auto entry = [&](uint64_t i) { return *load<QpcSegmentEntry>(bytes, 40 + 32 * i); };
  std::vector<std::string> names;
  for (uint64_t i = 0; i < header.num_images; ++i) {
    EXPECT_EQ(entry(i).name, end);
    names.emplace_back(as_text(bytes).data() + entry(i).name);
    end = (end + names.back().size() + 8) / 8 * 8;
  }
  for (uint64_t i = 0; i < header.num_images; ++i) {
    EXPECT_EQ(entry(i).start, end);
    end = (end + entry(i).size + 7) / 8 * 8;
  }
  EXPECT_EQ(end, bytes.size());
  EXPECT_EQ(names,
            (std::vector<std::string>{"qaickit.manifest.bin", "qaickit.model.onnx", "constants.bin",
                                      "constantsdesc.bin", "network.elf", "networkdesc.bin"}));
}

TEST(QpcWriter, TheGraphInFp16IsASegmentWithADigest) {
  SmallContent small;
  const ByteVector weights = bytes_of("weights of both graphs");
  const ByteVector fp16 = bytes_of("the same graph in fp16");
  small.content.weights = {weights};
  small.content.fp16_model = fp16;
  ByteVector bytes = build_qpc(small.content).value();
  const auto qpc = open_bytes(bytes);
  ASSERT_TRUE(qpc.ok()) << qpc.status().to_string();
  EXPECT_EQ(as_text(*qpc.value()->find(kFp16ModelSegment)), as_text(fp16));
  EXPECT_EQ(as_text(*qpc.value()->find(kModelSegment)), as_text(small.model));
  EXPECT_EQ(qpc.value()->segments()[2].name, kFp16ModelSegment);
  EXPECT_TRUE(qpc.value()->verify().ok());

  bytes[as_text(bytes).find(as_text(fp16))] ^= std::byte{1};
  const std::string message(open_bytes(std::move(bytes)).status().message());
  EXPECT_NE(message.find("segment 'qaickit.model.fp16.onnx' (22 bytes"), std::string::npos)
      << message;
}

TEST(QpcWriter, VendorSegmentsAreAlwaysThere) {
  SmallContent small;
  small.content.extra.clear();
  const auto qpc = open_bytes(build_qpc(small.content).value());
  ASSERT_TRUE(qpc.ok()) << qpc.status().to_string();
  EXPECT_TRUE(std::ranges::equal(*qpc.value()->find(kConstantsDescSegment), kNoConstantsDesc));
  EXPECT_TRUE(std::ranges::equal(*qpc.value()->find(kNetworkElfSegment), kPlaceholderElf));
  EXPECT_TRUE(qpc.value()->find(kNetworkDescSegment).has_value());
  EXPECT_FALSE(qpc.value()->find(kConstantsSegment).has_value());
}

// The vendor's compiler gives its half, with a network descriptor of its own.
TEST(QpcWriter, MergesACardHalf) {
  const ByteVector elf = bytes_of(
      "\x7f"
      "ELF, compiled for a card");
  ByteVector desc = example_network_desc();
  desc[3] = std::byte{3};  // a shorter name, so that the bytes differ from what we would write
  desc.erase(desc.begin() + 4);
  SmallContent small;
  QpcContent& content = small.content;
  content.program = example_program();
  content.extra.push_back({kNetworkElfSegment, elf});
  content.extra.push_back({kNetworkDescSegment, desc});
  const auto bytes = build_qpc(content);
  ASSERT_TRUE(bytes.ok()) << bytes.status().to_string();
  const auto qpc = open_bytes(bytes.value());
  ASSERT_TRUE(qpc.ok()) << qpc.status().to_string();
  EXPECT_TRUE(qpc.value()->has_card_half());
  EXPECT_TRUE(qpc.value()->has_host_half());
  EXPECT_TRUE(std::ranges::equal(*qpc.value()->find(kNetworkDescSegment), desc));
  EXPECT_EQ(qpc.value()->program().name, "emo");

  content.program.inputs[0].dims = {1, 3, 299, 299};
  EXPECT_EQ(build_qpc(content).status().message(),
            "input 'image' is float32 [1, 3, 224, 224] in the given networkdesc.bin, float32 [1, "
            "3, 299, 299] in the program");
  content.program.inputs[0].name = "pixels";
  EXPECT_EQ(build_qpc(content).status().message(),
            "the given networkdesc.bin has input 'image', the program does not");
  content.program.inputs.clear();
  EXPECT_EQ(build_qpc(content).status().message(),
            "the given networkdesc.bin has 1 inputs, the program has 0");
  content.extra.back().data = elf;
  EXPECT_EQ(build_qpc(content).status().code(), Code::kInvalidArgument);
}

TEST(QpcWriter, ErrorsSayWhatIsWrong) {
  EXPECT_EQ(error_of([](auto& c) { c.onnx_model = {}; }), "the model is empty");
  EXPECT_EQ(error_of([](auto& c) { c.program.inputs[0].dtype = DType::kFloat64; }),
            "input 0 ('ids') is float64, which a QPC cannot hold; cast it in the graph to float32, "
            "float16, int8, uint8, int16, int32, int64 or bool");
  EXPECT_EQ(error_of([](auto& c) { c.extra.push_back(c.extra[0]); }),
            "segment 'constants.bin' is given twice");
  EXPECT_EQ(error_of([](auto& c) { c.extra[0].offset = 15; }),
            "segment 'constants.bin' of 14 bytes cannot have offset 15; only constants.bin has "
            "one, within its size");
  EXPECT_EQ(error_of([](auto& c) { c.extra[1].offset = 1; }),
            "segment 'constantsdesc.bin' of 24 bytes cannot have offset 1; only constants.bin has "
            "one, within its size");
  EXPECT_EQ(
      error_of([](auto& c) { c.extra.pop_back(); }),
      "segment 'constants.bin' needs 'constantsdesc.bin', which gives the sizes of its parts");
  for (const std::string_view name :
       {kModelSegment, kFp16ModelSegment, kWeightsSegment, kManifestSegment}) {
    EXPECT_EQ(error_of([&](auto& c) { c.extra.push_back({name, {}}); }),
              "segment '" + std::string(name) + "' is made by qaickit and cannot be given");
  }
  const std::string long_name(kMaxNameBytes + 1, 'n');
  for (const std::string_view name : {std::string_view(), std::string_view(long_name),
                                      std::string_view("\xff"), std::string_view("a\0b", 3)}) {
    EXPECT_NE(error_of([&](auto& c) { c.extra.push_back({name, {}}); }).find("must be UTF-8"),
              std::string::npos);
  }
  EXPECT_EQ(error_of([](auto& c) { c.manifest.format_version = 2; }),
            "manifest format 2 cannot be written, only 1");
  EXPECT_EQ(error_of([](auto& c) { c.manifest.producer = "\xff"; }),
            "the manifest's producer must be UTF-8");
  EXPECT_EQ(error_of([](auto& c) { c.manifest.options["x"] = "\xff"; }),
            "the manifest's value of option 'x' must be UTF-8");
  EXPECT_EQ(error_of([](auto& c) { c.extra.resize(40000); }),
            "40000 segments are too many for a QPC");
  EXPECT_EQ(error_of([](auto& c) { c.host_half = false; }),
            "networkdesc.bin: output 1 ('empty') has a zero in its dims [0, 4]");
}

TEST(QpcWriter, WritesTheFile) {
  Scratch scratch;
  SmallContent small;
  const std::string path = scratch.write("qpc.bin", bytes_of("old"));
  const mode_t before = umask(0027);
  const Status status = write_qpc(path, small.content);
  umask(before);
  ASSERT_TRUE(status.ok()) << status.to_string();
  const auto qpc = Qpc::open(path);
  ASSERT_TRUE(qpc.ok()) << qpc.status().to_string();
  EXPECT_EQ(describe(*qpc.value()),
            describe(*open_bytes(build_qpc(small.content).value()).value()));
  EXPECT_EQ(scratch.count(), 1u);
  struct stat info{};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640u);
}

TEST(QpcWriter, FailedWritesLeaveNothing) {
  Scratch scratch;
  SmallContent small;
  const auto error = [&](const std::string& path) { return write_qpc(path, small.content); };
  EXPECT_EQ(error(scratch.path("no/such/dir/qpc.bin")).code(), Code::kNotFound);
  EXPECT_EQ(error(scratch.path("")).code(), Code::kInvalidArgument);
  EXPECT_EQ(error("").code(), Code::kInvalidArgument);
  EXPECT_EQ(error(std::string("a\0b", 3)).code(), Code::kInvalidArgument);
  EXPECT_EQ(scratch.count(), 0u);

  const std::string directory = scratch.path("directory");
  ASSERT_EQ(mkdir(directory.c_str(), 0755), 0);
  EXPECT_EQ(error(directory).code(), Code::kInvalidArgument);
  EXPECT_EQ(scratch.count(), 1u);

  const std::string kept = scratch.write("kept.bin", bytes_of("old"));
  small.content.program.outputs.clear();
  EXPECT_EQ(error(kept).code(), Code::kInvalidArgument);
  EXPECT_EQ(std::filesystem::file_size(kept), 3u);
}

TEST(QpcWriter, NoPermissionLeavesNothing) {
  Scratch scratch;
  SmallContent small;
  const std::string directory = scratch.path("locked");
  ASSERT_EQ(mkdir(directory.c_str(), 0555), 0);
  {
    const AsNobody nobody;
    EXPECT_EQ(write_qpc(directory + "/qpc.bin", small.content).code(), Code::kPermissionDenied);
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory));
}

TEST(QpcWriter, WeightsLieAtMultiplesOf64) {
  SmallContent small;
  const std::vector<std::byte> one(3, std::byte{1});
  const std::vector<std::byte> two(64, std::byte{2});
  const std::vector<std::byte> three(5, std::byte{3});
  small.content.weights = {one, two, three};
  const auto bytes = build_qpc(small.content);
  ASSERT_TRUE(bytes.ok()) << bytes.status().to_string();
  const auto opened = open_bytes(bytes.value());
  ASSERT_TRUE(opened.ok()) << opened.status().to_string();
  const Qpc& qpc = *opened.value();
  const auto weights = qpc.find(kWeightsSegment);
  ASSERT_TRUE(weights.has_value());
  EXPECT_EQ((weights->data() - qpc.image().data()) % 64, 0);
  std::vector<std::byte> expected(133);
  std::ranges::copy(one, expected.begin());
  std::ranges::copy(two, expected.begin() + 64);
  std::ranges::copy(three, expected.begin() + 128);
  EXPECT_TRUE(std::ranges::equal(*weights, expected));

  EXPECT_TRUE(qpc.verify().ok());

  auto damaged = bytes.value();
  damaged[static_cast<size_t>(weights->data() - qpc.image().data()) + 70] ^= std::byte{1};
  const Status status = open_bytes(damaged).status();
  EXPECT_EQ(status.code(), Code::kDataLoss);
  EXPECT_NE(status.message().find("in its MiB 0"), std::string_view::npos) << status.message();

  small.content.weights.clear();
  small.content.extra = {{kWeightsSegment, one}};
  EXPECT_EQ(build_qpc(small.content).status().code(), Code::kInvalidArgument);
}

// A file size limit stands in for a full disk.
TEST(QpcWriter, FullDiskLeavesTheOldFile) {
  Scratch scratch;
  SmallContent small;
  const std::string path = scratch.write("qpc.bin", bytes_of("old"));
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small_files{100, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small_files), 0);
  const Status status = write_qpc(path, small.content);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(status.code(), Code::kResourceExhausted);
  EXPECT_EQ(status.message(), path + ": cannot write: File too large");
  EXPECT_EQ(std::filesystem::file_size(path), 3u);
  EXPECT_EQ(scratch.count(), 1u);
}

// Large weights may be checked later, and are then refused with the same words.
TEST(QpcWriter, LargeWeightsCanBeCheckedLater) {
  const Scratch scratch;
  for (const size_t size : {size_t{1000}, (size_t{3} << 20) + 5}) {
    SmallContent small;
    const std::vector<std::byte> weight(size, std::byte{7});
    small.content.weights = {weight};
    auto bytes = build_qpc(small.content).value();
    const std::string whole = scratch.write("whole.bin", bytes);
    const auto qpc = open_bytes(bytes).value();
    const auto at = qpc->find(kWeightsSegment)->data() - qpc->image().data();
    bytes[static_cast<size_t>(at) + size - 1] ^= std::byte{1};
    const std::string damaged = scratch.write("damaged.bin", bytes);

    EXPECT_TRUE(Qpc::open(whole).value()->weights_checked());
    const auto good = Qpc::open(whole, WeightsCheck::kLater);
    ASSERT_TRUE(good.ok()) << good.status().to_string();
    EXPECT_EQ(good.value()->weights_checked(), size == 1000);
    EXPECT_TRUE(good.value()->check_weights().ok());
    EXPECT_TRUE(good.value()->weights_checked());

    const Status refused = Qpc::open(damaged).status();
    EXPECT_EQ(refused.code(), Code::kDataLoss);
    const auto later = Qpc::open(damaged, WeightsCheck::kLater);
    ASSERT_EQ(later.ok(), size != 1000);
    for (int twice = 0; later.ok() && twice < 2; ++twice) {
      EXPECT_EQ(later.value()->check_weights().to_string(), refused.to_string());
      EXPECT_FALSE(later.value()->weights_checked());
    }
  }
}

}  // namespace
}  // namespace qaickit
