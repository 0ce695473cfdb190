#include "runtime/stream.h"

#include <cstring>
#include <thread>
#include <utility>

#include "runtime/machine.h"
#include "runtime/sanitizer.h"

namespace fakecuda {

std::shared_ptr<Stream> Stream::start(Device& device, bool blocking) {
  std::shared_ptr<Stream> stream(new Stream(device, blocking));
  // It ends with close(), which may be long after the program has forgotten the stream.
  std::thread([stream] { stream->work(); }).detach();
  return stream;
}

Position Stream::push(Operation operation) {
  publish(this);
  const Hidden hidden;
  uint64_t count = 0;
  {
    const std::lock_guard lock(mutex_);
    if (put_ - taken_ == ring_.size()) grow();
    ring_[put_ % ring_.size()] = std::move(operation);
    count = ++put_;
  }
  pushed_.notify_one();
  return {shared_from_this(), count};
}

Position Stream::last() {
  const Hidden hidden;
  const std::lock_guard lock(mutex_);
  return {shared_from_this(), put_};
}

bool Stream::reached(uint64_t count) {
  const Hidden hidden;
  const std::lock_guard lock(mutex_);
  return done_ >= count;
}

void Stream::wait(uint64_t count) {
  {
    const Hidden hidden;
    std::unique_lock lock(mutex_);
    progressed_.wait(lock, [&] { return done_ >= count; });
  }
  see_done();
}

void Stream::see_done() { happens_after(&done_token_); }

void Stream::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  pushed_.notify_one();
}

void Stream::grow() {
  std::vector<Operation> larger(2 * ring_.size());
  for (uint64_t i = taken_; i < put_; ++i) {
    larger[i % larger.size()] = std::move(ring_[i % ring_.size()]);
  }
  ring_ = std::move(larger);
}

void Stream::work() {
  for (;;) {
    Operation operation;
    {
      const Hidden hidden;
      std::unique_lock lock(mutex_);
      pushed_.wait(lock, [&] { return taken_ < put_ || closed_; });
      if (taken_ == put_) return;
      operation = std::exchange(ring_[taken_ % ring_.size()], {});
      ++taken_;
    }
    happens_after(this);
    execute(operation);
    publish(&done_token_);
    const Hidden hidden;
    for (const BlockRef& block : {operation.to_block, operation.from_block}) {
      if (block) block->uses.sub();
    }
    operation = {};
    const std::lock_guard lock(mutex_);
    ++done_;
    progressed_.notify_all();
  }
}

void Stream::execute(Operation& op) {
  if (op.kind == Operation::Kind::kWait) {
    if (op.until.stream) op.until.stream->wait(op.until.count);
    return;
  }
  device_.begin();
  if (!device_.lost()) device_.spend(op.duration_us);
  if (op.hangs_with) device_.machine_.hang(op.hangs_with);
  if (op.loses) device_.lose();
  const bool abandoned = device_.lost() != 0;
  switch (op.kind) {
    case Operation::Kind::kCopy:
      if (!abandoned) std::memcpy(op.to, op.from, op.bytes);
      break;
    case Operation::Kind::kFill:
      if (!abandoned) std::memset(op.to, op.value, op.bytes);
      break;
    case Operation::Kind::kKernel: op.kernel(op.argument, abandoned ? 1 : 0); break;
    case Operation::Kind::kWait: break;
  }
  device_.end();
}

}  // namespace fakecuda
