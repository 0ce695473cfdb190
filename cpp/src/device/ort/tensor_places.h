#pragma once

#include <vector>

#include "device/ort/ort_api.h"
#include "qaickit/qpc.h"

namespace qaickit::ort {

// Of each tensor of the program, inputs first: whether the session reads or writes it in the host's
// memory, since a node on the CPU does, or a kernel that takes it from there (the number of TopK).
// ONNX Runtime copies what is bound elsewhere: inputs once, when they are bound, and never again.
// `api` is of ONNX Runtime 1.23 or later, `session` has the program's tensors.
Result<std::vector<char>> tensors_on_host(const Api& api, const OrtSession* session,
                                          const ProgramSpec& program);

}  // namespace qaickit::ort
