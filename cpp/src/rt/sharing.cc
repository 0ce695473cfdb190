#include "rt/sharing.h"

#include <algorithm>
#include <utility>

#include "rt/waiting.h"

namespace qaickit::rt {

void Sharing::add(const std::shared_ptr<Program::State>& program) {
  const std::lock_guard lock(mutex_);
  std::erase_if(members_, [](const Member& member) { return member.program.expired(); });
  members_.push_back({program, 0});
}

std::vector<Sharing::Member>::iterator Sharing::find(const Program::State& program) {
  return std::ranges::find_if(
      members_, [&](const Member& member) { return member.program.lock().get() == &program; });
}

bool Sharing::has(const Program::State& program) const {
  const auto found = members();
  return std::ranges::any_of(found, [&](const auto& member) { return member.get() == &program; });
}

std::vector<std::shared_ptr<Program::State>> Sharing::members() const {
  std::vector<std::shared_ptr<Program::State>> found;
  const std::lock_guard lock(mutex_);
  for (const Member& member : members_) {
    if (auto program = member.program.lock()) found.push_back(std::move(program));
  }
  return found;
}

Status Sharing::enter(Program::State& program) {
  std::unique_lock lock(mutex_);
  for (;;) {
    Status status;
    {
      const std::lock_guard own(program.mutex);
      status = program.activate();
    }
    if (status.ok()) break;
    if (status.code() != Code::kResourceExhausted) return status;
    if (evict_for(program)) continue;
    if (!others_run(program)) return status;
    changed_.wait(lock);
  }
  const auto member = find(program);
  ++member->turns;
  std::rotate(member, member + 1, members_.end());
  return {};
}

void Sharing::leave(const Program::State& program) {
  const std::lock_guard lock(mutex_);
  --find(program)->turns;
  changed_.notify_all();
}

Status Sharing::wait_idle(uint64_t timeout_us) {
  std::unique_lock lock(mutex_);
  const auto idle = [&] {
    return std::ranges::all_of(members_, [](const Member& member) { return member.turns == 0; });
  };
  if (wait_until(changed_, lock, bound_of(timeout_us), {}, idle).ok()) return {};
  return Status(Code::kTimedOut, "runs of the program group are still in progress");
}

bool Sharing::others_run(const Program::State& program) {
  return std::ranges::any_of(members_, [&](const Member& member) {
    return member.turns > 0 && member.program.lock().get() != &program;
  });
}

bool Sharing::evict_for(const Program::State& program) {
  for (Member& member : members_) {
    const auto other = member.program.lock();
    if (!other || other.get() == &program || member.turns > 0) continue;
    const std::lock_guard own(other->mutex);
    if (!other->active || other->keeps_state()) continue;
    other->active.reset();
    return true;
  }
  return false;
}

}  // namespace qaickit::rt
