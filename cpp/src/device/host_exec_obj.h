#pragma once

#include <vector>

#include "base/aligned_array.h"
#include "base/cat.h"
#include "qaickit/device.h"

namespace qaickit {

// Base of ExecObjs whose buffers are plain host memory: owns one aligned, zeroed buffer for each
// input and output of a program, as large as it can get, and binds by pointer.
class HostExecObj : public ExecObj {
 public:
  Status bind_input(size_t i, const void* data) noexcept override {
    return bind(inputs_[i], const_cast<void*>(data));
  }
  Status bind_output(size_t i, void* data) noexcept override { return bind(outputs_[i], data); }

 protected:
  // `program` must outlive it.
  explicit HostExecObj(const ProgramSpec& program) : program_(program) {
    add(program.inputs, inputs_);
    add(program.outputs, outputs_);
    shape_set_ = program.default_shape_set();
    resize(shape_set_);
  }

  Status change_shapes(size_t set) noexcept override {
    if (set >= program_.num_shape_sets()) {
      return Status(Code::kInvalidArgument, cat("shape set ", set, " does not exist; there are ",
                                                program_.num_shape_sets()));
    }
    resize(set);
    shape_set_ = set;
    return {};
  }

 private:
  void add(const std::vector<TensorSpec>& specs, std::vector<Buffer>& buffers) {
    for (const TensorSpec& spec : specs) {
      std::byte* own = memory_.emplace_back(spec.bytes()).data();
      buffers.push_back({own, own, spec.bytes()});
    }
  }
  static Status bind(Buffer& buffer, void* data) noexcept {
    buffer.bound = data ? static_cast<std::byte*>(data) : buffer.own;
    return {};
  }

  void resize(size_t set) noexcept {
    size_t t = 0;
    for (std::vector<Buffer>* side : {&inputs_, &outputs_}) {
      for (Buffer& buffer : *side) {
        buffer.bound = buffer.own;
        buffer.bytes = program_.bytes(set, t++);
      }
    }
  }

  const ProgramSpec& program_;
  std::vector<AlignedBuffer> memory_;
};

}  // namespace qaickit
