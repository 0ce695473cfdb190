#include "device/cuda/elf_needed.h"

#include <elf.h>

#include <cstring>
#include <optional>

namespace qaickit {
namespace {

Status damaged(const char* what) {
  return Status(Code::kDataLoss, std::string("not a 64-bit ELF library, or damaged: ") + what);
}

// Where the file holds what is at a virtual address once it is loaded.
std::optional<uint64_t> offset_of(const std::vector<Elf64_Phdr>& headers, uint64_t address) {
  for (const Elf64_Phdr& header : headers) {
    if (header.p_type != PT_LOAD || address < header.p_vaddr) continue;
    const uint64_t inside = address - header.p_vaddr;
    uint64_t offset = 0;
    if (inside >= header.p_filesz) continue;
    if (__builtin_add_overflow(header.p_offset, inside, &offset)) return std::nullopt;
    return offset;
  }
  return std::nullopt;
}

}  // namespace

Result<std::vector<std::string>> needed_libraries(Bytes file) {
  const auto elf = load<Elf64_Ehdr>(file, 0);
  if (!elf || std::memcmp(elf->e_ident, ELFMAG, SELFMAG) != 0 ||
      elf->e_ident[EI_CLASS] != ELFCLASS64 || elf->e_ident[EI_DATA] != ELFDATA2LSB) {
    return damaged("header");
  }
  const auto table = slice(file, elf->e_phoff, uint64_t{elf->e_phnum} * sizeof(Elf64_Phdr));
  if (!table || elf->e_phentsize != sizeof(Elf64_Phdr)) return damaged("program headers");
  std::vector<Elf64_Phdr> headers(elf->e_phnum);
  if (!headers.empty()) std::memcpy(headers.data(), table->data(), table->size());
  Bytes dynamic;
  for (const Elf64_Phdr& header : headers) {
    if (header.p_type != PT_DYNAMIC) continue;
    const auto part = slice(file, header.p_offset, header.p_filesz);
    if (!part) return damaged("dynamic section");
    dynamic = *part;
  }
  std::vector<uint64_t> names;
  uint64_t strings_address = 0;
  uint64_t strings_bytes = 0;
  for (size_t i = 0; i + sizeof(Elf64_Dyn) <= dynamic.size(); i += sizeof(Elf64_Dyn)) {
    const Elf64_Dyn entry = *load<Elf64_Dyn>(dynamic, i);
    if (entry.d_tag == DT_NULL) break;
    if (entry.d_tag == DT_NEEDED) names.push_back(entry.d_un.d_val);
    if (entry.d_tag == DT_STRTAB) strings_address = entry.d_un.d_ptr;
    if (entry.d_tag == DT_STRSZ) strings_bytes = entry.d_un.d_val;
  }
  std::vector<std::string> needed;
  if (names.empty()) return needed;
  const auto offset = offset_of(headers, strings_address);
  const auto strings = offset ? slice(file, *offset, strings_bytes) : std::nullopt;
  if (!strings) return damaged("string table");
  for (const uint64_t name : names) {
    if (name >= strings->size()) return damaged("name of a library");
    const std::string_view rest = as_text(strings->subspan(name));
    const size_t end = rest.find('\0');
    if (end == rest.npos) return damaged("name of a library");
    needed.emplace_back(rest.substr(0, end));
  }
  return needed;
}

}  // namespace qaickit
