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

// Asked some ten times a second, on a thread that waits, whether it is to go on.
using KeepWaiting = std::function<bool()>;

enum class LogLevel : uint8_t { kDebug, kInfo, kWarn, kError };

// Counts the forks between the process that loaded this library and this one. Threads and devices
// do not come along: what was made with another count can neither be used here nor destroyed.
QAICKIT_API uint32_t forks() noexcept;

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
  // Error kNotFound: not one of the context's.
  Status check(int id) const;
  // Error kFailedPrecondition: this process was forked from the one that made the context. So for
  // all that is made with it: it can be asked for nothing that may wait or compute.
  Status check_process() const;

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

// Moments of one run of an ExecObject, in nanoseconds of the monotonic clock.
struct RunTimes {
  uint64_t enqueued = 0;
  uint64_t started = 0;   // on the thread that runs it
  uint64_t gathered = 0;  // inputs are bound or copied
  uint64_t computed = 0;
  uint64_t ended = 0;      // outputs are handed out
  uint32_t in_flight = 0;  // runs of the program when it was enqueued, itself included
};

struct ProgramProperties {
  uint32_t submit_num_retries = 5;
  uint32_t submit_retry_timeout_ms = 0;
  uint32_t data_path_timeout_ms = 0;  // bound of ExecObject::wait; 0: none
  // "0:1": one program over several cards. What is no card runs all of it on the first, and says so
  // when it is loaded: programs for cards are to run everywhere.
  std::string dev_mapping;
  uint32_t threads_per_queue = 0;  // of a card's driver, for each activation; 0: its default
};

// How a Queue runs what is enqueued.
struct QueueProperties {
  static constexpr uint32_t kSingleThreaded = 0;  // the vendor's numbers
  static constexpr uint32_t kMultiThreaded = 1;
  static constexpr uint32_t kMaxThreads = 64;
  uint32_t properties = kMultiThreaded;
  uint32_t num_threads = 4;

  // Error kInvalidArgument: neither kind, or a number of threads out of 1 to kMaxThreads.
  QAICKIT_API Result<uint32_t> threads() const;
};

// How the program and the threads of a set are made, and what the set is called.
struct SetProperties {
  ProgramProperties program = {};
  // On a synchronous device: threads for each activation (none: one), no more than its exec
  // objects. Asynchronous devices keep all exec objects in flight; a card's driver gets the number.
  std::optional<QueueProperties> queue = {};
  std::string name = {};  // in live reports and names of profile files
};

// A QPC for one device, or for several of a devMapping; load and activate it to run. State that a
// program keeps (an output X_RetainedState feeds the input X of the next run, where both are
// skipped) lives from activate() to deactivate(): on the device, for each activation, where the
// device keeps it, and is then not transferred; else here, where runs swap two buffers.
class QAICKIT_API Program {
 public:
  // `device` none: that of the context, or of the mapping, or 0. Errors: kInvalidArgument
  // (mapping), kDataLoss (weights that Qpc::open() left unchecked).
  static Result<std::shared_ptr<Program>> create(std::shared_ptr<Context> context,
                                                 std::optional<int> device,
                                                 std::shared_ptr<const Qpc> qpc,
                                                 ProgramProperties properties,
                                                 uint32_t num_activations = 1);
  ~Program();

  Status load();
  Status activate();  // loads first, if need be; once
  // The device is free when the runs in progress have ended; exec objects made before are of no use
  // afterwards, but for those of a ProgramGroup.
  Status deactivate();
  Status unload();  // deactivates first

  const ProgramSpec& spec() const noexcept;
  const std::shared_ptr<Context>& context() const noexcept;
  const ProgramProperties& properties() const noexcept;
  bool async() const noexcept;   // of the loaded program
  uint32_t id() const noexcept;  // its number in this process
  // Whether that is its device, or one of its mapping.
  bool runs_on(int device) const noexcept;

 private:
  friend class ExecObject;
  friend class BenchmarkSet;
  friend class Profiler;
  friend class ProgramGroup;
  friend class Sharing;
  friend class Turn;
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
  // over, the run goes on; so with kCancelled. kFailedPrecondition: there was none.
  Status wait(const KeepWaiting& keep_waiting = {});

  uint32_t id() const noexcept;  // its number in this process
  // Of the last run; zeros where it failed, and before the first.
  RunTimes times() const;
  // Counts set_data(); tells whether it was called since.
  uint64_t data_version() const;

  // --- For queues and sets.
  Status begin();             // claims the object for a run; kFailedPrecondition: in use
  Status execute() noexcept;  // the run that begin() claimed, and what it came to
  const std::shared_ptr<Program>& program() const noexcept;

 private:
  friend class ProgramGroup;
  struct State;
  explicit ExecObject(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Threads that run exec objects, in order of their enqueueing as far as there are threads.
class QAICKIT_API Queue {
 public:
  // Of one device. Errors: kNotFound (no such device, or not one of the context's), and those of
  // QueueProperties.
  static Result<std::shared_ptr<Queue>> create(std::shared_ptr<Context> context, int device,
                                               const QueueProperties& properties);
  explicit Queue(uint32_t threads);  // of any device
  ~Queue();                          // after the runs that were enqueued
  // `done` is told what the run came to, on its thread. Errors: kFailedPrecondition (the object is
  // in use), kInvalidArgument (another context's, or of a program that runs on another device).
  Status enqueue(std::shared_ptr<ExecObject> exec, std::function<void(const Status&)> done = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Programs of one device that share its cores: where it cannot hold all of them active, one that
// idles gives its cores up to the one that is to run. One that keeps state does not, since that
// lives only as long as it is active.
class QAICKIT_API ProgramGroup {
 public:
  // Error kNotFound: no such device, or not one of the context's.
  static Result<std::shared_ptr<ProgramGroup>> create(std::shared_ptr<Context> context, int device,
                                                      std::string name);
  ~ProgramGroup();  // after the runs that were enqueued

  // Errors as of Program.
  Result<std::shared_ptr<Program>> add_program(std::shared_ptr<const Qpc> qpc,
                                               ProgramProperties properties);
  // Loads all programs, and activates one after the other. Error kResourceExhausted: one does not
  // fit beside those that keep their cores.
  Status enable();
  // Unloads them. `wait`: first until no run is in progress, or the time is up (kTimedOut; then
  // they stay loaded; 0: no bound). Without it such runs still end, and those that have not begun
  // fail.
  Status disable(bool wait, uint64_t timeout_us);
  // Errors: kFailedPrecondition (not enabled, the object is in use), kInvalidArgument (of no
  // program of the group).
  Status enqueue(std::shared_ptr<ExecObject> exec);
  const std::shared_ptr<Context>& context() const noexcept;

 private:
  struct State;
  explicit ProgramGroup(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Exec objects of one program, handed out and taken back.
class QAICKIT_API InferenceSet {
 public:
  // One exec object with outputs of its own. Belongs to whoever got it, until it is submitted or
  // put back.
  struct Handle {
    std::shared_ptr<ExecObject> exec;
    std::vector<Buffer> outputs;  // the handle's own
    // See set_data().
    std::vector<ExecObject::Data> data;
    std::vector<Buffer> copies;
    uint64_t id = 0;
    Status status;  // of the last run
    uint32_t index = 0;
  };

  // Loads and activates. Errors as of Program.
  static Result<std::shared_ptr<InferenceSet>> create(std::shared_ptr<Context> context,
                                                      std::shared_ptr<const Qpc> qpc,
                                                      std::optional<int> device, uint32_t set_size,
                                                      uint32_t num_activations,
                                                      SetProperties properties);
  ~InferenceSet();  // after the runs that were submitted

  // Records all runs from now on: wait_all() and the set's end write a table of latencies,
  // "NAME-program-N-latency.txt", into the working directory. Errors as of Profiler.
  Status profile();

  const ProgramSpec& spec() const noexcept;
  // Waits for a free handle. timeout_us 0: without bound. Errors: kTimedOut, kCancelled.
  Result<Handle*> available(uint64_t timeout_us, const KeepWaiting& keep_waiting = {});
  // What a handle is to be submitted with: of all bindings; an output without memory is made in the
  // handle's own. `copies` also get the results, output by output; may be empty. Error
  // kFailedPrecondition, of this and of submit() and put_back(): the handle is not the caller's.
  Status set_data(Handle* handle, std::vector<ExecObject::Data> data, std::vector<Buffer> copies);
  // For each binding what the last run used and made, or else is to use.
  std::vector<Buffer> buffers(const Handle& handle) const;
  // Starts a run of a handle from available(), or from a completed one.
  Status submit(Handle* handle, uint64_t id);
  // Waits for a run to end: the oldest one, or the one of that id. Null, for the oldest: nothing
  // was submitted. An id that is never submitted is waited for without bound. Error kCancelled.
  Result<Handle*> completed(const KeepWaiting& keep_waiting = {});
  Result<Handle*> completed_id(uint64_t id, const KeepWaiting& keep_waiting = {});
  // A handle that is done with.
  Status put_back(Handle* handle);
  // Until no run is in progress; the status is that of the profile's file, or kCancelled.
  Status wait_all(const KeepWaiting& keep_waiting = {});
  const std::shared_ptr<Context>& context() const noexcept;

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
  // Statistics of a run that ended well, as text, and its number among those of its activation.
  using StatsCallback = std::function<void(const std::string& text, uint64_t sample, const Done&)>;
  enum class StatsFormat : uint8_t { kText, kJson };  // latency table, trace

  // `inputs`: each for all bindings, of which the inputs are used, by turns. Empty: zeros.
  BenchmarkSet(std::shared_ptr<Context> context, std::shared_ptr<const Qpc> qpc,
               std::optional<int> device, uint32_t set_size, uint32_t num_activations,
               std::vector<std::vector<ExecObject::Data>> inputs, SetProperties properties);
  ~BenchmarkSet();

  // Each of these three: error kFailedPrecondition while another one is at work. None waits for it,
  // since a callback, which a run waits for, may be the caller.
  Status enable();   // loads and activates
  Status disable();  // gives the device back
  // One of them is 0. Errors: kFailedPrecondition (not enabled), kCancelled, those of inferences.
  Status run(uint64_t inferences, double seconds, const KeepWaiting& keep_waiting = {});
  // So far, or of the last run, for each activation.
  std::vector<uint64_t> completed() const;
  Stats last_stats() const;
  // Data that it sets on the exec object is that of its next inferences. Empty: none.
  void set_callback(Callback callback);
  // For `count` samples of each activation from number `first` on. Empty: none.
  void set_stats_callback(StatsCallback callback, uint64_t first, uint64_t count,
                          StatsFormat format);
  // Prints a line on stdout after each period of a run; 0: none.
  void set_live_reporting(uint64_t period_ms) noexcept;
  bool is_live_reporting() const noexcept;
  const std::shared_ptr<Context>& context() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

enum class ProfileType : uint8_t { kLatency, kTrace };

// Writes a report about the runs of programs: "PREFIX-program-N-latency.txt" (a table) or
// "...-trace.json" (Chrome's trace), for each program that ran; N is its id. Times are the host's.
class QAICKIT_API Profiler {
 public:
  // Errors: kInvalidArgument (no program, prefix), kNotFound (no such directory).
  static Result<std::shared_ptr<Profiler>> create(std::vector<std::shared_ptr<Program>> programs,
                                                  ProfileType type, std::string prefix,
                                                  std::string directory);
  ~Profiler();  // writes nothing

  // Runs that are enqueued from now on are recorded, the first 2^20 of each program.
  Status start();  // kFailedPrecondition: it was
  // Writes the files as of now. Errors: kFailedPrecondition (not started), and of the files.
  Status write();
  Status stop();  // write(), and no more is recorded; start() begins anew
  const std::shared_ptr<Context>& context() const noexcept;

 private:
  struct State;
  explicit Profiler(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace qaickit::rt
