#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "qaickit/rt.h"

namespace qaickit::rt {

// A run that ended well, as profiles tell of it.
struct RunRecord {
  RunTimes times;
  uint32_t exec_object = 0;  // its id
};

// What a profile keeps of one program's runs.
class Recording {
 public:
  // Runs beyond it are counted, not kept: 56 MiB.
  static constexpr size_t kMaxRecords = size_t{1} << 20;

  // Runs that were enqueued before `start_ns` are left out.
  explicit Recording(uint64_t start_ns) : start_ns_(start_ns) {}

  void add(const RunRecord& record) {
    if (record.times.enqueued < start_ns_) return;
    const std::lock_guard lock(mutex_);
    if (records_.size() < kMaxRecords) {
      records_.push_back(record);
    } else {
      ++left_out_;
    }
  }
  // In the order of their ends. Also the number of those that are counted only.
  std::vector<RunRecord> records(uint64_t* left_out) const {
    const std::lock_guard lock(mutex_);
    *left_out = left_out_;
    return records_;
  }

 private:
  const uint64_t start_ns_;
  mutable std::mutex mutex_;
  std::vector<RunRecord> records_;
  uint64_t left_out_ = 0;
};

// The recordings that a program's runs are told to; mostly none.
class Recordings {
 public:
  void attach(std::shared_ptr<Recording> recording) {
    const std::lock_guard lock(mutex_);
    attached_.push_back(std::move(recording));
    any_.store(true, std::memory_order_relaxed);
  }
  // After the return, nothing is added to it.
  void detach(const std::shared_ptr<Recording>& recording) {
    const std::lock_guard lock(mutex_);
    std::erase(attached_, recording);
    any_.store(!attached_.empty(), std::memory_order_relaxed);
  }
  void add(const RunRecord& record) {
    // relaxed: a run at the very moment of attach() may be missed; the list itself has its lock.
    if (!any_.load(std::memory_order_relaxed)) return;
    const std::lock_guard lock(mutex_);
    for (const auto& recording : attached_) recording->add(record);
  }

 private:
  std::atomic<bool> any_{false};
  std::mutex mutex_;
  std::vector<std::shared_ptr<Recording>> attached_;
};

}  // namespace qaickit::rt
