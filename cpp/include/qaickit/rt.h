#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "qaickit/device.h"
#include "qaickit/export.h"
#include "qaickit/qpc.h"
#include "qaickit/status.h"

// The objects of the vendor's low-level API (context, program, queue, exec object, inference set)
// over any device. Safe from any thread unless said; nothing here throws.
namespace qaickit::rt {

// The vendor's numbers.
enum class QStatus : uint32_t {
  kSuccess = 0,
  kPerm = 1,
  kAgain = 2,
  kNoMem = 3,
  kBusy = 4,
  kNoDev = 5,
  kInval = 6,
  kNoSpc = 7,
  kBadFd = 8,
  kTimedOut = 9,
  kProtocol = 10,
  kUnsupported = 11,
  kDataCrcError = 12,
  kDevError = 300,
  kError = 500,
};
QAICKIT_API QStatus to_qstatus(const Status& status) noexcept;

enum class LogLevel : uint8_t { kDebug, kInfo, kWarn, kError };

// Host memory that somebody keeps alive.
struct QAICKIT_API Buffer {
  std::shared_ptr<const void> owner;
  std::byte* data = nullptr;
  size_t size = 0;

  static Buffer allocate(size_t bytes);  // zeroed, aligned
};

// The bytes of IoDesc (QAicApi.proto), as the vendor's library derives it from networkdesc.bin.
QAICKIT_API Result<std::vector<std::byte>> io_descriptor(const Qpc& qpc);

// A row of the vendor's table of a program's buffers, inputs first.
struct BufferMapping {
  std::string name;
  uint32_t index = 0;
  bool is_input = true;
  uint32_t size = 0;
  bool is_partial_allowed = false;
  uint32_t data_type = 0;  // the vendor's number; of an output: before its last conversion
};
QAICKIT_API Result<std::vector<BufferMapping>> buffer_mappings(const Qpc& qpc);

// A backend with the devices that programs may use.
class QAICKIT_API Context {
 public:
  // `backend` empty: the default one. `ids` empty: any device. Errors: kNotFound, kUnavailable.
  static Result<std::shared_ptr<Context>> create(std::vector<int> ids, const std::string& backend);

  const Backend& backend() const noexcept { return *backend_; }
  const std::vector<int>& ids() const noexcept { return ids_; }
  // Opened at the first call. Error kNotFound: no such device, or not one of the context's.
  Result<std::shared_ptr<Device>> device(int id);

  void set_log_level(LogLevel level) noexcept;
  // On stderr, where the level is at least that of the context (kWarn at first).
  void log(LogLevel level, std::string_view text) const;

 private:
  struct State;
  Context(const Backend* backend, std::vector<int> ids);
  const Backend* backend_;
  std::vector<int> ids_;
  std::shared_ptr<State> state_;
};

struct ProgramProperties {
  uint32_t submit_num_retries = 5;
  uint32_t submit_retry_timeout_ms = 0;
  uint32_t data_path_timeout_ms = 0;  // bound of ExecObject::wait; 0: none
  std::string dev_mapping;            // "0:1": one program over several cards
};

// A QPC for one device; load and activate it to run. State that a program keeps on the device (an
// output X_RetainedState feeds the input X of the next run, where both are skipped) lives here,
// from activate() to deactivate().
class QAICKIT_API Program {
 public:
  // `device` none: that of the context, or of the mapping, or 0. Errors: kInvalidArgument
  // (mapping).
  static Result<std::shared_ptr<Program>> create(std::shared_ptr<Context> context,
                                                 std::optional<int> device,
                                                 std::shared_ptr<const Qpc> qpc,
                                                 ProgramProperties properties,
                                                 uint32_t num_activations = 1);
  ~Program();

  Status load();
  Status activate();  // loads first, if need be; once
  // Exec objects made before are of no use afterwards; the device is free when they are gone.
  Status deactivate();
  Status unload();  // deactivates first

  const ProgramSpec& spec() const noexcept;
  const std::shared_ptr<Context>& context() const noexcept;
  const ProgramProperties& properties() const noexcept;
  bool async() const noexcept;  // of the loaded program

 private:
  friend class ExecObject;
  struct State;
  explicit Program(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

// One set of buffers and one run at a time.
class QAICKIT_API ExecObject : public std::enable_shared_from_this<ExecObject> {
 public:
  using Dims = std::vector<int64_t>;
  // What a binding is run with. A buffer of no bytes is skipped: an input then comes from what the
  // program keeps, or is partial and computes on zeros; an output is not handed out.
  struct Data {
    Buffer buffer;
    std::optional<Dims> dims = {};  // none: the size says enough
    // Where the binding begins in a larger array, whose dims are `dims`; none: it is all of it.
    std::optional<Dims> starts = {};
  };

  // Loads and activates the program if need be. `activation` of those of the program.
  static Result<std::shared_ptr<ExecObject>> create(std::shared_ptr<Program> program,
                                                    uint32_t activation = 0);
  ~ExecObject();

  // For all bindings, inputs then outputs. Errors: kInvalidArgument (count), kFailedPrecondition (a
  // run is in progress). Whether sizes and dims fit an allowed shape is told by the run.
  Status set_data(std::vector<Data> data);
  // For some; the others stay as they were.
  Status set_data(std::vector<std::pair<uint32_t, Data>> data);
  // What the last run used and made: for each binding, as many bytes as its shape has; empty where
  // skipped or a part of a larger array. Memory is that of set_data().
  Result<std::vector<Buffer>> data() const;

  // Runs on the calling thread.
  Status run();
  // Of the last run that was started; waits for it. kTimedOut: the program's dataPathTimeoutMs is
  // over, the run goes on. kFailedPrecondition: there was none.
  Status wait();

  // --- For queues and sets.
  Status begin();           // claims the object for a run; kFailedPrecondition: in use
  void execute() noexcept;  // the run that begin() claimed
  std::function<void(const Status&)> on_done;  // after each run, on its thread; set it before
  const std::shared_ptr<Program>& program() const noexcept;

 private:
  struct State;
  explicit ExecObject(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Threads that run exec objects, in order of their enqueueing as far as there are threads.
class QAICKIT_API Queue {
 public:
  static constexpr uint32_t kDefaultThreads = 4;
  explicit Queue(uint32_t threads = kDefaultThreads);
  ~Queue();  // after the runs that were enqueued
  // Error kFailedPrecondition: the object is in use.
  Status enqueue(std::shared_ptr<ExecObject> exec);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Exec objects of one program, handed out and taken back.
class QAICKIT_API InferenceSet {
 public:
  // One exec object with outputs of its own. Belongs to whoever got it, until it is submitted or
  // put back.
  struct Handle {
    std::shared_ptr<ExecObject> exec;
    std::vector<ExecObject::Data> data;  // of all bindings; inputs are the submitter's
    std::vector<Buffer> outputs;         // the handle's own
    uint64_t id = 0;
    Status status;  // of the last run
    uint32_t index = 0;
  };

  // Loads and activates. Errors as of Program.
  static Result<std::shared_ptr<InferenceSet>> create(std::shared_ptr<Context> context,
                                                      std::shared_ptr<const Qpc> qpc,
                                                      std::optional<int> device, uint32_t set_size,
                                                      uint32_t num_activations,
                                                      ProgramProperties properties);
  ~InferenceSet();  // after the runs that were submitted

  const ProgramSpec& spec() const noexcept;
  // Waits for a free handle. timeout_us 0: without bound; else null when the time is up.
  Handle* available(uint64_t timeout_us);
  // Starts a run of a handle from available(), or from a completed one.
  Status submit(Handle* handle, uint64_t id);
  // Waits for a run to end: the oldest one, or the one of that id. Null, for the oldest: nothing
  // was submitted. An id that is never submitted is waited for without bound.
  Handle* completed();
  Handle* completed_id(uint64_t id);
  // A handle that is done with.
  Status put_back(Handle* handle);
  void wait_all();  // until no run is in progress

 private:
  struct State;
  explicit InferenceSet(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Runs a program over and over on all its activations.
class QAICKIT_API BenchmarkSet {
 public:
  struct Stats {
    uint64_t inferences = 0;
    double rate = 0;  // inferences a second; batch not counted
    uint64_t runtime_us = 0;
    uint32_t batch_size = 1;
  };
  // Told after each inference, on the thread of its exec object.
  struct Done {
    const std::shared_ptr<ExecObject>& exec;
    uint32_t activation;
    uint32_t exec_obj;  // of the activation
    const Status& status;
  };
  using Callback = std::function<void(const Done&)>;

  // `inputs`: each for all bindings, of which the inputs are used, by turns. Empty: zeros.
  BenchmarkSet(std::shared_ptr<Context> context, std::shared_ptr<const Qpc> qpc,
               std::optional<int> device, uint32_t set_size, uint32_t num_activations,
               std::vector<std::vector<ExecObject::Data>> inputs, ProgramProperties properties);
  ~BenchmarkSet();

  Status enable();   // loads and activates
  Status disable();  // gives the device back
  // One of them is 0. Error kFailedPrecondition: not enabled, or another run is in progress.
  Status run(uint64_t inferences, double seconds);
  // So far, or of the last run, for each activation.
  std::vector<uint64_t> completed() const;
  Stats last_stats() const;
  void set_callback(Callback callback);  // empty: none
  // Prints a line on stdout after each period of a run; 0: none.
  void set_live_reporting(uint64_t period_ms) noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace qaickit::rt
