#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/aligned_array.h"
#include "qaickit/rt.h"
#include "rt/profile_text.h"
#include "rt/recording.h"

namespace qaickit::rt {

// State that is kept here, for a device that does not. Twice, since a run reads one and writes the
// other.
struct Retained {
  RetainedPair pair;
  AlignedBuffer memory[2];
  uint32_t current = 0;
};

// What a program has while it is active.
class Active {
 public:
  std::shared_ptr<qaickit::Program> loaded;
  std::vector<std::unique_ptr<Activation>> activations;
  // They go with it, whoever else still has an ExecObject: they take up the device.
  std::shared_ptr<qaickit::ExecObj> keep(std::unique_ptr<qaickit::ExecObj> exec);
  void drop(const std::shared_ptr<qaickit::ExecObj>& exec);

  std::mutex mutex;  // of a run that uses what is kept: one at a time
  std::vector<Retained> retained;
  std::vector<bool> on_device;  // by tensor: the device keeps it

 private:
  std::mutex exec_mutex_;
  std::vector<std::shared_ptr<qaickit::ExecObj>> execs_;
};

class Sharing;

struct Program::State {
  std::shared_ptr<Context> context;
  std::shared_ptr<const Qpc> qpc;
  ProgramProperties properties;
  std::vector<int> mapping;  // properties.dev_mapping
  int device = 0;
  uint32_t num_activations = 1;
  uint32_t id = 0;
  std::shared_ptr<Sharing> sharing;  // of its group

  // Of runs.
  Recordings recordings;
  std::atomic<uint32_t> exec_objects{0};  // that live
  std::atomic<uint32_t> in_flight{0};

  std::mutex mutex;
  std::shared_ptr<qaickit::Program> loaded;
  std::shared_ptr<Active> active;

  Status load();      // the mutex is held
  Status activate();  // the mutex is held
  bool keeps_state() const { return !retained_pairs(qpc->program()).empty(); }
  ProfileHead profile_head();
};

}  // namespace qaickit::rt
