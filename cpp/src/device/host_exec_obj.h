#pragma once

#include <vector>

#include "base/aligned_array.h"
#include "qaickit/device.h"

namespace qaickit {

// Base of ExecObjs whose buffers are plain host memory: owns one aligned, zeroed buffer for each
// input and output of a program, and binds by pointer.
class HostExecObj : public ExecObj {
 public:
  Status bind_input(size_t i, const void* data) noexcept override {
    return bind(inputs_[i], const_cast<void*>(data));
  }
  Status bind_output(size_t i, void* data) noexcept override { return bind(outputs_[i], data); }

 protected:
  explicit HostExecObj(const ProgramSpec& program) {
    add(program.inputs, inputs_);
    add(program.outputs, outputs_);
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

  std::vector<AlignedBuffer> memory_;
};

}  // namespace qaickit
