#include "qaickit/workload.h"

#include <array>
#include <cstring>
#include <utility>

#include "base/aligned_array.h"
#include "base/cat.h"
#include "workload/sample_store.h"

namespace qaickit {
namespace {

// What the built-in workloads share: the store, and one row of responses for each slot.
class StoredWorkload : public Workload {
 public:
  StoredWorkload(SampleStore store, ResponseSink& sink) : store_(std::move(store)), sink_(sink) {}

  uint64_t total_samples() const noexcept override { return store_.total_samples(); }
  void pin_with(PinMemory pin) override { store_.pin_with(std::move(pin)); }
  Status load(std::span<const uint64_t> indices) override { return store_.load(indices); }
  void unload(std::span<const uint64_t>) noexcept override { store_.unload(); }

  Status prepare(uint32_t slots, uint32_t max_batch) override {
    scratch_.clear();
    for (uint32_t slot = 0; slot < slots; ++slot) {
      Scratch& scratch = scratch_.emplace_back(
          Scratch{AlignedArray<Response>(max_batch), AlignedBuffer(max_batch * payload_bytes())});
      for (size_t row = 0; row < max_batch; ++row) {
        scratch.responses[row] = {0, scratch.payload.data() + row * payload_bytes(),
                                  payload_bytes()};
      }
    }
    return sink_.prepare(slots, max_batch);
  }

  Status gather(const Batch& batch) noexcept final { return store_.gather(batch); }

  void scatter(const Batch& batch) noexcept final {
    Response* responses = scratch_[batch.slot].responses.data();
    for (size_t row = 0; row < batch.samples.size(); ++row) {
      responses[row].id = batch.samples[row].id;
      write_payload(batch.exec, row, responses[row]);
    }
    sink_.respond(batch.slot, {responses, batch.samples.size()});
  }

  void fail(std::span<const Sample> samples, const Status& why) noexcept final {
    sink_.fail(samples, why);
  }

 protected:
  // Bytes of scratch that one response needs.
  virtual size_t payload_bytes() const noexcept = 0;
  // Makes `response` the answer to row `row`, in its scratch or in the output itself.
  virtual void write_payload(const ExecObj& exec, size_t row, Response& response) noexcept = 0;

 private:
  struct Scratch {
    AlignedArray<Response> responses;
    AlignedBuffer payload;
  };

  SampleStore store_;
  ResponseSink& sink_;
  std::vector<Scratch> scratch_;  // one for each slot
};

class Raw final : public StoredWorkload {
 public:
  Raw(SampleStore store, ResponseSink& sink, const ProgramSpec& program)
      : StoredWorkload(std::move(store), sink) {
    for (const TensorSpec& spec : program.outputs) {
      row_bytes_.push_back(spec.bytes() / static_cast<size_t>(program.batch_size));
      total_ += row_bytes_.back();
    }
  }

 private:
  // One output's rows are answers as they lie; several are put one after the other.
  size_t payload_bytes() const noexcept override { return row_bytes_.size() == 1 ? 0 : total_; }

  void write_payload(const ExecObj& exec, size_t row, Response& response) noexcept override {
    if (row_bytes_.size() == 1) {
      response.data = exec.output(0).data() + row * row_bytes_[0];
      response.bytes = row_bytes_[0];
      return;
    }
    auto* to = static_cast<std::byte*>(const_cast<void*>(response.data));
    for (size_t i = 0; i < row_bytes_.size(); ++i) {
      std::memcpy(to, exec.output(i).data() + row * row_bytes_[i], row_bytes_[i]);
      to += row_bytes_[i];
    }
  }

  std::vector<size_t> row_bytes_;
  size_t total_ = 0;
};

template <class T>
size_t argmax(const std::byte* row, size_t count) noexcept {
  const T* values = reinterpret_cast<const T*>(row);
  size_t best = 0;
  for (size_t i = 1; i < count; ++i) {
    if (values[i] > values[best]) best = i;
  }
  return best;
}

// A graph that ends in ArgMax gives the class itself.
template <class T>
size_t value_of(const std::byte* row, size_t) noexcept {
  const T value = *reinterpret_cast<const T*>(row);
  return value > T{} ? static_cast<size_t>(value) : 0;
}

class Classification final : public StoredWorkload {
 public:
  using ClassOf = size_t (*)(const std::byte* row, size_t count) noexcept;

  static Result<ClassOf> class_of(const TensorSpec& output, size_t elements) {
    const bool scores = elements > 1;
    switch (output.dtype) {
      case DType::kFloat32: return scores ? argmax<float> : value_of<float>;
      case DType::kInt8: return scores ? argmax<int8_t> : value_of<int8_t>;
      case DType::kUInt8: return scores ? argmax<uint8_t> : value_of<uint8_t>;
      case DType::kInt32: return scores ? argmax<int32_t> : value_of<int32_t>;
      case DType::kInt64: return scores ? argmax<int64_t> : value_of<int64_t>;
      default: break;
    }
    return Status(
        Code::kInvalidArgument,
        cat("workload 'classification' needs scores or a class in output 0; '", output.name,
            "' is ", dtype_name(output.dtype), ", expected float32, int8, uint8, int32 or int64"));
  }

  Classification(SampleStore store, ResponseSink& sink, ClassOf class_of, size_t row_bytes,
                 size_t elements)
      : StoredWorkload(std::move(store), sink),
        class_of_(class_of),
        row_bytes_(row_bytes),
        elements_(elements) {}

 private:
  // MLPerf's accuracy script takes the class as a float32.
  size_t payload_bytes() const noexcept override { return sizeof(float); }

  void write_payload(const ExecObj& exec, size_t row, Response& response) noexcept override {
    const auto best =
        static_cast<float>(class_of_(exec.output(0).data() + row * row_bytes_, elements_));
    std::memcpy(const_cast<void*>(response.data), &best, sizeof best);
  }

  const ClassOf class_of_;
  const size_t row_bytes_;
  const size_t elements_;
};

// A sample is a row of each tensor, so each must have as many as the batch.
Status check_rows(const ProgramSpec& program) {
  const size_t set = program.default_shape_set();
  for (size_t t = 0; t < program.num_tensors(); ++t) {
    const TensorSpec& spec = program.tensor(t);
    if (std::ranges::equal(program.dims(set, t), spec.dims)) continue;
    return Status(
        Code::kUnsupported,
        cat("no allowed shape of '", program.name, "' has all tensors at their largest, ", "as '",
            spec.name, "' ", dims_to_string(spec.dims), "; compile it for one shape"));
  }
  for (const auto* specs : {&program.inputs, &program.outputs}) {
    for (const TensorSpec& spec : *specs) {
      if (program.batch_size == 1 || (!spec.dims.empty() && spec.dims[0] == program.batch_size)) {
        continue;
      }
      return Status(Code::kInvalidArgument,
                    cat("'", spec.name, "' is ", dims_to_string(spec.dims), ": expected ",
                        program.batch_size, " rows, since '", program.name,
                        "' was compiled for a batch of ", program.batch_size));
    }
  }
  return {};
}

constexpr std::array<std::string_view, 2> kKinds{"classification", "raw"};

}  // namespace

std::span<const std::string_view> Workload::kinds() noexcept { return kKinds; }

Result<std::unique_ptr<Workload>> Workload::create(std::string_view kind,
                                                   const ProgramSpec& program,
                                                   std::vector<SampleArray> arrays,
                                                   ResponseSink& sink) {
  if (program.outputs.empty()) {
    return Status(Code::kInvalidArgument,
                  cat("'", program.name, "' has no outputs to answer with"));
  }
  QAICKIT_RETURN_IF_ERROR(check_rows(program));
  QAICKIT_ASSIGN_OR_RETURN(SampleStore store, SampleStore::create(program, std::move(arrays)));
  if (kind == "raw") {
    return std::unique_ptr<Workload>(new Raw(std::move(store), sink, program));
  }
  if (kind == "classification") {
    const TensorSpec& output = program.outputs[0];
    const size_t row_bytes = output.bytes() / static_cast<size_t>(program.batch_size);
    const size_t elements = row_bytes / dtype_bytes(output.dtype);
    if (elements == 0) {
      return Status(Code::kInvalidArgument,
                    cat("workload 'classification': output '", output.name, "' ",
                        dims_to_string(output.dims), " holds no scores"));
    }
    QAICKIT_ASSIGN_OR_RETURN(auto class_of, Classification::class_of(output, elements));
    return std::unique_ptr<Workload>(
        new Classification(std::move(store), sink, class_of, row_bytes, elements));
  }
  return Status(Code::kInvalidArgument,
                cat("unknown workload '", kind, "'; this build knows classification and raw"));
}

}  // namespace qaickit
