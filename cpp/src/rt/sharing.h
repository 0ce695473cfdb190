#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "rt/program.h"

namespace qaickit::rt {

// Programs that share the cores of a device. Where it cannot hold all of them active, the one whose
// turn it is takes the cores of those that idle, the least recently used first. A program that
// keeps state keeps its cores, since the state lives only as long as it is active.
class Sharing {
 public:
  void add(const std::shared_ptr<Program::State>& program);
  bool has(const Program::State& program) const;
  // Makes a member active, which it stays until leave(). Waits for runs of others where it must.
  // Error kResourceExhausted: that does not help.
  Status enter(Program::State& program);
  void leave(const Program::State& program);
  // Until nobody has a turn; 0: without bound. Error kTimedOut.
  Status wait_idle(uint64_t timeout_us);
  std::vector<std::shared_ptr<Program::State>> members() const;

 private:
  struct Member {
    std::weak_ptr<Program::State> program;
    uint32_t turns = 0;
  };
  std::vector<Member>::iterator find(const Program::State& program);
  bool others_run(const Program::State& program);
  // Whether one other than `program` gave its cores up.
  bool evict_for(const Program::State& program);

  mutable std::mutex mutex_;  // before a program's own
  std::condition_variable changed_;
  std::vector<Member> members_;  // the one used last comes last
};

// A turn of a program, if it shares cores; nothing else.
class Turn {
 public:
  explicit Turn(std::shared_ptr<Program::State> program)
      : program_(std::move(program)),
        status_(program_->sharing ? program_->sharing->enter(*program_) : Status()) {}
  ~Turn() {
    if (program_->sharing && status_.ok()) program_->sharing->leave(*program_);
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  const Status& status() const noexcept { return status_; }

 private:
  const std::shared_ptr<Program::State> program_;
  const Status status_;
};

}  // namespace qaickit::rt
