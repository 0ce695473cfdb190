#include "device/qaic/qaic_io.h"

#include <algorithm>

#include "QAicApi.pb.h"
#include "base/cat.h"
#include "container/io_desc.h"

namespace qaickit::qaic {
namespace {

Status damaged(const std::string& message) {
  return Status(Code::kDataLoss, cat("IO descriptor of the library: ", message));
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
  const aicapi::IoSet* dma = find_io_set(io_desc, "dma");
  const aicapi::IoBinding* same = dma ? find_binding(*dma, binding.name(), binding.dir()) : nullptr;
  return same && same->dma_buf_info_size() == 1 ? &same->dma_buf_info(0) : nullptr;
}

bool same_format(const aicapi::IoBinding& a, const aicapi::IoBinding& b) {
  return a.type() == b.type() && a.size() == b.size() && std::ranges::equal(a.dims(), b.dims());
}

// Whether the set is what lies in the DMA buffers, so that nothing but the copy is left to do. A
// partial input is preceded by a header there, which is the library's to write.
bool is_in_dma_buffers(const aicapi::IoDesc& io_desc, const aicapi::IoSet& set) {
  const aicapi::IoSet* dma = find_io_set(io_desc, "dma");
  if (!dma || io_desc.dma_buf_size() == 0) return false;
  return std::ranges::all_of(set.bindings(), [&](const aicapi::IoBinding& binding) {
    const aicapi::IoBinding* same = find_binding(*dma, binding.name(), binding.dir());
    return same && same_format(binding, *same) && !binding.is_partial_buf_allowed() &&
           find_dma(io_desc, binding);
  });
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
        return damaged(cat("'", spec.name, "' has ", binding->size(), " bytes in io set '",
                           set_.name(), "', the QPC describes ", dtype_name(spec.dtype), " ",
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
    const aicapi::DmaBufInfo& dma = *find_dma(io_desc_, binding);  // see is_in_dma_buffers()
    const uint32_t index = dma.dma_buf_index();
    const uint64_t end = uint64_t{dma.dma_offset()} + binding.size();
    if (index >= static_cast<uint32_t>(io_desc_.dma_buf_size()) ||
        end > io_desc_.dma_buf(static_cast<int>(index)).size()) {
      return damaged(cat("'", binding.name(), "' lies outside DMA buffer ", index));
    }
    places->push_back({binding.size(), index, dma.dma_offset()});
    return {};
  }

  const aicapi::IoDesc& io_desc_;
  const aicapi::IoSet& set_;
  const bool zero_copy_;
};

// Of the set that skip_stage means. Errors: kInvalidArgument.
Result<const aicapi::IoSet*> find_skipped(const aicapi::IoDesc& io_desc, const std::string& name) {
  const aicapi::IoSet* set = find_io_set(io_desc, name);
  if (set) return set;
  return Status(Code::kInvalidArgument, cat("skip_stage: the program has no io set '", name,
                                            "'; it has ", io_set_names(io_desc)));
}

}  // namespace

Result<ProgramSpec> program_after(const Qpc& qpc, const std::string& skip_stage) {
  if (skip_stage.empty()) return qpc.program();
  const auto network = *qpc.find(kNetworkDescSegment);
  aicapi::IoDesc io_desc;
  QAICKIT_RETURN_IF_ERROR(derive_io_desc(network, &io_desc));
  QAICKIT_ASSIGN_OR_RETURN(const aicapi::IoSet* set, find_skipped(io_desc, skip_stage));
  QAICKIT_ASSIGN_OR_RETURN(ProgramSpec program, program_at(qpc.program(), *set));
  // The vendor's format lists allowed shapes for the user's buffers alone; how those of an io set
  // follow from them is not public.
  program.allowed_shapes.clear();
  const auto batch = static_cast<size_t>(program.batch_size);
  for (const std::vector<TensorSpec>* specs : {&program.inputs, &program.outputs}) {
    for (const TensorSpec& spec : *specs) {
      if (batch == 1 || (!spec.dims.empty() && spec.dims[0] == program.batch_size)) continue;
      return Status(Code::kUnsupported,
                    cat("skip_stage: '", spec.name, "' is ", dims_to_string(spec.dims),
                        " in io set '", set->name(), "', where the samples of a batch of ", batch,
                        " do not follow one another"));
    }
  }
  return program;
}

Result<IoPlan> plan_io(std::span<const std::byte> io_descriptor, const ProgramSpec& program,
                       const std::string& skip_stage) {
  aicapi::IoDesc io_desc;
  if (!io_desc.ParseFromArray(io_descriptor.data(), static_cast<int>(io_descriptor.size()))) {
    return damaged("it cannot be read");
  }
  IoPlan plan;
  if (!skip_stage.empty()) {
    QAICKIT_ASSIGN_OR_RETURN(const aicapi::IoSet* wanted, find_skipped(io_desc, skip_stage));
    *io_desc.mutable_selected_set() = *wanted;
    plan.io_descriptor = io_desc.SerializeAsString();
    plan.zero_copy = is_in_dma_buffers(io_desc, io_desc.selected_set());
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
