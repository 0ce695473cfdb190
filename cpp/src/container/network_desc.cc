#include "container/network_desc.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <unordered_set>
#include <utility>

#include "base/cat.h"
#include "container/message_io.h"
#include "container/network_desc.pb.h"
#include "container/qpc_format.h"
#include "container/text.h"

namespace qaickit {
namespace {

namespace pb = aicnwdesc;

constexpr uint32_t kMajorVersion = 9;
constexpr size_t kMaxRank = 64;

struct TypeRow {
  pb::dataType type;
  DType dtype;
};

// For writing, the first row of a dtype counts.
constexpr std::array<TypeRow, 9> kTypes{{
    {pb::FloatTy, DType::kFloat32},
    {pb::Float16Ty, DType::kFloat16},
    {pb::Int8QTy, DType::kInt8},
    {pb::UInt8QTy, DType::kUInt8},
    {pb::Int16QTy, DType::kInt16},
    {pb::Int32ITy, DType::kInt32},
    {pb::Int64ITy, DType::kInt64},
    {pb::Int32QTy, DType::kInt32},
    {pb::Int8Ty, DType::kInt8},
}};

bool is_quantised(pb::dataType type) {
  return type == pb::Int8QTy || type == pb::UInt8QTy || type == pb::Int16QTy ||
         type == pb::Int32QTy;
}

bool has_quantisation(const TensorSpec& spec) { return spec.scale != 1.0f || spec.offset != 0; }

std::optional<pb::dataType> type_of(const TensorSpec& spec) {
  if (spec.dtype == DType::kBool) return pb::Int8Ty;
  if (spec.dtype == DType::kInt32 && has_quantisation(spec)) return pb::Int32QTy;
  for (const TypeRow& row : kTypes) {
    if (row.dtype == spec.dtype) return row.type;
  }
  return std::nullopt;
}

std::optional<DType> dtype_of(pb::dataType type) {
  for (const TypeRow& row : kTypes) {
    if (row.type == type) return row.dtype;
  }
  return std::nullopt;
}

// Bytes of a buffer by the vendor's rule: zero dims do not count, and 32 bits must do.
std::optional<uint32_t> buffer_bytes(const TensorSpec& spec) {
  std::vector<int64_t> dims = spec.dims;
  std::erase(dims, 0);
  const Result<size_t> bytes = checked_bytes(dims, dtype_bytes(spec.dtype));
  if (!bytes.ok() || *bytes > std::numeric_limits<uint32_t>::max()) return std::nullopt;
  return static_cast<uint32_t>(*bytes);
}

// What a QPC cannot hold of a tensor, reading or writing; nothing when all is well.
std::optional<std::string> fault_of(const TensorSpec& spec) {
  if (spec.name.empty()) return "has no name";
  if (spec.name.size() > kMaxNameBytes || spec.name.find('\0') != std::string::npos ||
      !is_utf8(spec.name)) {
    return cat("must have a name in UTF-8 without zero bytes, of at most ", kMaxNameBytes,
               " bytes");
  }
  if (spec.dims.size() > kMaxRank) {
    return cat("has ", spec.dims.size(), " dims, at most ", kMaxRank, " are possible");
  }
  for (const int64_t dim : spec.dims) {
    if (dim < 0 || dim > std::numeric_limits<int32_t>::max()) {
      return cat("has dims ", dims_to_string(spec.dims), ", each must be from 0 to 2147483647");
    }
  }
  if (!buffer_bytes(spec)) {
    return cat("is ", dtype_name(spec.dtype), " ", dims_to_string(spec.dims),
               ", a tensor of a QPC has less than 4 GiB");
  }
  if (!std::isfinite(spec.scale)) return "has a scale that is not finite";
  return std::nullopt;
}

std::string_view side_name(pb::direction side) { return side == pb::In ? "input" : "output"; }

// "input 2 ('ids')"
std::string place(pb::direction side, size_t index, std::string_view name) {
  return name.empty() ? cat(side_name(side), " ", index)
                      : cat(side_name(side), " ", index, " (", printable(name), ")");
}

Status invalid(const std::string& message) { return Status(Code::kInvalidArgument, message); }

Status damaged(const std::string& message) {
  return Status(Code::kDataLoss, cat(kNetworkDescSegment, ": ", message));
}

std::optional<std::string> fault_of_side(std::span<const TensorSpec> specs, pb::direction side) {
  std::unordered_set<std::string_view> seen;
  for (const TensorSpec& spec : specs) {
    if (!seen.insert(spec.name).second) {
      return cat("two ", side_name(side), "s are named ", printable(spec.name));
    }
  }
  return std::nullopt;
}

std::optional<std::string> fault_of_program(const ProgramSpec& program) {
  if (program.name.size() > kMaxNameBytes || !is_utf8(program.name)) {
    return cat("the program's name must be UTF-8 of at most ", kMaxNameBytes, " bytes");
  }
  if (program.batch_size < 1) {
    return cat("the batch size is ", program.batch_size, ", it must be at least 1");
  }
  if (program.outputs.empty()) return "the program has no outputs";
  if (auto fault = fault_of_side(program.inputs, pb::In)) return fault;
  return fault_of_side(program.outputs, pb::Out);
}

// One binding as the open compiler writes it: no conversion on the way, one copy through a buffer
// of its own.
Status add_binding(const TensorSpec& spec, pb::direction side, size_t index,
                   pb::networkDescriptor* network) {
  const std::string where = place(side, index, spec.name);
  if (const auto fault = fault_of(spec)) return invalid(cat(where, " ", *fault));
  if (spec.scale == 0.0f) return invalid(cat(where, " has a scale of 0"));
  const std::optional<pb::dataType> type = type_of(spec);
  if (!type) {
    return invalid(cat(where, " is ", dtype_name(spec.dtype),
                       ", which a QPC cannot hold; cast it in the graph to float32, float16, int8, "
                       "uint8, int16, int32, int64 or bool"));
  }

  pb::IOBinding* binding = side == pb::In ? network->add_inputs() : network->add_outputs();
  binding->set_name(spec.name);
  binding->set_is_partial_allowed(spec.partial);
  pb::IODescriptor* initial = binding->mutable_io_initial();
  initial->set_type(*type);
  if (is_quantised(*type) || has_quantisation(spec)) {
    initial->set_qscale(spec.scale);
    initial->set_qoffset(spec.offset);
  }
  pb::transform* copy = binding->add_transformseq();
  copy->set_kind(pb::CopyDMABufferTransform);
  copy->set_type(*type);
  copy->set_scale(spec.scale);
  copy->set_offset(spec.offset);
  for (const int64_t dim : spec.dims) {
    initial->add_dims(static_cast<int32_t>(dim));
    copy->add_dims(static_cast<int32_t>(dim));
  }
  *binding->mutable_io_transformed() = *initial;
  copy->mutable_copy_dma_buffer()->set_dir(side);
  copy->mutable_copy_dma_buffer()->set_buffer_num(
      static_cast<uint32_t>(network->dma_buffers_size()));
  if (side == pb::In) binding->set_align(static_cast<uint32_t>(dtype_bytes(spec.dtype)));

  pb::DMABuffer* buffer = network->add_dma_buffers();
  buffer->set_size(*buffer_bytes(spec));
  buffer->set_dir(side);
  return {};
}

bool has_zero(std::span<const int64_t> dims) { return std::ranges::find(dims, 0) != dims.end(); }

Result<TensorSpec> read_binding(const pb::IOBinding& binding, pb::direction side, size_t index,
                                ZeroDims zero_dims) {
  const std::string where = place(side, index, binding.name());
  if (side == pb::In ? !binding.has_io_initial() : !binding.has_io_transformed()) {
    return damaged(cat(where, " has no description"));
  }
  const pb::IODescriptor& io = side == pb::In ? binding.io_initial() : binding.io_transformed();
  const std::optional<DType> dtype = dtype_of(io.type());
  if (!dtype) {
    return damaged(
        cat(where, " has data type ", static_cast<int>(io.type()), ", known are 0 to 8"));
  }

  TensorSpec spec;
  spec.name = binding.name();
  spec.dtype = *dtype;
  spec.dims.assign(io.dims().begin(), io.dims().end());
  spec.scale = io.qscale() != 0.0f ? io.qscale() : 1.0f;
  spec.offset = io.qoffset();
  spec.partial = binding.is_partial_allowed();
  if (const auto fault = fault_of(spec)) return damaged(cat(where, " ", *fault));
  if (has_zero(spec.dims) && zero_dims == ZeroDims::kRefuse) {
    return damaged(cat(where, " has a zero in its dims ", dims_to_string(spec.dims)));
  }
  return spec;
}

Status read_side(const google::protobuf::RepeatedPtrField<pb::IOBinding>& bindings,
                 pb::direction side, ZeroDims zero_dims, std::vector<TensorSpec>* specs) {
  specs->reserve(static_cast<size_t>(bindings.size()));
  for (const pb::IOBinding& binding : bindings) {
    QAICKIT_ASSIGN_OR_RETURN(TensorSpec spec,
                             read_binding(binding, side, specs->size(), zero_dims));
    specs->push_back(std::move(spec));
  }
  return {};
}

// What is wrong with a set of shapes, of which there are as many as tensors.
std::optional<std::string> fault_of_shape(const ProgramSpec& program, const ShapeSet& set) {
  for (size_t t = 0; t < set.size(); ++t) {
    TensorSpec shaped = program.tensor(t);
    const std::optional<uint32_t> largest = buffer_bytes(shaped);
    shaped.dims = set[t];
    if (auto fault = fault_of(shaped)) return cat(printable(shaped.name), " ", *fault);
    // By the vendor's rule, which skips zero dims, and by ours: buffers are made by both.
    if (buffer_bytes(shaped) > largest || shaped.bytes() > program.tensor(t).bytes()) {
      return cat(printable(shaped.name), " is ", dims_to_string(shaped.dims),
                 ", larger than the buffer of ", dims_to_string(program.tensor(t).dims));
    }
  }
  return std::nullopt;
}

Status add_shapes(const ProgramSpec& program, pb::networkDescriptor* network) {
  for (size_t s = 0; s < program.allowed_shapes.size(); ++s) {
    const ShapeSet& set = program.allowed_shapes[s];
    const std::string where = cat("allowed shapes ", s);
    if (set.size() != program.num_tensors()) {
      return invalid(cat(where, ": ", set.size(), " shapes, expected one for each of ",
                         program.num_tensors(), " inputs and outputs"));
    }
    if (const auto fault = fault_of_shape(program, set)) return invalid(cat(where, ": ", *fault));
    pb::IOShapes* shapes = network->add_allowed_shapes();
    for (size_t t = 0; t < set.size(); ++t) {
      pb::tensorShape* shape = shapes->add_shapes();
      shape->set_type(*type_of(program.tensor(t)));
      for (const int64_t dim : set[t]) shape->add_dims(static_cast<int32_t>(dim));
    }
  }
  return {};
}

Status read_shapes(const pb::networkDescriptor& network, ZeroDims zero_dims, ProgramSpec* program) {
  for (const pb::IOShapes& shapes : network.allowed_shapes()) {
    const std::string where = cat("allowed shapes ", program->allowed_shapes.size());
    if (static_cast<size_t>(shapes.shapes_size()) != program->num_tensors()) {
      return damaged(cat(where, ": ", shapes.shapes_size(), " shapes for ", program->num_tensors(),
                         " inputs and outputs"));
    }
    ShapeSet set;
    for (const pb::tensorShape& shape : shapes.shapes()) {
      set.emplace_back(shape.dims().begin(), shape.dims().end());
      if (zero_dims == ZeroDims::kRefuse && has_zero(set.back())) {
        return damaged(cat(where, ": a zero in dims ", dims_to_string(set.back())));
      }
    }
    if (const auto fault = fault_of_shape(*program, set)) return damaged(cat(where, ": ", *fault));
    program->allowed_shapes.push_back(std::move(set));
  }
  return {};
}

}  // namespace

std::optional<DType> vendor_dtype(DType dtype) noexcept {
  if (dtype == DType::kBool) return DType::kInt8;
  for (const TypeRow& row : kTypes) {
    if (row.dtype == dtype) return dtype;
  }
  return std::nullopt;
}

std::optional<DType> dtype_of_vendor_type(int type) noexcept {
  return dtype_of(static_cast<pb::dataType>(type));
}

Result<std::vector<std::byte>> encode_network_desc(const ProgramSpec& program) {
  if (const auto fault = fault_of_program(program)) return invalid(*fault);
  pb::networkDescriptor network;
  network.set_major_version(kMajorVersion);
  network.set_network_name(program.name);
  for (size_t i = 0; i < program.inputs.size(); ++i) {
    QAICKIT_RETURN_IF_ERROR(add_binding(program.inputs[i], pb::In, i, &network));
  }
  for (size_t i = 0; i < program.outputs.size(); ++i) {
    QAICKIT_RETURN_IF_ERROR(add_binding(program.outputs[i], pb::Out, i, &network));
  }
  QAICKIT_RETURN_IF_ERROR(add_shapes(program, &network));
  network.set_num_cores(program.num_cores);
  network.set_batch_size(program.batch_size);
  return serialize_message(network, kNetworkDescSegment);
}

Result<ProgramSpec> decode_network_desc(Bytes segment, ZeroDims zero_dims) {
  pb::networkDescriptor network;
  QAICKIT_RETURN_IF_ERROR(parse_message(segment, kNetworkDescSegment, &network));
  ProgramSpec program;
  program.name = network.network_name();
  program.num_cores = network.num_cores();
  program.batch_size = network.batch_size() == 0 ? 1 : network.batch_size();
  QAICKIT_RETURN_IF_ERROR(read_side(network.inputs(), pb::In, zero_dims, &program.inputs));
  QAICKIT_RETURN_IF_ERROR(read_side(network.outputs(), pb::Out, zero_dims, &program.outputs));
  if (const auto fault = fault_of_program(program)) return damaged(*fault);
  QAICKIT_RETURN_IF_ERROR(read_shapes(network, zero_dims, &program));
  return program;
}

}  // namespace qaickit
