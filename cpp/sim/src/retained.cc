#include "retained.h"

#include <algorithm>
#include <cstring>

#include "objects.h"

namespace qaicsim {

std::vector<Retained> make_retained(const qaickit::ProgramSpec& program) {
  std::vector<Retained> made;
  for (const qaickit::RetainedPair& pair : qaickit::retained_pairs(program)) {
    const size_t bytes = program.tensor(pair.input).bytes();
    made.push_back({pair, {qaickit::AlignedBuffer(bytes), qaickit::AlignedBuffer(bytes)}});
  }
  return made;
}

void clear_retained(QAicProgram& program) {
  const std::lock_guard lock(program.retained_mutex);
  for (Retained& r : program.retained) {
    qaickit::AlignedBuffer& next = r.memory[r.current];
    if (next.size() > 0) std::memset(next.data(), 0, next.size());
  }
}

bool is_retained(const QAicProgram& program, size_t binding) noexcept {
  return std::ranges::any_of(program.retained, [binding](const Retained& r) {
    return r.pair.input == binding || r.pair.output == binding;
  });
}

qaickit::Status bind_retained(QAicExecObj& exec) {
  for (Retained& r : exec.program->retained) {
    if (!exec.slots[r.pair.input].data) {
      QAICKIT_RETURN_IF_ERROR(exec.host->bind_input(r.pair.input, r.memory[r.current].data()));
    }
    QAICKIT_RETURN_IF_ERROR(exec.host->bind_output(r.pair.output - exec.host->num_inputs(),
                                                   r.memory[1 - r.current].data()));
  }
  return {};
}

void keep_retained(QAicExecObj& exec) {
  for (Retained& r : exec.program->retained) {
    const QAicExecObj::Slot& slot = exec.slots[r.pair.output];
    const auto made = exec.host->output(r.pair.output - exec.host->num_inputs());
    if (slot.data && exec.transforms[r.pair.output].is_identity() && slot.size > 0) {
      std::memcpy(slot.data, made.data(), std::min(slot.size, made.size()));
    }
    r.current = 1 - r.current;
  }
}

}  // namespace qaicsim
