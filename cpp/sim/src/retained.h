#pragma once

#include <vector>

#include "base/aligned_array.h"
#include "qaickit/qpc.h"
#include "qaickit/status.h"

struct QAicExecObj;
struct QAicProgram;

// State that a program keeps on the simulated card from run to run.
namespace qaicsim {

// Twice, since a run reads one and writes the other.
struct Retained {
  qaickit::RetainedPair pair;
  qaickit::AlignedBuffer memory[2];
  uint32_t current = 0;
};

std::vector<Retained> make_retained(const qaickit::ProgramSpec& program);
// Zeros, as after an activation.
void clear_retained(QAicProgram& program);
bool is_retained(const QAicProgram& program, size_t binding) noexcept;

// Around a run of the host half, with the program's retained_mutex held: makes it read what is
// kept, where the input is skipped, and write what is to be kept; then hands that out, where the
// output is not skipped, and keeps it.
qaickit::Status bind_retained(QAicExecObj& exec);
void keep_retained(QAicExecObj& exec);

}  // namespace qaicsim
