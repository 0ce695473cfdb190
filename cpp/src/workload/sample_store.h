#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned_array.h"
#include "qaickit/batch.h"
#include "qaickit/qpc.h"
#include "qaickit/workload.h"

namespace qaickit {

// The loaded samples, each input in one block of aligned memory in the order of the load, so that
// samples loaded side by side can be bound as one batch without a copy.
class SampleStore {
 public:
  // Errors: kInvalidArgument when the arrays do not fit the program.
  static Result<SampleStore> create(const ProgramSpec& program, std::vector<SampleArray> arrays);

  uint64_t total_samples() const noexcept { return total_; }
  uint64_t loaded_samples() const noexcept { return loaded_; }
  void pin_with(PinMemory pin) { pin_ = std::move(pin); }
  Status load(std::span<const uint64_t> indices);
  void unload() noexcept;

  // Fills or binds all inputs of the batch's ExecObj.
  Status gather(const Batch& batch) const noexcept;

 private:
  struct Input {
    SampleArray source;
    size_t row_bytes;
    AlignedBuffer rows;
    std::shared_ptr<void> pin;  // of rows, and goes before them
  };
  static constexpr uint32_t kNotLoaded = UINT32_MAX;

  PinMemory pin_;
  std::vector<Input> inputs_;
  uint32_t batch_size_ = 1;
  uint64_t total_ = 0;
  uint64_t loaded_ = 0;
  std::vector<uint32_t> position_;  // of a sample index in the blocks
};

}  // namespace qaickit
