#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
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

// What goes in and out of the program with that stage skipped: the io set of that name, or the
// first whose name contains it; as the QPC says where `skip_stage` is empty. Errors:
// kInvalidArgument (no such set; lists those there are), kUnsupported (a batch's samples do not lie
// one after the other in it), kDataLoss.
Result<ProgramSpec> program_after(const Qpc& qpc, const std::string& skip_stage);

// Places the buffers of `program`, which program_after() has made, by a serialised aicapi.IoDesc
// that comes from the library: in the driver's DMA buffers where the io set that `skip_stage` means
// is what these hold, else in host buffers. Errors: kDataLoss (the descriptor and the program do
// not fit), kInvalidArgument (no such set).
Result<IoPlan> plan_io(std::span<const std::byte> io_descriptor, const ProgramSpec& program,
                       const std::string& skip_stage);

}  // namespace qaickit::qaic
