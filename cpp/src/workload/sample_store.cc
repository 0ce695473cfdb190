#include "workload/sample_store.h"

#include <cstring>
#include <new>

#include "base/cat.h"

namespace qaickit {
namespace {

// Below it a copy is cheaper than what binding another address costs a device.
constexpr size_t kBindBytes = 4096;

}  // namespace

Result<SampleStore> SampleStore::create(const ProgramSpec& program,
                                        std::vector<SampleArray> arrays) {
  if (program.inputs.empty()) {
    return Status(Code::kInvalidArgument, cat("'", program.name, "' has no inputs to feed"));
  }
  if (arrays.size() != program.inputs.size()) {
    return Status(Code::kInvalidArgument,
                  cat("expected samples for ", program.inputs.size(), " inputs (",
                      names_of(program.inputs), "), got ", arrays.size(), " arrays"));
  }
  SampleStore store;
  store.batch_size_ = static_cast<uint32_t>(program.batch_size);
  for (size_t i = 0; i < arrays.size(); ++i) {
    const TensorSpec& spec = program.inputs[i];
    const size_t row_bytes = spec.bytes() / store.batch_size_;
    if (row_bytes == 0) {
      return Status(Code::kInvalidArgument, cat("input '", spec.name, "' holds no data"));
    }
    const uint64_t count = arrays[i].bytes / row_bytes;
    if (arrays[i].bytes % row_bytes != 0 || count == 0 || count >= kNotLoaded) {
      return Status(Code::kInvalidArgument,
                    cat("samples for input '", spec.name, "': expected a multiple of ", row_bytes,
                        " bytes (one sample), got ", arrays[i].bytes));
    }
    if (i > 0 && count != store.total_) {
      return Status(Code::kInvalidArgument,
                    cat("input '", spec.name, "' has ", count, " samples, input '",
                        program.inputs[0].name, "' has ", store.total_));
    }
    store.total_ = count;
    store.inputs_.push_back({arrays[i], row_bytes, {}, {}});
  }
  store.position_.assign(store.total_, kNotLoaded);
  return store;
}

Status SampleStore::load(std::span<const uint64_t> indices) {
  unload();
  for (const uint64_t index : indices) {
    if (index >= total_) {
      return Status(Code::kInvalidArgument,
                    cat("sample ", index, " does not exist; the data set has ", total_));
    }
  }
  for (Input& input : inputs_) {
    const size_t bytes = indices.size() * input.row_bytes;  // no overflow: the source holds more
    try {
      input.rows = AlignedBuffer(bytes);
    } catch (const std::bad_alloc&) {
      return Status(Code::kResourceExhausted,
                    cat("cannot hold ", indices.size(), " samples (", bytes,
                        " bytes) in memory; lower the performance sample count"));
    }
    const auto* from = static_cast<const std::byte*>(input.source.data);
    for (size_t row = 0; row < indices.size(); ++row) {
      std::memcpy(input.rows.data() + row * input.row_bytes, from + indices[row] * input.row_bytes,
                  input.row_bytes);
    }
    if (pin_) input.pin = pin_({input.rows.data(), bytes});
  }
  for (size_t row = 0; row < indices.size(); ++row) {
    position_[indices[row]] = static_cast<uint32_t>(row);
  }
  loaded_ = indices.size();
  return {};
}

void SampleStore::unload() noexcept {
  position_.assign(position_.size(), kNotLoaded);
  for (Input& input : inputs_) {
    input.pin.reset();
    input.rows = AlignedBuffer();
  }
  loaded_ = 0;
}

Status SampleStore::gather(const Batch& batch) const noexcept {
  const size_t count = batch.samples.size();
  bool contiguous = true;
  uint32_t first = kNotLoaded;
  for (size_t i = 0; i < count; ++i) {
    const uint64_t index = batch.samples[i].index;
    const uint32_t position = index < position_.size() ? position_[index] : kNotLoaded;
    if (position == kNotLoaded) {
      return Status(Code::kFailedPrecondition, cat("sample ", index, " is not loaded"));
    }
    if (i == 0) first = position;
    contiguous = contiguous && position == first + i;
  }
  // A part-filled batch still reads batch_size rows: they must lie inside the block.
  const bool bindable = contiguous && first + uint64_t{batch_size_} <= loaded_;
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const Input& input = inputs_[i];
    if (bindable && batch_size_ * input.row_bytes > kBindBytes) {
      QAICKIT_RETURN_IF_ERROR(
          batch.exec.bind_input(i, input.rows.data() + first * input.row_bytes));
      continue;
    }
    QAICKIT_RETURN_IF_ERROR(batch.exec.bind_input(i, nullptr));
    std::byte* to = batch.exec.input(i).data();
    if (contiguous) {
      std::memcpy(to, input.rows.data() + first * input.row_bytes, count * input.row_bytes);
      continue;
    }
    for (size_t row = 0; row < count; ++row) {
      std::memcpy(to + row * input.row_bytes,
                  input.rows.data() + position_[batch.samples[row].index] * input.row_bytes,
                  input.row_bytes);
    }
  }
  return {};
}

}  // namespace qaickit
