#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "qaickit/batch.h"
#include "qaickit/device.h"
#include "qaickit/export.h"
#include "qaickit/qpc.h"

namespace qaickit {

struct SessionOptions {
  std::string backend;           // empty: a card if one is there, else the CPU. Named: nothing else
  std::vector<int> device_ids;   // empty: device 0
  uint32_t num_activations = 1;  // on each device
  uint32_t set_size = 10;        // ExecObjs of each activation (asynchronous devices)
  uint32_t threads_per_activation = 1;
  DeviceSettings device_settings = {};
  bool metrics = false;       // measure every run()
  uint32_t profile_runs = 0;  // keep the stages of so many first runs (and measure all)
};

// Latencies of run() calls that ended well, but for the first one of the session, which warms up.
// Seconds; all 0 when there were none. Percentiles are within 0.4 %, the rest is exact.
struct RunMetrics {
  uint64_t runs = 0;
  double min = 0;
  double max = 0;
  double p25 = 0;
  double p50 = 0;
  double p75 = 0;
  double p90 = 0;
  double p99 = 0;
  double p999 = 0;
  double total = 0;
  double average = 0;
};

// Where the time of one run() went, in seconds, and where it ran.
struct RunProfile {
  uint64_t start_ns = 0;    // by the monotonic clock
  uint32_t activation = 0;  // of those of all devices
  double wait = 0;          // for an idle ExecObj
  double gather = 0;        // inputs bound or copied
  double device = 0;        // computing, transfers included
  double scatter = 0;       // outputs copied, ExecObj given back
};

// Where one run() is to go, and whether it is to tell of itself.
struct RunOptions {
  static constexpr uint32_t kAnyActivation = ~uint32_t{0};
  uint32_t activation = kAnyActivation;  // named: waits for that one
  RunProfile* profile = nullptr;         // filled when the run ends well
};

// Caller's memory for one input or output. Its size must be that of the tensor in the run's shape.
struct ConstBuffer {
  const void* data;
  size_t bytes;
};
struct MutableBuffer {
  void* data;
  size_t bytes;
};

struct BenchmarkResult {
  uint64_t inferences = 0;  // ExecObj runs, each of the program's batch size
  double seconds = 0;
};

// Told several times a second, on the thread that benchmarks, how many inferences have ended. False
// ends the benchmark, whose result then is what it came to.
using BenchmarkProgress = std::function<bool(uint64_t inferences)>;

// A program on its devices, ready to run. All methods are safe from any thread unless said.
class QAICKIT_API Session {
 public:
  // Loads and activates. Errors name the file, the backend and what to do. Weights of the QPC that
  // were not checked yet (WeightsCheck::kLater) are checked meanwhile, on another thread: the
  // result is in before this returns.
  static Result<std::unique_ptr<Session>> open(std::shared_ptr<const Qpc> qpc,
                                               const SessionOptions& options);
  virtual ~Session() = default;  // closes

  // What goes in and out: as the QPC says, unless the device's settings change it (skip_stage).
  virtual const ProgramSpec& program() const noexcept = 0;
  virtual const Backend& backend() const noexcept = 0;
  virtual std::span<const DeviceInfo> devices() const noexcept = 0;
  virtual std::string precision() const = 0;

  // One inference, on the calling thread where the device is synchronous: waits for an idle
  // activation, binds the caller's memory (no copy), computes. Buffers are in binding order.
  // `shape` as match_shapes() gives it. Where only a part of the batch is given, partial buffers
  // are copied and the rest of the batch computes on zeros.
  // Errors: kInvalidArgument (count, size, set or activation), kClosed, and what the device says.
  virtual Status run(std::span<const ConstBuffer> inputs, std::span<const MutableBuffer> outputs,
                     const RunShape& shape, const RunOptions& options) noexcept = 0;
  Status run(std::span<const ConstBuffer> inputs, std::span<const MutableBuffer> outputs,
             const RunShape& shape) noexcept {
    return run(inputs, outputs, shape, RunOptions{});
  }
  // With the set of allowed shapes that the sizes of the buffers fit.
  Status run(std::span<const ConstBuffer> inputs, std::span<const MutableBuffer> outputs) noexcept {
    return run(inputs, outputs, RunShape{});
  }

  // Gets memory of the caller's ready to be bound as inputs without a copy, on all devices: see
  // Program::pin(). Not needed for right answers. `memory` must outlive what is returned, which
  // must not go before the runs that use it have ended.
  virtual Result<std::shared_ptr<void>> pin(std::span<std::byte> memory) = 0;

  // Starts one worker for each activation, which pull samples from submit(). `handler` must
  // outlive stop() or close(). Not while a submit() is in progress. Error kFailedPrecondition when
  // already started.
  virtual Status start(BatchHandler& handler, const BatchPolicy& policy) = 0;
  // Hands over samples. A query that fits the queue returns at once; a bigger one is claimed in
  // ranges from `samples` and returns when all of it has been claimed, not answered. `samples` is
  // not used after the return. On success each sample is answered exactly once; on an error
  // (kClosed, kFailedPrecondition) none is.
  virtual Status submit(std::span<const Sample> samples) noexcept = 0;
  // Part-filled batches go at once instead of waiting for their deadline.
  virtual void flush() noexcept = 0;
  // Answers what waits with kClosed, lets what runs end (up to close_timeout, then answers it
  // with kClosed too), joins the workers. Afterwards start() may be called again.
  // kTimedOut: a worker is stuck in the device; it was left behind, its samples are answered.
  // Memory that gather() bound for it must then stay for the rest of the process.
  virtual Status stop() noexcept = 0;
  virtual BatchStats stats() const = 0;

  // Runs the program natively over and over on all activations: `inferences` times, or for
  // `seconds` when inferences is 0. `inputs` as in run(), a whole batch; empty: whatever the
  // buffers hold. `set` of the allowed shapes; kBySize with no inputs: each ExecObj's default.
  // `progress` may be empty.
  virtual Result<BenchmarkResult> benchmark(uint64_t inferences, double seconds,
                                            std::span<const ConstBuffer> inputs, size_t set,
                                            const BenchmarkProgress& progress) = 0;
  Result<BenchmarkResult> benchmark(uint64_t inferences, double seconds,
                                    std::span<const ConstBuffer> inputs) {
    return benchmark(inferences, seconds, inputs, RunShape::kBySize, {});
  }

  // Of run() so far. Error kFailedPrecondition: not asked for in the options.
  virtual Result<RunMetrics> metrics() const = 0;
  // The first runs' stages, in order. Error as above.
  virtual Result<std::vector<RunProfile>> profile() const = 0;

  // stop(), then waits for runs to end (10 s at most, then kTimedOut). Further calls return
  // kClosed. Idempotent. Devices are released when the session dies, which needs its last user
  // gone.
  virtual Status close() noexcept = 0;
};

}  // namespace qaickit
