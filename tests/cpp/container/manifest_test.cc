#include "container/manifest.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <functional>

#include "container/host_manifest.pb.h"
#include "qpc_bytes.h"

namespace qaickit {
namespace {

using namespace test;

// The small file's parts, to be put together again with something changed.
struct Parts {
  RawQpc raw;
  host::Manifest manifest;

  Parts() {
    SmallContent small;
    const auto qpc = open_bytes(build_qpc(small.content).value()).value();
    raw.segments.clear();
    for (const SegmentView& segment : qpc->segments()) {
      raw.segments.push_back({std::string(segment.name),
                              ByteVector(segment.data.begin(), segment.data.end()),
                              segment.offset});
    }
    const Bytes message = Bytes(*qpc->find(kManifestSegment)).subspan(32);
    EXPECT_TRUE(manifest.ParseFromArray(message.data(), static_cast<int>(message.size())));
  }

  RawQpc::Segment& segment(std::string_view name) {
    return *std::ranges::find(raw.segments, name, &RawQpc::Segment::name);
  }

  void seal() {
    const ByteVector message = bytes_of(manifest.SerializeAsString());
    const Sha256Digest digest = sha256(message);
    ByteVector& data = segment(kManifestSegment).data;
    data.assign(digest.begin(), digest.end());
    data.insert(data.end(), message.begin(), message.end());
  }

  Status open() { return open_bytes(raw.build()).status(); }
};

// What a file says when it is refused for a change to its manifest that carries a right digest.
Status sealed_error(const std::function<void(host::Manifest&)>& change) {
  Parts parts;
  change(parts.manifest);
  parts.seal();
  return parts.open();
}

// Bytes of a file without padding and version numbers.
std::vector<bool> meaningful_bytes(const ByteVector& file) {
  std::vector<bool> meaningful(file.size(), false);
  const auto mark = [&](uint64_t at, uint64_t size) {
    std::fill_n(meaningful.begin() + static_cast<std::ptrdiff_t>(at), size, true);
  };
  const QpcHeader header = *load<QpcHeader>(file, 0);
  mark(0, sizeof(QpcHeader) + header.num_images * sizeof(QpcSegmentEntry));
  meaningful[offsetof(QpcHeader, major_version)] = false;
  meaningful[offsetof(QpcHeader, minor_version)] = false;
  for (uint64_t i = 0; i < header.num_images; ++i) {
    const auto entry = *load<QpcSegmentEntry>(file, header.images + i * sizeof(QpcSegmentEntry));
    mark(entry.name, std::strlen(as_text(file).data() + entry.name) + 1);
    mark(entry.start, entry.size);
  }
  return meaningful;
}

TEST(Manifest, EverySingleBitFlipIsFoundOrHarmless) {
  SmallContent small;
  const ByteVector whole = build_qpc(small.content).value();
  const std::string intact = describe(*open_bytes(whole).value());
  const std::vector<bool> meaningful = meaningful_bytes(whole);
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    // Any compression type but 0 is taken, and the lowest bit is the only one set.
    const bool compression = bit / 16 == offsetof(QpcHeader, compression) / 2;
    const bool harmless = !meaningful[bit / 8] || (compression && bit % 16 != 0);
    ByteVector file = whole;
    file[bit / 8] ^= std::byte{1} << (bit % 8);
    const auto qpc = open_bytes(std::move(file));
    EXPECT_EQ(qpc.ok(), harmless) << "bit " << bit % 8 << " of byte " << bit / 8;
    if (qpc.ok()) {
      EXPECT_EQ(describe(*qpc.value()), intact);
    } else {
      EXPECT_EQ(qpc.status().code(), Code::kDataLoss);
    }
  }
}

TEST(Manifest, RelocatedFileIsTheSameFile) {
  Parts parts;
  parts.raw.base = 0x7fff'0000'1230;
  parts.raw.padded = false;
  parts.raw.table_at_end = true;
  EXPECT_TRUE(parts.open().ok()) << parts.open().to_string();
}

TEST(Manifest, BothPartsOfTheHostHalfAreNeeded) {
  for (const std::string_view name : {kModelSegment, kManifestSegment}) {
    Parts parts;
    std::erase_if(parts.raw.segments, [&](const auto& segment) { return segment.name == name; });
    const Status status = parts.open();
    EXPECT_EQ(status.code(), Code::kDataLoss);
    EXPECT_EQ(status.message(),
              "test.bin: segment '" + std::string(name) + "' is missing; compile the QPC again");
  }
}

TEST(Manifest, DamageIsNamed) {
  Parts parts;
  parts.segment(kModelSegment).data[3] ^= std::byte{1};
  std::string message(parts.open().message());
  EXPECT_NE(message.find("segment 'qaickit.model.onnx' (24 bytes at offset "), std::string::npos);
  EXPECT_NE(message.find("has SHA-256 "), std::string::npos);

  parts = Parts();
  parts.segment(kManifestSegment).data[40] ^= std::byte{1};
  EXPECT_EQ(parts.open().message(),
            "test.bin: segment 'qaickit.manifest.bin' does not match its own digest; the file is "
            "damaged, copy or compile it again");
  for (const size_t size : {size_t{0}, size_t{31}, size_t{32}}) {
    parts.segment(kManifestSegment).data.resize(size);
    EXPECT_EQ(parts.open().code(), Code::kDataLoss);
  }

  parts = Parts();
  parts.raw.segments.push_back({"added.bin", {}});
  EXPECT_EQ(parts.open().message(),
            "test.bin: the file has 7 segments, its manifest lists 6; the file is damaged, copy or "
            "compile it again");

  parts = Parts();
  std::swap(parts.raw.segments[2], parts.raw.segments[3]);
  EXPECT_EQ(parts.open().message(),
            "test.bin: segment 2 is named 'constantsdesc.bin', the manifest says 'constants.bin'; "
            "the file is damaged, copy or compile it again");

  parts = Parts();
  parts.segment(kConstantsSegment).offset = 6;
  EXPECT_EQ(parts.open().message(),
            "test.bin: segment 'constants.bin' has 14 bytes (static part 6), the manifest says 14 "
            "(7); the file is damaged, copy or compile it again");
}

TEST(Manifest, SegmentsThatShareBytesAreRefusedBeforeHashing) {
  const ByteVector file(100);
  ManifestRecord record;
  std::vector<SegmentView> segments;
  for (const char* name : {"a", "b"}) {
    record.segments.push_back({name, 51, 0, sha256(Bytes(file).first(51)), {}});
    segments.push_back({name, Bytes(file).first(51)});
  }
  EXPECT_EQ(verify_segments(record.segments, file, segments, Check::kQuick).message(),
            "segments up to 'b' overlap; the file is damaged, copy or compile it again");
}

TEST(Manifest, NewerFormatIsUnsupported) {
  const Status status = sealed_error([](auto& m) {
    m.set_format_version(2);
    m.set_producer("qaickit 9\x1b");
  });
  EXPECT_EQ(status.code(), Code::kUnsupported);
  EXPECT_EQ(status.message(),
            "test.bin: was written by a newer qaickit ('qaickit 9\\x1b', manifest format 2; this "
            "one knows 1): update qaickit or compile the model again");
}

TEST(Manifest, SealedNonsenseIsRefused) {
  const std::function<void(host::Manifest&)> changes[] = {
      [](auto& m) { m.set_format_version(0); },
      [](auto& m) { m.set_producer("\xff"); },
      [](auto& m) { m.mutable_options(0)->set_value("\xff"); },
      [](auto& m) { m.mutable_inputs(0)->set_dtype("float7"); },
      [](auto& m) { m.mutable_inputs(0)->set_dtype("float32"); },  // networkdesc.bin: int64
      [](auto& m) { m.mutable_inputs(0)->set_name("other"); },
      [](auto& m) { m.mutable_inputs()->RemoveLast(); },
      [](auto& m) { *m.add_outputs() = m.outputs(0); },
      [](auto& m) { m.mutable_segments()->RemoveLast(); },
      [](auto& m) { m.mutable_segments(1)->set_sha256("short"); },
      [](auto& m) { m.clear_segments(); },
  };
  for (const auto& change : changes) {
    EXPECT_EQ(sealed_error(change).code(), Code::kDataLoss);
  }
  EXPECT_TRUE(sealed_error([](auto&) {}).ok());

  Parts parts;
  ByteVector& data = parts.segment(kManifestSegment).data;
  const ByteVector garbage(5, std::byte{0xff});
  const Sha256Digest digest = sha256(garbage);
  data.assign(digest.begin(), digest.end());
  data.insert(data.end(), garbage.begin(), garbage.end());
  EXPECT_EQ(parts.open().message(),
            "test.bin: qaickit.manifest.bin: its 5 bytes are no protobuf message of its kind");
}

}  // namespace
}  // namespace qaickit
