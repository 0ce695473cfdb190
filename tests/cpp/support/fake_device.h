#pragma once

#include <condition_variable>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "batch/slot_table.h"
#include "device/host_exec_obj.h"
#include "programs.h"

namespace qaickit::test {

// Something that threads wait for, once.
class Gate {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

// An ExecObj that does what a test says, and by default echoes input 0 to output 0.
class FakeExecObj final : public HostExecObj {
 public:
  struct Behaviour {
    std::function<Status(FakeExecObj&)> run;
    std::function<Status(FakeExecObj&, Completion&)> enqueue;
    std::function<void(FakeExecObj&)> cancel;
  };
  explicit FakeExecObj(const ProgramSpec& program, std::shared_ptr<const Behaviour> behaviour)
      : HostExecObj(program), behaviour_(std::move(behaviour)) {}

  Status run() noexcept override { return behaviour_->run ? behaviour_->run(*this) : echo(); }
  Status enqueue(Completion& done) noexcept override {
    if (behaviour_->enqueue) return behaviour_->enqueue(*this, done);
    done.complete(echo());
    return {};
  }
  void cancel() noexcept override {
    if (behaviour_->cancel) behaviour_->cancel(*this);
  }

  Status echo() noexcept {
    std::memcpy(output(0).data(), input(0).data(), std::min(input(0).size(), output(0).size()));
    return {};
  }

 private:
  const std::shared_ptr<const Behaviour> behaviour_;
};

// `per_activation` ExecObjs for each of `activations`.
inline std::shared_ptr<SlotTable> fake_slots(const ProgramSpec& program, size_t activations,
                                             size_t per_activation,
                                             FakeExecObj::Behaviour behaviour = {}) {
  auto shared = std::make_shared<const FakeExecObj::Behaviour>(std::move(behaviour));
  std::vector<std::vector<std::unique_ptr<ExecObj>>> exec_objs(activations);
  for (auto& set : exec_objs) {
    for (size_t i = 0; i < per_activation; ++i) {
      set.push_back(std::make_unique<FakeExecObj>(program, shared));
    }
  }
  return std::make_shared<SlotTable>(std::move(exec_objs));
}

}  // namespace qaickit::test
