#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "qaickit/qpc.h"
#include "qaickit/status.h"

namespace qaickit::qaic {

// Where an input or output of a program lies in the buffers of an exec object.
struct IoPlace {
  size_t bytes = 0;
  uint32_t buffer = 0;  // index among the bindings, or among the DMA buffers
  size_t offset = 0;    // in the DMA buffer
};

// What an exec object's buffers are, for a program and an io set.
struct IoPlan {
  std::vector<IoPlace> inputs;  // in the program's order
  std::vector<IoPlace> outputs;
  uint32_t num_buffers = 0;
  bool zero_copy = false;     // the buffers are the driver's
  std::string io_descriptor;  // serialised, to create exec objects with; empty: the default one
};

// Reads a serialised aicapi.IoDesc, which comes from the library. `skip_stage` empty: the default
// set in host buffers; else the set of that name, or the first whose name contains it, in DMA
// buffers. Errors: kDataLoss (the descriptor and the program do not fit), kInvalidArgument (no such
// set; lists those there are), kUnsupported (the set has other sizes than the program, or no place
// in a DMA buffer).
Result<IoPlan> plan_io(std::span<const std::byte> io_descriptor, const ProgramSpec& program,
                       std::string_view skip_stage);

}  // namespace qaickit::qaic
