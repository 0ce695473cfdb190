#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "qaickit/device.h"
#include "qaickit/status.h"

namespace qaickit {

// One sample of a query: `id` comes back with the response, `index` says which sample it is.
struct Sample {
  uint64_t id;
  uint64_t index;
};

// May a query run on the thread that submits it when an activation is idle? Synchronous devices
// only.
enum class CallerRuns : uint8_t {
  kNever,
  kIfIdle,  // the caller waits for each answer anyway (SingleStream)
  kAuto,    // while a batch takes less time than handing it to a worker would (20 us)
};

struct BatchPolicy {
  uint32_t max_batch = 0;     // samples in one ExecObj; 0 = the program's batch size
  uint64_t max_delay_ns = 0;  // how long a part-filled batch waits, from its first sample
  CallerRuns caller_runs = CallerRuns::kAuto;
  uint64_t idle_spin_ns = 20'000;             // bound of the spin before a worker parks
  uint64_t exec_timeout_ns = 60'000'000'000;  // asynchronous devices: a completion is lost after it
  uint64_t close_timeout_ns = 10'000'000'000;
  uint32_t queue_capacity = 4096;  // samples; a query beyond it waits for places
  std::vector<int> pin_cpus;       // worker i runs on pin_cpus[i % size]; empty = unpinned
};

// Samples on their way through one ExecObj.
struct Batch {
  std::span<const Sample> samples;  // 1 .. max_batch
  ExecObj& exec;
  uint32_t slot;  // 0 .. slots-1: which scratch is this batch's alone until it is answered
};

// What turns samples into inputs and outputs into responses. Called from several threads at once,
// each with its own slot. Every sample gets exactly one scatter() or fail().
class BatchHandler {
 public:
  virtual ~BatchHandler() = default;
  // Before anything else: scratch for `slots` batches of up to `max_batch` samples.
  virtual Status prepare(uint32_t slots, uint32_t max_batch) = 0;
  // Fills or binds the inputs. Bindings are as this handler's last gather on the slot left them,
  // at first the ExecObj's own buffers. Must not allocate, lock or throw. An error fails the batch.
  virtual Status gather(const Batch& batch) noexcept = 0;
  // The outputs are there: answer the samples before returning. Must not allocate, lock or throw.
  virtual void scatter(const Batch& batch) noexcept = 0;
  // The samples have no result, and why (kDeviceError, kTimedOut, kCancelled, kClosed, ...).
  virtual void fail(std::span<const Sample> samples, const Status& why) noexcept = 0;
};

// Counters of what has happened so far; a snapshot, not one instant.
struct BatchStats {
  uint64_t samples_ok = 0;
  uint64_t samples_failed = 0;
  uint64_t batches = 0;
  uint64_t caller_batches = 0;        // of them, run on the caller's thread
  std::vector<uint64_t> batch_sizes;  // [n] = batches of n samples
  std::vector<uint64_t> activation_batches;
  uint32_t lost_activations = 0;  // those whose device has gone; the others do their work
};

}  // namespace qaickit
