#include "exec_io.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>

#include "base/cat.h"
#include "host_half.h"
#include "machine.h"
#include "report.h"

namespace qaicsim {
namespace {

using qaickit::cat;

constexpr size_t kDmaAlignment = 4096;

const aicapi::IoSet* find_set(const aicapi::IoDesc& io_desc, std::string_view name) {
  const auto found = std::ranges::find(io_desc.io_sets(), name, &aicapi::IoSet::name);
  return found != io_desc.io_sets().end() ? &*found : nullptr;
}

bool same_format(const aicapi::IoSet& a, const aicapi::IoSet& b) {
  const auto alike = [](const aicapi::IoBinding& x, const aicapi::IoBinding& y) {
    return x.type() == y.type() && x.size() == y.size() && std::ranges::equal(x.dims(), y.dims());
  };
  return std::ranges::equal(a.bindings(), b.bindings(), alike);
}

QStatus refuse_set(const QAicExecObj& exec, std::string_view set, const std::string& why) {
  report(exec.context, QAIC_ERROR_EXECOBJ_CREATION, cat("io set '", set, "': ", why));
  return QS_UNSUPPORTED;
}

// What brings the set's buffers to the user's formats, in which the host half computes.
// `asked` is what the caller calls the set.
QStatus make_transforms(QAicExecObj& exec, const std::string& asked) {
  exec.transforms.clear();
  const QpcState& qpc = *exec.program->qpc;
  if (Machine::get().config().compute != Compute::kHostHalf) return QS_SUCCESS;
  const auto network = *qpc.qpc->find(qaickit::kNetworkDescSegment);
  const auto steps = qaickit::derive_io_steps(network, exec.set.name());
  if (!steps.ok()) return refuse_set(exec, asked, std::string(steps.status().message()));
  for (int i = 0; i < exec.set.bindings_size(); ++i) {
    const aicapi::IoBinding& binding = exec.set.bindings(i);
    auto transform = Transform::undo(steps.value()[static_cast<size_t>(i)]);
    if (!transform.ok()) {
      return refuse_set(exec, asked, cat("'", binding.name(), "': ", transform.status().message()));
    }
    const bool is_input = binding.dir() == aicapi::BUFFER_IO_TYPE_INPUT;
    const size_t of_set = is_input ? transform->from_bytes() : transform->to_bytes();
    const size_t of_user = is_input ? transform->to_bytes() : transform->from_bytes();
    const bool fits =
        of_set == binding.size() && of_user == qpc.io_desc.io_sets(0).bindings(i).size();
    if (!transform->is_identity() && !fits) {
      return refuse_set(exec, asked,
                        cat("'", binding.name(), "': its steps do not lead to the user's buffer"));
    }
    exec.transforms.push_back(std::move(transform).value());
  }
  return QS_SUCCESS;
}

}  // namespace

QStatus pick_set(QAicExecObj& exec, const QData* io_descriptor) {
  const aicapi::IoDesc& own = exec.program->qpc->io_desc;
  exec.set = own.selected_set();
  if (io_descriptor) {
    aicapi::IoDesc given;
    if (!io_descriptor->data || io_descriptor->size > std::numeric_limits<int>::max() ||
        !given.ParseFromArray(io_descriptor->data, static_cast<int>(io_descriptor->size))) {
      report(exec.context, QAIC_ERROR_EXECOBJ_CREATION, "the IoDesc cannot be parsed");
      return QS_INVAL;
    }
    const std::string& name = given.selected_set().name();
    const aicapi::IoSet* set = find_set(own, name);
    if (!set || given.selected_set().bindings_size() != set->bindings_size()) {
      report(exec.context, QAIC_ERROR_EXECOBJ_CREATION,
             cat("the IoDesc selects set '", name, "', which the program does not have"));
      return QS_INVAL;
    }
    exec.set = *set;
  }
  if (exec.zero_copy) {
    if (!exec.program->shares.empty()) {
      return refuse_set(exec, exec.set.name(), "a program over several devices has no DMA buffers");
    }
    const aicapi::IoSet* dma_set = find_set(own, "dma");
    if (!dma_set || own.dma_buf_size() == 0) {
      return refuse_set(exec, exec.set.name(), "the program has no DMA buffers for zero copy");
    }
    // A set that was not asked for by name stands for what the buffers hold.
    if (io_descriptor && !same_format(exec.set, *dma_set)) {
      return refuse_set(exec, exec.set.name(),
                        "not what the DMA buffers hold, since steps other than the copy follow it; "
                        "use host buffers with it, or zero copy with the last one before 'dma'");
    }
    const std::string asked = exec.set.name();
    exec.set = *dma_set;
    return make_transforms(exec, asked);
  }
  return make_transforms(exec, exec.set.name());
}

QStatus make_dma_buffers(QAicExecObj& exec) {
  const aicapi::IoDesc& own = exec.program->qpc->io_desc;
  for (const aicapi::DmaBuf& buffer : own.dma_buf()) {
    // Room to start at a page, as the kernel's buffers do.
    qaickit::AlignedBuffer& memory = exec.dma.emplace_back(buffer.size() + kDmaAlignment);
    void* start = memory.data();
    size_t room = memory.size();
    std::align(kDmaAlignment, buffer.size(), start, room);
    QBuffer row{};
    row.size = buffer.size();
    row.buf = static_cast<uint8_t*>(start);
    row.handle = reinterpret_cast<uintptr_t>(start);
    row.type = QBUFFER_TYPE_DMABUF;
    exec.dma_buffers.push_back(row);
  }
  for (const aicapi::IoBinding& binding : exec.set.bindings()) {
    const bool is_input = binding.dir() == aicapi::BUFFER_IO_TYPE_INPUT;
    QAicExecObj::Slot slot{nullptr, 0, binding.size(), is_input};
    if (binding.dma_buf_info_size() > 0) {
      const aicapi::DmaBufInfo& place = binding.dma_buf_info(0);
      if (place.dma_buf_index() >= exec.dma_buffers.size() ||
          uint64_t{place.dma_offset()} + binding.size() >
              exec.dma_buffers[place.dma_buf_index()].size) {
        report(exec.context, QAIC_ERROR_EXECOBJ_CREATION,
               cat("'", binding.name(), "' lies outside its DMA buffer"));
        return QS_INVAL;
      }
      slot.data = exec.dma_buffers[place.dma_buf_index()].buf + place.dma_offset();
      slot.size = binding.size();
    }
    exec.slots.push_back(slot);
  }
  exec.ready = true;
  return QS_SUCCESS;
}

namespace {

bool dims_equal(const google::protobuf::RepeatedField<int32_t>& dims,
                const QBufferDimensions& given) {
  if (given.count != static_cast<uint32_t>(dims.size())) return false;
  for (uint32_t i = 0; i < given.count; ++i) {
    if (given.dims[i] != static_cast<uint32_t>(dims.Get(static_cast<int>(i)))) return false;
  }
  return true;
}

bool is_skipped(const QBuffer& buffer, const QBufferDimensions& dims) {
  return buffer.size == 0 && dims.count == 1 && dims.dims && dims.dims[0] == 0;
}

// Bytes that the dims given for a binding make; false: the dims are no shape.
bool bytes_of(const QBufferDimensions& dims, uint64_t* bytes) {
  *bytes = dims.sizeOfElem;
  for (uint32_t i = 0; i < dims.count; ++i) {
    if (__builtin_mul_overflow(*bytes, uint64_t{dims.dims[i]}, bytes)) return false;
  }
  return true;
}

constexpr int kFullShape = -1;

// Which of the program's allowed shapes the dims are, or kFullShape for the set's own.
std::optional<int> match_shape(const QAicExecObj& exec, const QBuffer* buffers,
                               const QBufferDimensions* dims) {
  const int n = exec.set.bindings_size();
  const auto all = [&](const auto& dims_of) {
    for (int i = 0; i < n; ++i) {
      if (!is_skipped(buffers[i], dims[i]) && !dims_equal(dims_of(i), dims[i])) return false;
    }
    return true;
  };
  if (all([&](int i) -> const auto& { return exec.set.bindings(i).dims(); })) return kFullShape;
  const auto& allowed = exec.program->qpc->io_desc.allowed_shapes();
  for (int set = 0; set < allowed.size(); ++set) {
    if (allowed.Get(set).shapes_size() != n) continue;
    if (all([&](int i) -> const auto& { return allowed.Get(set).shapes(i).dims(); })) return set;
  }
  return std::nullopt;
}

QStatus refuse_data(const QAicExecObj& exec, const std::string& why) {
  report(exec.context, QAIC_ERROR_EXECOBJ_RUNTIME, why);
  return QS_INVAL;
}

}  // namespace

QStatus set_data(QAicExecObj& exec, uint32_t count, const QBuffer* buffers,
                 const QBufferDimensions* dims) {
  const uint32_t state = exec.state.load(std::memory_order_acquire);
  if (state == QAicExecObj::kInFlight || state == QAicExecObj::kCompleting) return QS_BUSY;
  if (exec.zero_copy) return QS_UNSUPPORTED;
  if (count != static_cast<uint32_t>(exec.set.bindings_size())) {
    return refuse_data(exec, cat(count, " buffers given, the program has ",
                                 exec.set.bindings_size(), " bindings"));
  }
  int shape = kFullShape;
  if (dims) {
    for (uint32_t i = 0; i < count; ++i) {
      if (dims[i].count > 0 && !dims[i].dims) return QS_INVAL;
    }
    const std::optional<int> match = match_shape(exec, buffers, dims);
    if (!match) return refuse_data(exec, "No matching dimension found: no allowed shape");
    shape = *match;
  }
  if (shape != kFullShape && !std::ranges::all_of(exec.transforms, &Transform::is_identity)) {
    report(exec.context, QAIC_ERROR_EXECOBJ_RUNTIME,
           cat("io set '", exec.set.name(), "': its steps are simulated for the full shape only"));
    return QS_UNSUPPORTED;
  }
  std::vector<QAicExecObj::Slot> slots;
  slots.reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    const aicapi::IoBinding& binding = exec.set.bindings(static_cast<int>(i));
    const QBuffer& buffer = buffers[i];
    uint64_t full = binding.size();
    const bool skipped = dims && is_skipped(buffer, dims[i]);
    if (shape != kFullShape && !skipped && !bytes_of(dims[i], &full)) return QS_INVAL;
    const bool fits = buffer.size == full ||
                      (buffer.size < full && buffer.size > 0 && binding.is_partial_buf_allowed());
    if (!skipped && !fits) {
      return refuse_data(exec, cat("buffer ", i, " ('", binding.name(), "') has ", buffer.size,
                                   " bytes, expected ", full));
    }
    if (buffer.type != QBUFFER_TYPE_HEAP) {
      return refuse_data(exec, cat("buffer ", i, " ('", binding.name(), "') is of type ",
                                   static_cast<uint32_t>(buffer.type),
                                   ", only heap buffers can "
                                   "be set"));
    }
    if (!skipped && !buffer.buf && full > 0) {
      return refuse_data(exec, cat("buffer ", i, " ('", binding.name(), "') is null"));
    }
    slots.push_back({skipped || !buffer.buf ? nullptr : buffer.buf + buffer.offset,
                     skipped ? 0 : buffer.size, full,
                     binding.dir() == aicapi::BUFFER_IO_TYPE_INPUT});
  }
  exec.slots = std::move(slots);
  exec.shape = shape;
  exec.ready = true;
  return bind_host(exec);
}

}  // namespace qaicsim
