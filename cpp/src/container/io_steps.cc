#include "container/io_steps.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/cat.h"
#include "container/io_stage.h"
#include "container/message_io.h"
#include "container/network_desc.h"
#include "container/network_desc.pb.h"
#include "container/text.h"
#include "qaickit/qpc.h"

namespace qaickit {
namespace {

namespace pb = aicnwdesc;

bool is_quantised(pb::dataType type) {
  return type == pb::Int8QTy || type == pb::UInt8QTy || type == pb::Int16QTy ||
         type == pb::Int32QTy;
}

// An IODescriptor and a transform say the same by other names.
template <class Dims>
std::optional<IoFormat> format_of(pb::dataType type, float scale, int32_t offset, const Dims& dims,
                                  pb::networkDescLayout layout) {
  const std::optional<DType> dtype = dtype_of_vendor_type(type);
  if (!dtype) return std::nullopt;
  IoFormat format;
  format.dtype = *dtype;
  format.quantised = is_quantised(type);
  format.scale = scale != 0.0f ? scale : 1.0f;
  format.offset = offset;
  format.dims.assign(dims.begin(), dims.end());
  format.flat = layout == pb::FlatNXYD;
  return format;
}
std::optional<IoFormat> format_of(const pb::IODescriptor& io) {
  return format_of(io.type(), io.qscale(), io.qoffset(), io.dims(), io.layout());
}
std::optional<IoFormat> format_of(const pb::transform& step) {
  return format_of(step.type(), step.scale(), step.offset(), step.dims(), step.layout());
}

std::optional<IoStep::Kind> kind_of(pb::transformKind kind) {
  switch (kind) {
    case pb::ConvertTransform:
    case pb::DequantizeTransform:
    case pb::QuantizeTransform: return IoStep::Kind::kConvert;
    case pb::ConvertToD32Transform:
    case pb::ConvertFromD32Transform: return IoStep::Kind::kRetile;
    case pb::TransposeTransform: return IoStep::Kind::kTranspose;
    case pb::CopyDMABufferTransform: return IoStep::Kind::kCopy;
    default: return std::nullopt;
  }
}

Status damaged(const pb::IOBinding& binding, std::string_view what) {
  return Status(Code::kDataLoss,
                cat(kNetworkDescSegment, ": ", printable(binding.name()), " ", what));
}

// All steps of the binding. A step that does not say how its numbers are quantised leaves it at
// what it was before.
Result<std::vector<IoStep>> all_steps(const pb::IOBinding& binding, bool is_input) {
  std::vector<IoStep> steps;
  std::optional<IoFormat> before = format_of(binding.io_initial());
  bool has_scale = binding.io_initial().qscale() != 0.0f;
  for (int i = 0; i < binding.transformseq_size(); ++i) {
    const pb::transform& from = binding.transformseq(i);
    const std::optional<IoStep::Kind> kind = kind_of(from.kind());
    // The user's end is described by the binding itself.
    const bool is_users = !is_input && i + 1 == binding.transformseq_size();
    std::optional<IoFormat> after =
        is_users ? format_of(binding.io_transformed()) : format_of(from);
    if (!kind || !before || !after)
      return damaged(binding, "has a step of an unknown kind or type");
    if (from.kind() == pb::DequantizeTransform && !has_scale && from.scale() != 0.0f) {
      before->scale = from.scale();
      before->offset = from.offset();
    }
    const bool says = from.scale() != 0.0f;
    if (*kind != IoStep::Kind::kConvert && !says && !is_users) {
      after->scale = before->scale;
      after->offset = before->offset;
    }
    has_scale = has_scale || says;
    steps.push_back({*kind, *before, *after, {from.shuffle().begin(), from.shuffle().end()}});
    before = std::move(after);
  }
  return steps;
}

Result<std::vector<IoStep>> steps_of(const pb::IOBinding& binding, bool is_input,
                                     const IoStage& stage) {
  const pb::transformKind kind = is_input ? stage.of_input : stage.of_output;
  const int at = find_step(binding, kind);
  if (at < 0) return std::vector<IoStep>{};
  QAICKIT_ASSIGN_OR_RETURN(std::vector<IoStep> steps, all_steps(binding, is_input));
  if (is_input) {
    steps.resize(static_cast<size_t>(at) + 1);
    return steps;
  }
  // As the sets have it: an output is as before its step, other than at the copy.
  const int first = kind == pb::CopyDMABufferTransform ? at + 1 : at;
  steps.erase(steps.begin(), steps.begin() + first);
  return steps;
}

}  // namespace

Result<std::vector<std::vector<IoStep>>> derive_io_steps(Bytes network_desc, std::string_view set) {
  pb::networkDescriptor network;
  QAICKIT_RETURN_IF_ERROR(parse_message(network_desc, kNetworkDescSegment, &network));
  const size_t num_inputs = static_cast<size_t>(network.inputs_size());
  const size_t num_bindings = num_inputs + static_cast<size_t>(network.outputs_size());
  std::vector<std::vector<IoStep>> steps(num_bindings);
  const auto stage = std::ranges::find(kIoStages, set, &IoStage::name);
  if (stage == kIoStages.end()) return steps;  // "default"
  for (size_t i = 0; i < num_bindings; ++i) {
    const bool is_input = i < num_inputs;
    const pb::IOBinding& binding = is_input ? network.inputs(static_cast<int>(i))
                                            : network.outputs(static_cast<int>(i - num_inputs));
    QAICKIT_ASSIGN_OR_RETURN(steps[i], steps_of(binding, is_input, *stage));
  }
  return steps;
}

}  // namespace qaickit
