#pragma once

#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <numeric>
#include <vector>

#include "qaickit/batch.h"

namespace qaickit::test {

// Samples with the ids first, first + 1, ...
inline std::vector<Sample> samples_from(uint64_t first, size_t count) {
  std::vector<Sample> samples(count);
  for (size_t i = 0; i < count; ++i) samples[i] = {first + i, first + i};
  return samples;
}

// A handler that remembers what became of each of `count` samples with ids from 0. For programs of
// batch size `rows` whose input 0 and output 0 are echoed int64 rows: it sends each sample's id
// through the device and checks that it comes back in the sample's own row. No locks: they would
// order what tests under ThreadSanitizer are to find unordered.
class AnswerLog : public BatchHandler {
 public:
  explicit AnswerLog(size_t count, size_t rows = 1) : rows_(rows), entries_(count) {}

  // Called at the start of gather() and of scatter(), on their threads.
  std::function<void(const Batch&)> on_gather;
  std::function<void(const Batch&)> on_scatter;
  std::function<void(std::span<const Sample>, const Status&)> on_fail;

  Status prepare(uint32_t slots, uint32_t max_batch) override {
    slots_ = slots;
    max_batch_ = max_batch;
    return {};
  }

  Status gather(const Batch& batch) noexcept override {
    if (on_gather) on_gather(batch);
    const std::span<std::byte> input = batch.exec.input(0);
    for (size_t row = 0; row < batch.samples.size(); ++row) {
      std::memcpy(&input[row * row_bytes(batch)], &batch.samples[row].id, sizeof(uint64_t));
    }
    return {};
  }

  void scatter(const Batch& batch) noexcept override {
    if (on_scatter) on_scatter(batch);
    const std::span<std::byte> output = batch.exec.output(0);
    for (size_t row = 0; row < batch.samples.size(); ++row) {
      uint64_t echoed = 0;
      std::memcpy(&echoed, &output[row * row_bytes(batch)], sizeof echoed);
      Entry& entry = entries_.at(batch.samples[row].id);
      if (echoed != batch.samples[row].id) wrong_.fetch_add(1, std::memory_order_relaxed);
      entry.thread.store(pthread_self(), std::memory_order_relaxed);
      entry.ok.fetch_add(1, std::memory_order_relaxed);
    }
    add(batch.samples.size());
  }

  void fail(std::span<const Sample> samples, const Status& why) noexcept override {
    if (on_fail) on_fail(samples, why);
    for (const Sample& sample : samples) {
      Entry& entry = entries_.at(sample.id);
      entry.code.store(why.code(), std::memory_order_relaxed);
      entry.failed.fetch_add(1, std::memory_order_relaxed);
    }
    add(samples.size());
  }

  uint32_t slots() const { return slots_; }
  uint32_t max_batch() const { return max_batch_; }
  size_t answered() const { return answered_.load(std::memory_order_acquire); }
  void wait_answered(size_t count) const {
    for (size_t seen = answered(); seen < count; seen = answered()) answered_.wait(seen);
  }
  void wait_all() const { wait_answered(entries_.size()); }

  uint32_t answers(uint64_t id) const {
    return entries_.at(id).ok.load() + entries_.at(id).failed.load();
  }
  bool ok(uint64_t id) const { return entries_.at(id).ok.load() == 1; }
  Code code(uint64_t id) const { return entries_.at(id).code.load(); }
  pthread_t thread(uint64_t id) const { return entries_.at(id).thread.load(); }
  // How many samples ended with which code; those without an answer are not counted.
  std::map<Code, size_t> codes() const {
    std::map<Code, size_t> codes;
    for (const Entry& entry : entries_) {
      if (entry.ok.load() > 0) ++codes[Code::kOk];
      if (entry.failed.load() > 0) ++codes[entry.code.load()];
    }
    return codes;
  }

  // Every sample has one answer (or none, where `accepted` says that it was refused), and those
  // with a result have their own.
  ::testing::AssertionResult each_once(const std::function<bool(uint64_t)>& accepted =
                                           [](uint64_t) { return true; }) const {
    for (size_t id = 0; id < entries_.size(); ++id) {
      const uint32_t expected = accepted(id) ? 1 : 0;
      if (answers(id) != expected) {
        return ::testing::AssertionFailure()
               << "sample " << id << " of " << entries_.size() << " was answered "
               << entries_[id].ok.load() << " times and failed " << entries_[id].failed.load()
               << " times, expected " << expected << " in all";
      }
    }
    if (wrong_.load() > 0) {
      return ::testing::AssertionFailure() << wrong_.load() << " samples got another's result";
    }
    return ::testing::AssertionSuccess();
  }

 private:
  struct Entry {
    std::atomic<uint32_t> ok{0};
    std::atomic<uint32_t> failed{0};
    std::atomic<Code> code{Code::kOk};
    std::atomic<pthread_t> thread{};
  };

  size_t row_bytes(const Batch& batch) const { return batch.exec.input(0).size() / rows_; }
  void add(size_t count) {
    answered_.fetch_add(count, std::memory_order_acq_rel);
    answered_.notify_all();
  }

  const size_t rows_;
  std::vector<Entry> entries_;
  std::atomic<size_t> answered_{0};
  std::atomic<size_t> wrong_{0};
  uint32_t slots_ = 0;
  uint32_t max_batch_ = 0;
};

}  // namespace qaickit::test
