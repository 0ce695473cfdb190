#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "base/aligned_array.h"
#include "container/io_steps.h"

namespace qaicsim {

// Turns a buffer as an io set has it into the user's (an input), or the user's into the set's (an
// output): the card's own pre- and post-processing, undone, since the host half computes with the
// user's buffers. Used by one thread at a time.
class Transform {
 public:
  // Errors: kUnsupported (a layout that is not public), kDataLoss (steps that do not fit together).
  static qaickit::Result<Transform> undo(std::span<const qaickit::IoStep> steps);

  // Nothing to do: the buffers are alike.
  bool is_identity() const noexcept { return ops_.empty(); }
  size_t from_bytes() const noexcept { return from_bytes_; }
  size_t to_bytes() const noexcept { return to_bytes_; }
  // `given` bytes of `from`, zeros after them, to to_bytes().
  void apply(const std::byte* from, size_t given, std::byte* to);

 private:
  using Op = std::function<void(const std::byte* from, std::byte* to)>;

  std::vector<Op> ops_;
  std::vector<qaickit::AlignedBuffer> between_;  // before each op but the first, which has `from`
  qaickit::AlignedBuffer padded_;
  size_t from_bytes_ = 0;
  size_t to_bytes_ = 0;
};

}  // namespace qaicsim
