#include <algorithm>
#include <atomic>
#include <utility>

#include "base/cat.h"
#include "container/file_image.h"
#include "container/manifest.h"
#include "container/network_desc.h"
#include "container/qpc_format.h"
#include "container/qpc_view.h"
#include "container/segment_table.h"
#include "qaickit/qpc.h"

namespace qaickit {
namespace {

Status missing(std::string_view name) {
  return Status(Code::kDataLoss, cat("segment '", name, "' is missing; compile the QPC again"));
}

// Checking fewer bytes of weights takes no longer than handing that to another thread.
constexpr size_t kCheckedAtOnce = size_t{1} << 20;

class QpcFile final : public Qpc {
 public:
  QpcFile(FileImage image, std::string label)
      : image_(std::move(image)), label_(std::move(label)) {}

  Status parse(WeightsCheck check) {
    QAICKIT_ASSIGN_OR_RETURN(segments_, parse_segments(image_.bytes()));
    // Those without which the vendor's runtime does not open the file either.
    for (const std::string_view name :
         {kNetworkDescSegment, kNetworkElfSegment, kConstantsDescSegment}) {
      if (!find(name)) return missing(name);
    }
    const Bytes network_desc = *find(kNetworkDescSegment);
    const std::optional<Bytes> manifest = find(kManifestSegment);
    if (!manifest && !has_host_half()) {
      QAICKIT_ASSIGN_OR_RETURN(program_, decode_network_desc(network_desc, ZeroDims::kRefuse));
      return {};
    }
    if (!manifest) return missing(kManifestSegment);
    if (!has_host_half()) return missing(kModelSegment);
    QAICKIT_ASSIGN_OR_RETURN(ManifestRecord record, decode_manifest(*manifest));
    QAICKIT_RETURN_IF_ERROR(
        verify_segments(record.segments, image_.bytes(), segments_, Check::kQuick));
    QAICKIT_ASSIGN_OR_RETURN(program_, decode_network_desc(network_desc, ZeroDims::kAllow));
    QAICKIT_RETURN_IF_ERROR(apply_host_dtypes(record, &program_));
    manifest_ = std::move(record.manifest);
    records_ = std::move(record.segments);
    weights_checked_.store(false, std::memory_order_relaxed);
    const std::optional<Bytes> weights = find(kWeightsSegment);
    const bool large = weights && weights->size() > kCheckedAtOnce;
    return check == WeightsCheck::kLater && large ? Status() : verify_weights();
  }

  const std::string& label() const noexcept override { return label_; }
  const ProgramSpec& program() const noexcept override { return program_; }
  std::span<const SegmentView> segments() const noexcept override { return segments_; }
  std::optional<HostManifest> manifest() const override { return manifest_; }
  Status verify() const override {
    if (!manifest_) return {};
    return verify_segments(records_, image_.bytes(), segments_, Check::kFull).with_context(label_);
  }
  Status check_weights() const override { return verify_weights().with_context(label_); }
  bool weights_checked() const noexcept override {
    return weights_checked_.load(std::memory_order_relaxed);
  }
  size_t file_bytes() const noexcept override { return image_.bytes().size(); }
  std::span<const std::byte> image() const noexcept override { return image_.bytes(); }

 private:
  Status verify_weights() const {
    if (weights_checked()) return {};
    QAICKIT_RETURN_IF_ERROR(verify_crcs(records_, image_.bytes(), segments_));
    weights_checked_.store(true, std::memory_order_relaxed);
    return {};
  }

  FileImage image_;
  std::string label_;
  std::vector<SegmentView> segments_;  // views into image_
  ProgramSpec program_;
  std::optional<HostManifest> manifest_;
  std::vector<SegmentRecord> records_;  // empty: no host half
  // relaxed: says that nobody needs to look again, and hands nothing over. No lock, which a fork
  // could leave taken.
  mutable std::atomic<bool> weights_checked_{true};
};

Result<std::shared_ptr<const Qpc>> open_image(FileImage image, std::string label,
                                              WeightsCheck check = WeightsCheck::kNow) {
  auto qpc = std::make_shared<QpcFile>(std::move(image), std::move(label));
  if (Status status = qpc->parse(check); !status.ok()) return status.with_context(qpc->label());
  return std::shared_ptr<const Qpc>(std::move(qpc));
}

}  // namespace

Result<std::shared_ptr<const Qpc>> Qpc::open(const std::string& path, WeightsCheck check) {
  Result<FileImage> image = FileImage::map(path);
  if (!image.ok()) return image.status().with_context(path);
  return open_image(std::move(image).value(), path, check);
}

Result<std::shared_ptr<const Qpc>> Qpc::from_bytes(std::vector<std::byte> bytes,
                                                   std::string label) {
  return open_image(FileImage::own(std::move(bytes)), std::move(label));
}

Result<std::shared_ptr<const Qpc>> view_qpc(Bytes bytes, std::string label) {
  return open_image(FileImage::borrow(bytes), std::move(label));
}

std::optional<std::span<const std::byte>> Qpc::find(std::string_view name) const noexcept {
  for (const SegmentView& segment : segments()) {
    if (segment.name == name) return segment.data;
  }
  return std::nullopt;
}

bool Qpc::has_card_half() const noexcept {
  const auto elf = find(kNetworkElfSegment);
  return elf && !elf->empty() && !std::ranges::equal(*elf, kPlaceholderElf);
}

}  // namespace qaickit
