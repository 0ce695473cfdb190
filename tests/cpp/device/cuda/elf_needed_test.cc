#include "device/cuda/elf_needed.h"

#include <elf.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "container/file_image.h"
#include "support/result.h"

namespace qaickit {
namespace {

using test::is_error;
using test::value_of;

std::vector<std::byte> own_executable() {
  const FileImage image = value_of(FileImage::map("/proc/self/exe"));
  return {image.bytes().begin(), image.bytes().end()};
}

template <class T>
T* at(std::vector<std::byte>& file, size_t offset) {
  return reinterpret_cast<T*>(file.data() + offset);
}

TEST(ElfNeeded, ListsWhatThisTestIsLinkedTo) {
  const auto needed = value_of(needed_libraries(own_executable()));
  EXPECT_NE(std::find(needed.begin(), needed.end(), "libc.so.6"), needed.end());
  for (const std::string& name : needed) EXPECT_NE(name.find(".so"), name.npos) << name;
}

TEST(ElfNeeded, WhatIsNoLibraryIsRefused) {
  EXPECT_TRUE(is_error(needed_libraries({}).status(), Code::kDataLoss, "ELF"));
  EXPECT_TRUE(is_error(needed_libraries(as_byte_span("#!/bin/sh")).status(), Code::kDataLoss));
  std::vector<std::byte> file = own_executable();
  file[EI_CLASS] = std::byte{ELFCLASS32};
  EXPECT_TRUE(is_error(needed_libraries(file).status(), Code::kDataLoss, "header"));
}

// Whatever a header says, nothing outside of the file is read (under AddressSanitizer).
TEST(ElfNeeded, DamagedFilesAreRefusedOrRead) {
  const std::vector<std::byte> whole = own_executable();
  const auto changed = [&](auto change) {
    std::vector<std::byte> file = whole;
    change(file);
    return needed_libraries(file).status();
  };
  EXPECT_TRUE(is_error(changed([](auto& f) { at<Elf64_Ehdr>(f, 0)->e_phoff = UINT64_MAX - 8; }),
                       Code::kDataLoss, "program headers"));
  EXPECT_TRUE(is_error(changed([](auto& f) { at<Elf64_Ehdr>(f, 0)->e_phentsize = 1; }),
                       Code::kDataLoss, "program headers"));
  const auto header = *reinterpret_cast<const Elf64_Ehdr*>(whole.data());
  const auto each = [&](uint32_t type, auto change) {
    return changed([&](auto& f) {
      for (size_t i = 0; i < header.e_phnum; ++i) {
        auto* const entry = at<Elf64_Phdr>(f, header.e_phoff + i * sizeof(Elf64_Phdr));
        if (entry->p_type == type) change(*entry);
      }
    });
  };
  EXPECT_TRUE(is_error(each(PT_DYNAMIC, [](Elf64_Phdr& p) { p.p_offset = UINT64_MAX; }),
                       Code::kDataLoss, "dynamic section"));
  EXPECT_TRUE(is_error(each(PT_LOAD, [](Elf64_Phdr& p) { p.p_offset = UINT64_MAX - 1; }),
                       Code::kDataLoss, "string table"));
  EXPECT_TRUE(is_error(each(PT_LOAD, [](Elf64_Phdr& p) { p.p_filesz = 0; }), Code::kDataLoss,
                       "string table"));
  for (size_t bytes = 0; bytes < 4096; bytes += 61) {
    (void)needed_libraries(Bytes(whole).first(std::min(bytes, whole.size())));
  }
}

}  // namespace
}  // namespace qaickit
