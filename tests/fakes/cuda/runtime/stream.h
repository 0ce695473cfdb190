#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "runtime/memory.h"

namespace fakecuda {

class Device;
class Stream;

// A place in a stream: everything that was put there up to then. An event is one that is kept.
struct Position {
  std::shared_ptr<Stream> stream;  // null: nothing, which has always been reached
  uint64_t count = 0;
};

struct Operation {
  enum class Kind : uint8_t { kCopy, kFill, kKernel, kWait };
  Kind kind = Kind::kWait;
  bool loses = false;       // the device, instead of doing anything
  uint64_t hangs_with = 0;  // the fault plan of that number; 0: does not
  std::byte* to = nullptr;
  const std::byte* from = nullptr;
  size_t bytes = 0;
  int value = 0;
  BlockRef to_block;
  BlockRef from_block;
  void (*kernel)(void* argument, int abandoned) = nullptr;
  void* argument = nullptr;
  uint64_t duration_us = 0;
  Position until;
};

// Operations one after the other, on a thread of its own. Any thread may call.
class Stream : public std::enable_shared_from_this<Stream> {
 public:
  static std::shared_ptr<Stream> start(Device& device, bool blocking);

  Device& device() const noexcept { return device_; }
  // Whether it and the legacy default stream wait for each other.
  bool blocking() const noexcept { return blocking_; }

  // Everything the calling thread did before happens before the operation.
  Position push(Operation operation);
  Position last();
  bool reached(uint64_t count);
  // Waits; then everything up to there happens before what the calling thread does next.
  void wait(uint64_t count);
  // What the thread that saw reached() says; see wait().
  void see_done();
  // The thread ends when everything is done.
  void close();

 private:
  Stream(Device& device, bool blocking) : device_(device), blocking_(blocking) {}
  void work();
  void execute(Operation& operation);
  void grow();

  Device& device_;
  const bool blocking_;
  std::mutex mutex_;
  std::condition_variable pushed_;
  std::condition_variable progressed_;
  std::vector<Operation> ring_ = std::vector<Operation>(64);
  uint64_t put_ = 0;
  uint64_t taken_ = 0;
  uint64_t done_ = 0;
  bool closed_ = false;
  char done_token_ = 0;  // for sanitizer.h, as is the stream itself for what is pushed
};

}  // namespace fakecuda
