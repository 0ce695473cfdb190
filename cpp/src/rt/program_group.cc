#include <atomic>

#include "base/cat.h"
#include "rt/program.h"
#include "rt/sharing.h"

namespace qaickit::rt {

struct ProgramGroup::State {
  std::shared_ptr<Context> context;
  int device = 0;
  std::string name;
  std::shared_ptr<Sharing> sharing = std::make_shared<Sharing>();
  std::atomic<bool> enabled{false};
  Queue queue{QueueProperties().num_threads};  // last: ends before what its runs use
};

ProgramGroup::ProgramGroup(std::unique_ptr<State> state) : state_(std::move(state)) {}
ProgramGroup::~ProgramGroup() = default;

Result<std::shared_ptr<ProgramGroup>> ProgramGroup::create(std::shared_ptr<Context> context,
                                                           int device, std::string name) {
  QAICKIT_RETURN_IF_ERROR(context->device(device).status());
  auto state = std::make_unique<State>();
  state->context = std::move(context);
  state->device = device;
  state->name = std::move(name);
  return std::shared_ptr<ProgramGroup>(new ProgramGroup(std::move(state)));
}

Result<std::shared_ptr<Program>> ProgramGroup::add_program(std::shared_ptr<const Qpc> qpc,
                                                           ProgramProperties properties) {
  State& s = *state_;
  QAICKIT_ASSIGN_OR_RETURN(
      auto program, Program::create(s.context, s.device, std::move(qpc), std::move(properties)));
  program->state_->sharing = s.sharing;
  s.sharing->add(program->state_);
  if (s.enabled) QAICKIT_RETURN_IF_ERROR(program->load());
  return program;
}

Status ProgramGroup::enable() {
  State& s = *state_;
  QAICKIT_RETURN_IF_ERROR(s.context->check_process());
  const auto programs = s.sharing->members();
  for (const auto& program : programs) {
    const std::lock_guard lock(program->mutex);
    QAICKIT_RETURN_IF_ERROR(program->load().with_context(program->qpc->label()));
  }
  // Each on its own must fit; together they need not.
  for (const auto& program : programs) {
    QAICKIT_RETURN_IF_ERROR(Turn(program).status().with_context(program->qpc->label()));
  }
  s.enabled = true;
  return {};
}

Status ProgramGroup::disable(bool wait, uint64_t timeout_us) {
  State& s = *state_;
  QAICKIT_RETURN_IF_ERROR(s.context->check_process());
  if (!s.enabled.exchange(false)) {
    return Status(Code::kFailedPrecondition, cat("program group '", s.name, "' is not enabled"));
  }
  if (wait) QAICKIT_RETURN_IF_ERROR(s.sharing->wait_idle(timeout_us));
  for (const auto& program : s.sharing->members()) {
    const std::lock_guard lock(program->mutex);
    program->active.reset();
    program->loaded.reset();
  }
  return {};
}

Status ProgramGroup::enqueue(std::shared_ptr<ExecObject> exec) {
  State& s = *state_;
  if (!s.enabled) {
    return Status(Code::kFailedPrecondition,
                  cat("program group '", s.name, "' is not enabled; call enable() first"));
  }
  if (!s.sharing->has(*exec->program()->state_)) {
    return Status(Code::kInvalidArgument,
                  cat("the exec object's program is not one of program group '", s.name, "'"));
  }
  return s.queue.enqueue(std::move(exec));
}

const std::shared_ptr<Context>& ProgramGroup::context() const noexcept { return state_->context; }

}  // namespace qaickit::rt
