#include "container/segment_table.h"

#include <algorithm>
#include <cstring>
#include <iomanip>
#include <ios>
#include <string>

#include "base/cat.h"
#include "container/qpc_format.h"
#include "container/text.h"

namespace qaickit {
namespace {

constexpr const char* kCopyAgain = "; the file is damaged or incomplete, copy or compile it again";

template <class... Args>
Status damaged(const Args&... args) {
  return Status(Code::kDataLoss, cat(args..., kCopyAgain));
}

Status not_a_qpc(uint32_t magic) {
  return Status(Code::kDataLoss, cat("not a QPC: magic 0x", std::hex, std::setfill('0'),
                                     std::setw(8), magic, ", expected 0x", std::setw(8), kQpcMagic,
                                     " at offset 0; is this file complete?"));
}

Result<QpcHeader> parse_header(Bytes file) {
  if (file.empty()) return Status(Code::kDataLoss, "not a QPC: the file is empty");
  const auto magic = load<uint32_t>(file, 0);
  if (magic && *magic != kQpcMagic) return not_a_qpc(*magic);
  const auto header = load<QpcHeader>(file, 0);
  if (!header) {
    return Status(Code::kDataLoss, cat("not a QPC: ", file.size(), " bytes, the header alone has ",
                                       sizeof(QpcHeader), "; is this file complete?"));
  }
  if (header->compression == kQpcFastPath) {
    return Status(Code::kDataLoss,
                  "compression type at offset 6 is 0: this QPC points into the memory of the "
                  "process that made it and cannot be opened from a file; compile it again");
  }
  if (header->size != file.size()) {
    return damaged("the header says ", header->size, " bytes (offset 8), the file has ",
                   file.size());
  }
  if (header->num_images > kMaxSegments) {
    return damaged("number of segments at offset 24 is ", header->num_images, ", at most ",
                   kMaxSegments, " are possible");
  }
  return *header;
}

Result<std::string_view> parse_name(Bytes file, uint64_t offset, uint64_t index) {
  if (offset >= file.size()) {
    return damaged("name of segment ", index, " is at offset ", offset, ", the file has ",
                   file.size(), " bytes");
  }
  const std::string_view rest = as_text(file.subspan(static_cast<size_t>(offset)));
  const size_t end = rest.substr(0, kMaxNameBytes + 1).find('\0');
  if (end == std::string_view::npos) {
    return damaged("name of segment ", index, " at offset ", offset, " does not end within ",
                   std::min(rest.size(), kMaxNameBytes), " bytes");
  }
  const std::string_view name = rest.substr(0, end);
  if (!is_utf8(name)) {
    return damaged("name of segment ", index, " at offset ", offset,
                   " is not UTF-8: ", printable(name));
  }
  return name;
}

}  // namespace

Result<std::vector<SegmentView>> parse_segments(Bytes file) {
  QAICKIT_ASSIGN_OR_RETURN(const QpcHeader header, parse_header(file));
  const uint64_t table = header.images - header.base;
  if (!slice(file, table, header.num_images * sizeof(QpcSegmentEntry))) {
    return damaged("segment table of ", header.num_images, " entries is at offset ", table,
                   ", the file has ", file.size(), " bytes");
  }

  std::vector<SegmentView> segments;
  segments.reserve(static_cast<size_t>(header.num_images));
  for (uint64_t i = 0; i < header.num_images; ++i) {
    const auto entry = *load<QpcSegmentEntry>(file, table + i * sizeof(QpcSegmentEntry));
    QAICKIT_ASSIGN_OR_RETURN(const std::string_view name,
                             parse_name(file, entry.name - header.base, i));
    const uint64_t start = entry.start - header.base;
    const auto payload = slice(file, start, entry.size);
    if (!payload) {
      return damaged("segment ", i, " (", printable(name), ") has ", entry.size,
                     " bytes at offset ", start, ", the file has ", file.size());
    }
    if (entry.offset > entry.size) {
      return damaged("segment ", i, " (", printable(name), ") has a static part of ", entry.offset,
                     " bytes, but ", entry.size, " in all");
    }
    segments.push_back({name, *payload, entry.offset});
  }
  return segments;
}

}  // namespace qaickit
