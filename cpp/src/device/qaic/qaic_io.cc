#include "device/qaic/qaic_io.h"

#include "QAicApi.pb.h"
#include "base/cat.h"

namespace qaickit::qaic {
namespace {

Status damaged(const std::string& message) {
  return Status(Code::kDataLoss, cat("IO descriptor of the library: ", message));
}

const aicapi::IoSet* find_set(const aicapi::IoDesc& io_desc, std::string_view name) {
  for (const aicapi::IoSet& set : io_desc.io_sets()) {
    if (set.name() == name) return &set;
  }
  for (const aicapi::IoSet& set : io_desc.io_sets()) {
    if (set.name().find(name) != std::string::npos) return &set;
  }
  return nullptr;
}

const aicapi::IoBinding* find_binding(const aicapi::IoSet& set, std::string_view name,
                                      aicapi::bufferIoDirectionEnum direction) {
  for (const aicapi::IoBinding& binding : set.bindings()) {
    if (binding.name() == name && binding.dir() == direction) return &binding;
  }
  return nullptr;
}

// A set names the DMA buffer of a binding only where its own step is the copy; for the others it is
// where the set "dma" says.
const aicapi::DmaBufInfo* find_dma(const aicapi::IoDesc& io_desc,
                                   const aicapi::IoBinding& binding) {
  if (binding.dma_buf_info_size() == 1) return &binding.dma_buf_info(0);
  const aicapi::IoSet* dma = find_set(io_desc, "dma");
  const aicapi::IoBinding* same = dma ? find_binding(*dma, binding.name(), binding.dir()) : nullptr;
  return same && same->dma_buf_info_size() == 1 ? &same->dma_buf_info(0) : nullptr;
}

class Planner {
 public:
  Planner(const aicapi::IoDesc& io_desc, const aicapi::IoSet& set, bool zero_copy)
      : io_desc_(io_desc), set_(set), zero_copy_(zero_copy) {}

  Status place(const std::vector<TensorSpec>& specs, aicapi::bufferIoDirectionEnum direction,
               std::vector<IoPlace>* places) const {
    for (const TensorSpec& spec : specs) {
      const aicapi::IoBinding* binding = find_binding(set_, spec.name, direction);
      if (!binding) return damaged(cat("set '", set_.name(), "' lacks '", spec.name, "'"));
      if (binding->size() != spec.bytes()) {
        return Status(Code::kUnsupported,
                      cat("'", spec.name, "' has ", binding->size(), " bytes in io set '",
                          set_.name(), "', but the program's is ", dtype_name(spec.dtype), " ",
                          dims_to_string(spec.dims), ", ", spec.bytes(), " bytes"));
      }
      QAICKIT_RETURN_IF_ERROR(zero_copy_ ? place_dma(*binding, places)
                                         : place_heap(*binding, places));
    }
    return {};
  }

 private:
  Status place_heap(const aicapi::IoBinding& binding, std::vector<IoPlace>* places) const {
    if (binding.index() >= static_cast<uint32_t>(set_.bindings_size())) {
      return damaged(
          cat("'", binding.name(), "' has index ", binding.index(), " of ", set_.bindings_size()));
    }
    places->push_back({binding.size(), binding.index(), 0});
    return {};
  }

  Status place_dma(const aicapi::IoBinding& binding, std::vector<IoPlace>* places) const {
    const aicapi::DmaBufInfo* dma = find_dma(io_desc_, binding);
    if (!dma) {
      return Status(Code::kUnsupported, cat("'", binding.name(), "' has no place of its own in a ",
                                            "DMA buffer; leave skip_stage out"));
    }
    const uint32_t index = dma->dma_buf_index();
    const uint64_t end = uint64_t{dma->dma_offset()} + binding.size();
    if (index >= static_cast<uint32_t>(io_desc_.dma_buf_size()) ||
        end > io_desc_.dma_buf(static_cast<int>(index)).size()) {
      return damaged(cat("'", binding.name(), "' lies outside DMA buffer ", index));
    }
    places->push_back({binding.size(), index, dma->dma_offset()});
    return {};
  }

  const aicapi::IoDesc& io_desc_;
  const aicapi::IoSet& set_;
  const bool zero_copy_;
};

}  // namespace

Result<IoPlan> plan_io(std::span<const std::byte> io_descriptor, const ProgramSpec& program,
                       std::string_view skip_stage) {
  aicapi::IoDesc io_desc;
  if (!io_desc.ParseFromArray(io_descriptor.data(), static_cast<int>(io_descriptor.size()))) {
    return damaged("it cannot be read");
  }
  IoPlan plan;
  plan.zero_copy = !skip_stage.empty();
  if (plan.zero_copy) {
    const aicapi::IoSet* wanted = find_set(io_desc, skip_stage);
    if (!wanted) {
      std::string names;
      for (const aicapi::IoSet& set : io_desc.io_sets()) {
        names += cat(names.empty() ? "" : ", ", set.name());
      }
      return Status(Code::kInvalidArgument, cat("skip_stage: the program has no io set '",
                                                skip_stage, "'; it has ", names));
    }
    *io_desc.mutable_selected_set() = *wanted;
    plan.io_descriptor = io_desc.SerializeAsString();
  }
  const aicapi::IoSet& set = io_desc.selected_set();
  plan.num_buffers =
      static_cast<uint32_t>(plan.zero_copy ? io_desc.dma_buf_size() : set.bindings_size());
  const size_t tensors = program.inputs.size() + program.outputs.size();
  if (static_cast<size_t>(set.bindings_size()) != tensors) {
    return damaged(cat("set '", set.name(), "' has ", set.bindings_size(),
                       " bindings, the program ", tensors));
  }
  const Planner planner(io_desc, set, plan.zero_copy);
  QAICKIT_RETURN_IF_ERROR(
      planner.place(program.inputs, aicapi::BUFFER_IO_TYPE_INPUT, &plan.inputs));
  QAICKIT_RETURN_IF_ERROR(
      planner.place(program.outputs, aicapi::BUFFER_IO_TYPE_OUTPUT, &plan.outputs));
  return plan;
}

}  // namespace qaickit::qaic
