#include "container/io_desc.h"

#include <limits>
#include <optional>
#include <string_view>

#include "QAicApi.pb.h"
#include "base/cat.h"
#include "container/io_stage.h"
#include "container/message_io.h"
#include "container/network_desc.h"
#include "container/text.h"
#include "qaickit/qpc.h"

namespace qaickit {
namespace {

namespace pb = aicnwdesc;
using Dims = google::protobuf::RepeatedField<int32_t>;

Status damaged(const std::string& message) {
  return Status(Code::kDataLoss, cat(kNetworkDescSegment, ": ", message));
}

std::optional<uint32_t> element_bytes(pb::dataType type) {
  switch (type) {
    case pb::FloatTy:
    case pb::Int32QTy:
    case pb::Int32ITy: return 4;
    case pb::Float16Ty:
    case pb::Int16QTy: return 2;
    case pb::Int8QTy:
    case pb::UInt8QTy:
    case pb::Int8Ty: return 1;
    case pb::Int64ITy: return 8;
    default: return std::nullopt;
  }
}

// Zero dims do not count.
std::optional<uint32_t> buffer_bytes(pb::dataType type, const Dims& dims) {
  const std::optional<uint32_t> element = element_bytes(type);
  if (!element) return std::nullopt;
  uint64_t bytes = *element;
  for (const int32_t dim : dims) {
    if (dim < 0) return std::nullopt;
    if (dim > 0) bytes *= static_cast<uint32_t>(dim);
    if (bytes > std::numeric_limits<uint32_t>::max()) return std::nullopt;
  }
  return static_cast<uint32_t>(bytes);
}

aicapi::bufferIoDirectionEnum direction_of(pb::direction side) {
  return side == pb::In ? aicapi::BUFFER_IO_TYPE_INPUT : aicapi::BUFFER_IO_TYPE_OUTPUT;
}

// The two enumerations number their types alike.
aicapi::bufferIoDataTypeEnum type_of(pb::dataType type) {
  return static_cast<aicapi::bufferIoDataTypeEnum>(type);
}

// Fields that a stage sets, from a step of the sequence or from a description of the whole.
Status fill(pb::dataType type, float scale, int32_t offset, const Dims& dims,
            aicapi::IoBinding* binding) {
  const std::optional<uint32_t> bytes = buffer_bytes(type, dims);
  if (!bytes) {
    return damaged(cat(printable(binding->name()), " has a type or dims that make no buffer"));
  }
  binding->set_type(type_of(type));
  binding->set_quant_scale(scale);
  binding->set_quant_offset(offset);
  *binding->mutable_dims() = dims;
  binding->set_size(*bytes);
  return {};
}

Status fill(const pb::IODescriptor& io, aicapi::IoBinding* binding) {
  return fill(io.type(), io.qscale(), io.qoffset(), io.dims(), binding);
}

Status fill(const pb::transform& step, aicapi::IoBinding* binding) {
  QAICKIT_RETURN_IF_ERROR(fill(step.type(), step.scale(), step.offset(), step.dims(), binding));
  if (step.kind() != pb::CopyDMABufferTransform) return {};
  aicapi::DmaBufInfo* dma = binding->add_dma_buf_info();
  dma->set_dma_buf_index(step.copy_dma_buffer().buffer_num());
  dma->set_dma_size(binding->size());
  dma->set_dma_offset(step.copy_dma_buffer().offset());
  return {};
}

// The binding as it is at `stage`; `of_default` is what it is at the user's end.
Status add_stage(const pb::IOBinding& source, const IoStage& stage,
                 const aicapi::IoBinding& of_default, aicapi::IoSet* set) {
  const bool is_input = of_default.dir() == aicapi::BUFFER_IO_TYPE_INPUT;
  const pb::transformKind kind = is_input ? stage.of_input : stage.of_output;
  aicapi::IoBinding* binding = set->add_bindings();
  *binding = of_default;
  const int at = find_step(source, kind);
  if (at < 0) {
    binding->set_is_valid(false);
    return {};
  }
  // An output is given as it is before the step, other than at the copy out of the device's buffer.
  if (is_input || kind == pb::CopyDMABufferTransform) return fill(source.transformseq(at), binding);
  if (at > 0) return fill(source.transformseq(at - 1), binding);
  return fill(source.io_initial(), binding);
}

}  // namespace

Status derive_io_desc(Bytes network_desc, aicapi::IoDesc* io_desc) {
  pb::networkDescriptor network;
  QAICKIT_RETURN_IF_ERROR(parse_message(network_desc, kNetworkDescSegment, &network));
  io_desc->Clear();
  if (!is_utf8(network.network_name())) return damaged("the program's name is not UTF-8");
  io_desc->set_program_name(network.network_name());

  std::vector<const pb::IOBinding*> sources;
  aicapi::IoSet* defaults = io_desc->add_io_sets();
  defaults->set_name("default");
  const auto add = [&](const pb::IOBinding& source, pb::direction side) -> Status {
    if (source.name().empty() || !is_utf8(source.name())) {
      return damaged(cat("binding ", sources.size(), " has no name in UTF-8"));
    }
    aicapi::IoBinding* binding = defaults->add_bindings();
    binding->set_name(source.name());
    binding->set_index(static_cast<uint32_t>(sources.size()));
    binding->set_dir(direction_of(side));
    binding->set_is_partial_buf_allowed(source.is_partial_allowed());
    binding->set_is_valid(true);
    sources.push_back(&source);
    return fill(side == pb::In ? source.io_initial() : source.io_transformed(), binding);
  };
  for (const pb::IOBinding& source : network.inputs()) QAICKIT_RETURN_IF_ERROR(add(source, pb::In));
  for (const pb::IOBinding& source : network.outputs()) {
    QAICKIT_RETURN_IF_ERROR(add(source, pb::Out));
  }

  for (const IoStage& stage : kIoStages) {
    bool used = false;
    for (size_t i = 0; i < sources.size() && !used; ++i) {
      const bool is_input = i < static_cast<size_t>(network.inputs_size());
      used = find_step(*sources[i], is_input ? stage.of_input : stage.of_output) >= 0;
    }
    if (!used) continue;
    aicapi::IoSet set;
    set.set_name(std::string(stage.name));
    for (size_t i = 0; i < sources.size(); ++i) {
      const aicapi::IoBinding& of_default = io_desc->io_sets(0).bindings(static_cast<int>(i));
      QAICKIT_RETURN_IF_ERROR(add_stage(*sources[i], stage, of_default, &set));
    }
    *io_desc->add_io_sets() = std::move(set);
  }
  *io_desc->mutable_selected_set() = io_desc->io_sets(0);

  for (int i = 0; i < network.dma_buffers_size(); ++i) {
    aicapi::DmaBuf* buffer = io_desc->add_dma_buf();
    buffer->set_index(static_cast<uint32_t>(i));
    buffer->set_size(network.dma_buffers(i).size());
    buffer->set_dir(direction_of(network.dma_buffers(i).dir()));
  }
  for (const pb::IOShapes& source : network.allowed_shapes()) {
    aicapi::IoShapes* shapes = io_desc->add_allowed_shapes();
    for (const pb::tensorShape& shape : source.shapes()) {
      aicapi::TensorShape* copy = shapes->add_shapes();
      copy->set_type(type_of(shape.type()));
      *copy->mutable_dims() = shape.dims();
    }
  }
  return {};
}

Result<std::vector<std::byte>> encode_io_desc(Bytes network_desc) {
  aicapi::IoDesc io_desc;
  QAICKIT_RETURN_IF_ERROR(derive_io_desc(network_desc, &io_desc));
  return serialize_message(io_desc, "IoDesc");
}

const aicapi::IoSet* find_io_set(const aicapi::IoDesc& io_desc, std::string_view name) {
  for (const aicapi::IoSet& set : io_desc.io_sets()) {
    if (set.name() == name) return &set;
  }
  for (const aicapi::IoSet& set : io_desc.io_sets()) {
    if (set.name().find(name) != std::string::npos) return &set;
  }
  return nullptr;
}

std::string io_set_names(const aicapi::IoDesc& io_desc) {
  std::string names;
  for (const aicapi::IoSet& set : io_desc.io_sets()) {
    names += cat(names.empty() ? "" : ", ", set.name());
  }
  return names;
}

Result<ProgramSpec> program_at(ProgramSpec program, const aicapi::IoSet& set) {
  const size_t num_inputs = program.inputs.size();
  if (static_cast<size_t>(set.bindings_size()) != num_inputs + program.outputs.size()) {
    return damaged(cat("io set '", set.name(), "' has ", set.bindings_size(), " bindings, the ",
                       "program ", num_inputs + program.outputs.size()));
  }
  for (int i = 0; i < set.bindings_size(); ++i) {
    const aicapi::IoBinding& binding = set.bindings(i);
    // One that lacks the stage is the user's own, whose type a manifest may know better (bool).
    if (!binding.is_valid()) continue;
    const auto at = static_cast<size_t>(i);
    TensorSpec& spec = at < num_inputs ? program.inputs[at] : program.outputs[at - num_inputs];
    const std::optional<DType> dtype = dtype_of_vendor_type(binding.type());
    if (!dtype) {
      return damaged(cat(printable(binding.name()), " has data type ",
                         static_cast<int>(binding.type()), " in io set '", set.name(), "'"));
    }
    const bool is_users = spec.dtype == DType::kBool && *dtype == DType::kInt8;
    spec.dtype = is_users ? spec.dtype : *dtype;
    spec.dims.assign(binding.dims().begin(), binding.dims().end());
    spec.scale = binding.quant_scale() != 0.0f ? binding.quant_scale() : 1.0f;
    spec.offset = binding.quant_offset();
  }
  return program;
}

Result<std::vector<BufferMapping>> derive_buffer_mappings(Bytes network_desc) {
  aicapi::IoDesc io_desc;
  QAICKIT_RETURN_IF_ERROR(derive_io_desc(network_desc, &io_desc));
  pb::networkDescriptor network;
  QAICKIT_RETURN_IF_ERROR(parse_message(network_desc, kNetworkDescSegment, &network));
  std::vector<BufferMapping> mappings;
  for (const aicapi::IoBinding& binding : io_desc.io_sets(0).bindings()) {
    const int i = static_cast<int>(binding.index());
    const bool is_input = i < network.inputs_size();
    const pb::IOBinding& source =
        is_input ? network.inputs(i) : network.outputs(i - network.inputs_size());
    mappings.push_back({binding.name(), is_input, binding.size(), binding.is_partial_buf_allowed(),
                        static_cast<uint32_t>(source.io_initial().type())});
  }
  return mappings;
}

}  // namespace qaickit
