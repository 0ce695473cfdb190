#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdio>
#include <fstream>
#include <limits>

#include "container/text.h"
#include "qpc_bytes.h"
#include "scratch.h"

namespace qaickit {
namespace {

using namespace test;

constexpr const char* kCopyAgain = "; the file is damaged or incomplete, copy or compile it again";

// The message of a file that must be refused as damaged.
std::string error_of(ByteVector bytes) {
  const auto qpc = open_bytes(std::move(bytes));
  EXPECT_EQ(qpc.status().code(), Code::kDataLoss);
  return std::string(qpc.status().message());
}

std::string error_of(const RawQpc& raw) { return error_of(raw.build()); }

TEST(QpcReader, WorkedExample) {
  const auto result = open_bytes(example_file());
  ASSERT_TRUE(result.ok()) << result.status().to_string();
  const Qpc& qpc = *result.value();
  EXPECT_EQ(qpc.file_bytes(), 400u);
  EXPECT_EQ(qpc.label(), "test.bin");
  EXPECT_EQ(qpc.program().name, "demo");
  EXPECT_EQ(qpc.program().inputs.at(0).bytes(), 602112u);
  EXPECT_EQ(qpc.program().outputs.at(0).bytes(), 4000u);
  ASSERT_EQ(qpc.segments().size(), 3u);
  EXPECT_EQ(qpc.segments()[0].name, kConstantsDescSegment);
  EXPECT_EQ(qpc.segments()[1].name, kNetworkElfSegment);
  EXPECT_EQ(qpc.segments()[1].data.size(), 64u);
  EXPECT_EQ(qpc.segments()[2].name, kNetworkDescSegment);
  EXPECT_EQ(qpc.segments()[2].data.size(), 119u);
  EXPECT_FALSE(qpc.has_host_half());
  EXPECT_FALSE(qpc.has_card_half());
  EXPECT_FALSE(qpc.manifest().has_value());
  EXPECT_FALSE(qpc.find("nothing").has_value());
}

TEST(QpcReader, TestBuilderMakesTheExampleToo) {
  RawQpc raw;
  raw.segments[1].data.assign(kPlaceholderElf.begin(), kPlaceholderElf.end());
  EXPECT_EQ(raw.build(), example_file());
}

TEST(QpcReader, EveryFlavourOpens) {
  for (const uint64_t base : {uint64_t{0}, uint64_t{0x7f12'3456'7000}, ~uint64_t{0} - 99}) {
    for (const bool padded : {true, false}) {
      for (const bool table_at_end : {true, false}) {
        RawQpc raw;
        raw.base = base;
        raw.padded = padded;
        raw.table_at_end = table_at_end;
        const auto qpc = open_bytes(raw.build());
        ASSERT_TRUE(qpc.ok()) << qpc.status().to_string();
        EXPECT_EQ(qpc.value()->program().name, "demo");
        EXPECT_EQ(qpc.value()->segments().size(), 3u);
      }
    }
  }
}

TEST(QpcReader, VersionsAndCompressionOtherThanZeroAreNotLookedAt) {
  ByteVector file = example_file();
  poke(file, 4, uint8_t{7});
  poke(file, 5, uint8_t{9});
  poke(file, 6, uint16_t{2});
  EXPECT_TRUE(open_bytes(file).ok());
}

TEST(QpcReader, UnknownSegmentsAreKeptAndIgnored) {
  RawQpc raw;
  raw.segments.insert(raw.segments.begin(), {"mdp_meta_info", bytes_of("?")});
  raw.segments.push_back({"", {}});
  const auto qpc = open_bytes(raw.build());
  ASSERT_TRUE(qpc.ok()) << qpc.status().to_string();
  EXPECT_EQ(qpc.value()->segments().size(), 5u);
  EXPECT_EQ(as_text(*qpc.value()->find("mdp_meta_info")), "?");
}

TEST(QpcReader, FirstOfANameWins) {
  RawQpc raw;
  raw.segments.push_back({"networkdesc.bin", bytes_of("\xff\xff")});
  raw.segments.push_back({"x", bytes_of("first")});
  raw.segments.push_back({"x", bytes_of("second")});
  const auto qpc = open_bytes(raw.build());
  ASSERT_TRUE(qpc.ok()) << qpc.status().to_string();
  EXPECT_EQ(as_text(*qpc.value()->find("x")), "first");
}

TEST(QpcReader, StaticPartOfConstantsIsKept) {
  RawQpc raw;
  raw.segments.push_back({"constants.bin", bytes_of("staticdyn"), 6});
  const auto qpc = open_bytes(raw.build());
  ASSERT_TRUE(qpc.ok()) << qpc.status().to_string();
  EXPECT_EQ(qpc.value()->segments()[3].offset, 6u);
  EXPECT_EQ(as_text(qpc.value()->segments()[3].data), "staticdyn");
  raw.segments[3].offset = 10;
  EXPECT_EQ(error_of(raw),
            std::string("test.bin: segment 3 ('constants.bin') has a static part of 10 bytes, but "
                        "9 in all") +
                kCopyAgain);
}

TEST(QpcReader, CardHalfIsMoreThanThePlaceholder) {
  RawQpc raw;
  EXPECT_FALSE(open_bytes(raw.build()).value()->has_card_half());  // empty
  raw.segments[1].data = bytes_of(
      "\x7f"
      "ELF and a program");
  EXPECT_TRUE(open_bytes(raw.build()).value()->has_card_half());
}

TEST(QpcReader, RequiredSegments) {
  for (size_t i = 0; i < 3; ++i) {
    RawQpc raw;
    const std::string name = raw.segments[i].name;
    raw.segments.erase(raw.segments.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_EQ(error_of(raw), "test.bin: segment '" + name + "' is missing; compile the QPC again");
  }
}

TEST(QpcReader, ForeignFiles) {
  EXPECT_EQ(error_of(ByteVector{}), "test.bin: not a QPC: the file is empty");
  EXPECT_EQ(error_of(bytes_of("\x7f"
                              "ELF\2\1\1")),
            "test.bin: not a QPC: magic 0x464c457f, expected 0x00a1cd7c at offset 0; is this file "
            "complete?");
  EXPECT_EQ(error_of(from_hex("7c cd a1 00 00 01")),
            "test.bin: not a QPC: 6 bytes, the header alone has 40; is this file complete?");
  for (const char* start :
       {"PK\3\4", "\x08\x07\x12\x04pytorch", "hello, world", "\x1f\x8b\x08", "a"}) {
    ByteVector bytes = bytes_of(start);
    error_of(bytes);
    bytes.resize(500);
    error_of(bytes);
  }
  error_of(ByteVector(4096));
}

TEST(QpcReader, EveryTruncation) {
  SmallContent small;
  for (const ByteVector& whole : {example_file(), build_qpc(small.content).value()}) {
    for (size_t length = 0; length < whole.size(); ++length) {
      error_of(ByteVector(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)));
      // The same with a header that agrees, so that the later checks are reached.
      if (length < sizeof(QpcHeader)) continue;
      ByteVector cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
      poke(cut, 8, uint64_t{length});
      const auto qpc = open_bytes(cut);
      if (qpc.ok()) {
        EXPECT_EQ(describe(*qpc.value()), describe(*open_bytes(whole).value())) << length;
      } else {
        EXPECT_EQ(qpc.status().code(), Code::kDataLoss) << length;
      }
    }
  }
}

TEST(QpcReader, SizeMismatch) {
  ByteVector file = example_file();
  file.resize(408);
  EXPECT_EQ(
      error_of(file),
      std::string("test.bin: the header says 400 bytes (offset 8), the file has 408") + kCopyAgain);
}

TEST(QpcReader, FastPathIsRefused) {
  ByteVector file = example_file();
  poke(file, 6, uint16_t{0});
  EXPECT_NE(error_of(file).find("compression type at offset 6 is 0"), std::string::npos);
}

TEST(QpcReader, HugeCountAndWildPointers) {
  ByteVector file = example_file();
  poke(file, 24, uint64_t{65537});
  EXPECT_EQ(error_of(file),
            std::string("test.bin: number of segments at offset 24 is 65537, at most 65536 are "
                        "possible") +
                kCopyAgain);
  poke(file, 24, uint64_t{65536});
  EXPECT_EQ(error_of(file),
            std::string("test.bin: segment table of 65536 entries is at offset 40, the file has "
                        "400 bytes") +
                kCopyAgain);
  file = example_file();
  poke(file, 0x28 + 24, ~uint64_t{0});
  EXPECT_EQ(error_of(file),
            std::string("test.bin: segment 0 ('constantsdesc.bin') has 24 bytes at offset "
                        "18446744073709551615, the file has 400") +
                kCopyAgain);
  file = example_file();
  poke(file, 0x28 + 16, uint64_t{400});
  EXPECT_EQ(error_of(file),
            std::string("test.bin: name of segment 0 is at offset 400, the file has 400 bytes") +
                kCopyAgain);
}

TEST(QpcReader, NamesMustEndAndBeText) {
  ByteVector file = example_file();
  file.back() = std::byte{'x'};  // no zero byte from here on
  poke(file, 0x28 + 16, uint64_t{399});
  EXPECT_EQ(error_of(file),
            std::string("test.bin: name of segment 0 at offset 399 does not end within 1 bytes") +
                kCopyAgain);
  RawQpc raw;
  raw.segments.push_back({std::string(kMaxNameBytes, 'n'), {}});
  EXPECT_TRUE(open_bytes(raw.build()).ok());
  raw.segments.back().name += 'n';
  EXPECT_NE(error_of(raw).find("does not end within 4096 bytes"), std::string::npos);
  raw.segments.back().name = "\xff\x1b";
  EXPECT_NE(error_of(raw).find("is not UTF-8: '\\xff\\x1b'"), std::string::npos);
}

// Any value in any length or pointer: refused as damaged, or a file whose every byte can be read.
TEST(QpcReader, EveryFieldSetToItsLimits) {
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  SmallContent small;
  for (const ByteVector& whole : {example_file(), build_qpc(small.content).value()}) {
    const std::string intact = describe(*open_bytes(whole).value());
    const bool host_half = open_bytes(whole).value()->has_host_half();
    const size_t fields_end = sizeof(QpcHeader) + load<QpcHeader>(whole, 0)->num_images * 32;
    for (size_t at = 8; at < fields_end; at += 8) {
      const uint64_t original = *load<uint64_t>(whole, at);
      for (const uint64_t value :
           {uint64_t{0}, uint64_t{1}, kMax, kMax - 1, kMax / 2, kMax / 2 + 1, kMax / 32,
            uint64_t{1} << 32, uint64_t{whole.size()}, uint64_t{whole.size() - 1},
            uint64_t{whole.size() + 1}, original + 1, original - 1, original + 32}) {
        ByteVector file = whole;
        poke(file, at, value);
        const auto qpc = open_bytes(file);
        if (!qpc.ok()) {
          EXPECT_EQ(qpc.status().code(), Code::kDataLoss);
        } else if (host_half) {
          EXPECT_EQ(describe(*qpc.value()), intact) << at << ' ' << value;
        } else {
          EXPECT_FALSE(describe(*qpc.value()).empty());
        }
      }
    }
  }
}

TEST(QpcReader, OpensFiles) {
  Scratch scratch;
  const std::string path = scratch.write("good.bin", example_file());
  const auto qpc = Qpc::open(path);
  ASSERT_TRUE(qpc.ok()) << qpc.status().to_string();
  EXPECT_EQ(qpc.value()->label(), path);
  EXPECT_EQ(describe(*qpc.value()), describe(*open_bytes(example_file()).value()));
  ASSERT_EQ(std::remove(path.c_str()), 0);  // the mapping outlives the name
  EXPECT_EQ(qpc.value()->segments()[2].data.size(), 119u);
}

TEST(QpcReader, PathsThatAreNoFiles) {
  Scratch scratch;
  const auto code = [](const std::string& path) { return Qpc::open(path).status().code(); };
  EXPECT_EQ(code(scratch.path("missing.bin")), Code::kNotFound);
  EXPECT_EQ(code(scratch.write("file", {}) + "/x"), Code::kNotFound);
  EXPECT_EQ(code(""), Code::kNotFound);
  EXPECT_EQ(code(scratch.path("")), Code::kInvalidArgument);  // the directory
  EXPECT_EQ(code("/dev/null"), Code::kInvalidArgument);
  EXPECT_EQ(code(std::string("a\0b", 3)), Code::kInvalidArgument);
  EXPECT_EQ(code(scratch.write("empty.bin", {})), Code::kDataLoss);
  const std::string fifo = scratch.path("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_EQ(code(fifo), Code::kInvalidArgument);
  EXPECT_EQ(Qpc::open(scratch.path("missing.bin")).status().message(),
            scratch.path("missing.bin") + ": cannot open: No such file or directory");
}

TEST(QpcReader, NoPermission) {
  Scratch scratch;
  const std::string path = scratch.write("secret.bin", example_file());
  ASSERT_EQ(chmod(path.c_str(), 0), 0);
  const AsNobody nobody;
  EXPECT_EQ(Qpc::open(path).status().code(), Code::kPermissionDenied);
}

}  // namespace
}  // namespace qaickit
