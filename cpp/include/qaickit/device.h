#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "qaickit/export.h"
#include "qaickit/qpc.h"
#include "qaickit/status.h"
#include "qaickit/tensor.h"

// What a backend implements: Device -> Program -> Activation -> ExecObj, in QAic's words.
// Ownership goes the same way; whoever holds an object keeps its parents alive.
namespace qaickit {

struct DeviceInfo {
  std::string backend;     // "cpu"
  int id = 0;              // dev_id
  std::string name;        // for people: "CPU (2 cores), ONNX Runtime 1.31.1"
  bool simulated = false;  // stands in for a real one; never chosen by default
};

// Settings of one backend by name ("latency_us" -> "50"). An unknown name is an error that lists
// the known ones.
using DeviceSettings = std::map<std::string, std::string>;

struct ProgramOptions {
  uint32_t num_activations = 1;
  uint32_t threads_per_activation = 1;  // threads that one inference may use on a CPU
  DeviceSettings settings;
};

// Told once by an asynchronous device that an ExecObj is done.
class Completion {
 public:
  // Called exactly once for each successful enqueue, on any thread. Must not block. A device's
  // threads have left it when the last of its ExecObjs, activations and programs has died.
  virtual void complete(const Status& status) noexcept = 0;

 protected:
  ~Completion() = default;
};

// One set of bound input and output buffers. Used by one thread at a time; buffers belong to the
// ExecObj unless the caller binds his own.
class QAICKIT_API ExecObj {
 public:
  virtual ~ExecObj() = default;

  // The buffer that the next run reads or writes: the ExecObj's own, or the bound one.
  std::span<std::byte> input(size_t i) const noexcept { return view(inputs_[i]); }
  std::span<std::byte> output(size_t i) const noexcept { return view(outputs_[i]); }
  size_t num_inputs() const noexcept { return inputs_.size(); }
  size_t num_outputs() const noexcept { return outputs_.size(); }

  // Makes the next runs read input i from `data`, or from the ExecObj's own buffer when null.
  // The memory (spec bytes long, aligned to its element) must stay until another is bound or the
  // ExecObj dies. Costs no copy.
  virtual Status bind_input(size_t i, const void* data) noexcept = 0;
  // The same for the memory that output i is written to.
  virtual Status bind_output(size_t i, void* data) noexcept = 0;

  // Makes the next runs use a set of the program's allowed shapes; at first it is the program's
  // default_shape_set(). Buffers are as long as that set's tensors then. Another set than before
  // takes back what was bound; the same one costs nothing. Allocates only at the first use of a
  // set. Errors: kInvalidArgument (no such set), kUnsupported.
  Status select_shapes(size_t set) noexcept {
    return set == shape_set_ ? Status() : change_shapes(set);
  }
  size_t shape_set() const noexcept { return shape_set_; }

  // Leaves tensor t (inputs, then outputs) of the next runs where the program keeps it on its
  // device, until a buffer is bound again: nothing of it is transferred. Of programs that keep
  // state (Program::keeps_state), and only for what they keep. Error kUnsupported: the others.
  virtual Status skip(size_t t) noexcept;

  // Synchronous devices: computes on the calling thread. Others: kUnsupported.
  virtual Status run() noexcept = 0;
  // Asynchronous devices: starts, and calls `done` later exactly once if and only if this returns
  // success. `done` must live until then. Others: kUnsupported.
  virtual Status enqueue(Completion& done) noexcept = 0;
  // Asks a run in progress to end early (kCancelled). Safe from any thread; may do nothing.
  // An asynchronous device's completion comes before this returns or soon after, also where the
  // device itself would never have completed.
  virtual void cancel() noexcept {}
  // True when the device is gone (dead, reset, unplugged): nothing will run here again until the
  // program is loaded anew. Asked after failures only.
  virtual bool lost() const noexcept { return false; }

 protected:
  struct Buffer {
    std::byte* own = nullptr;
    std::byte* bound = nullptr;  // what runs use; never null after construction
    size_t bytes = 0;
  };
  std::vector<Buffer> inputs_;
  std::vector<Buffer> outputs_;
  size_t shape_set_ = 0;

  // Sets shape_set_ when all is well.
  virtual Status change_shapes(size_t set) noexcept;

 private:
  static std::span<std::byte> view(const Buffer& b) noexcept { return {b.bound, b.bytes}; }
};

// One ready instance of a program.
class Activation {
 public:
  virtual ~Activation() = default;
  virtual Result<std::unique_ptr<ExecObj>> create_exec_obj() = 0;
};

// A QPC loaded on a device.
class Program {
 public:
  virtual ~Program() = default;
  // Error kResourceExhausted when the device holds no more.
  virtual Result<std::unique_ptr<Activation>> activate() = 0;
  // What the arithmetic really is ("fp32"), which can differ from what the manifest asks for.
  virtual std::string precision() const = 0;
  // What goes in and out of its ExecObjs where the settings change that; null: as the QPC says.
  virtual const ProgramSpec* io() const noexcept { return nullptr; }
  // True: its activations keep, each for itself, the tensors that retained_pairs() names. A run
  // leaves such an output on the device, whether it is handed out or not, and the next run that
  // skips the input reads it there; zeros at first. Runs that use it take turns.
  virtual bool keeps_state() const noexcept { return false; }
  // What it runs on where that is more than the device it was loaded on; null: that device.
  virtual const DeviceInfo* info() const noexcept { return nullptr; }
  // Gets memory of the caller's ready to be bound as inputs without a copy, where the device reads
  // page-locked memory only. It must outlive what is returned, for which runs must have ended; null
  // where there is nothing to do. Takes long: not while runs are to be fast. Errors:
  // kResourceExhausted, kDeviceError.
  virtual Result<std::shared_ptr<void>> pin(std::span<std::byte> memory);
  // True: ExecObj::enqueue returns at once and completes on a thread of the device's.
  // False: ExecObj::run computes on the calling thread.
  virtual bool async() const noexcept = 0;
};

class Device {
 public:
  virtual ~Device() = default;
  virtual const DeviceInfo& info() const noexcept = 0;
  // Errors name the QPC and, where a half is missing, which one and how to add it.
  virtual Result<std::shared_ptr<Program>> load(std::shared_ptr<const Qpc> qpc,
                                                const ProgramOptions& options) = 0;
};

// A backend as constant data; costs nothing until asked.
struct Backend {
  std::string_view name;
  std::string_view summary;  // one line for people
  // Cheap and without side effects on devices. kUnavailable says exactly what is missing.
  Result<std::vector<DeviceInfo>> (*enumerate)();
  Result<std::shared_ptr<Device>> (*create)(int id);
  // Number of the version in use, paths tried and the like, for doctor.
  std::vector<std::pair<std::string, std::string>> (*details)();
  bool only_by_name = false;  // never a default
};

// All backends that this build knows, most specific first: the order in which a default is chosen
// (a card if one is there, else the CPU). `cuda` and `null` are never a default: numbers and speed
// must not depend on whether a driver is installed, and `null` computes nothing.
QAICKIT_API std::span<const Backend> backends() noexcept;
// Error kNotFound lists the known names.
QAICKIT_API Result<const Backend*> find_backend(std::string_view name);
// Adds a directory that holds Python packages (an entry of sys.path) to the places where vendor
// libraries that come in wheels are looked for. Call before the first session.
QAICKIT_API void add_package_dir(const std::string& dir);
// The first backend that has a device here.
QAICKIT_API Result<const Backend*> default_backend();

}  // namespace qaickit
