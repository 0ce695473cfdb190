#pragma once

#include <atomic>

#include "qaickit/device.h"

namespace qaickit::test {

// A Completion that can be waited for, once or again.
class AwaitCompletion final : public Completion {
 public:
  void complete(const Status& status) noexcept override {
    status_ = status;
    calls_.fetch_add(1, std::memory_order_acq_rel);
    calls_.notify_all();
  }
  // The status of the `nth` call, from 1.
  Status wait(uint32_t nth = 1) const {
    for (uint32_t seen = calls(); seen < nth; seen = calls()) calls_.wait(seen);
    return status_;
  }
  uint32_t calls() const { return calls_.load(std::memory_order_acquire); }

 private:
  Status status_;
  std::atomic<uint32_t> calls_{0};
};

}  // namespace qaickit::test
