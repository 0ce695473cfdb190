#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "onnxruntime/config.h"
#include "onnxruntime/provider_options.h"
#include "onnxruntime/real_api.h"

namespace fakeort {

// A tensor in device memory, or in the host's.
struct DeviceValue {
  static constexpr int kHost = -1;
  ~DeviceValue();
  const void* address = nullptr;  // as the program knows it
  size_t bytes = 0;
  int device = 0;
  void* contents = nullptr;
  OrtValue* value = nullptr;  // on the contents, for the CPU
};
using ValueRef = std::shared_ptr<DeviceValue>;

// What a run reads and writes: names with their values, of inputs and of outputs.
struct Bound {
  std::vector<std::string> input_names, output_names;
  std::vector<ValueRef> inputs, outputs;

  std::vector<const void*> addresses() const;
};

struct RunSettings {
  int64_t graph_id = 0;
  bool waits = true;  // for the stream
};

// A session with a GPU's provider.
class GpuSession {
 public:
  // Takes device memory for the weights. Null, and why in `problem`.
  static std::shared_ptr<GpuSession> create(OrtSession* real, std::vector<ProviderOptions> options,
                                            const Config& config, size_t model_bytes,
                                            OrtStatus** problem);
  // Waits for its runs, and says that the caller had to.
  ~GpuSession();

  int device() const noexcept { return options_.front().device_id(); }
  const std::vector<ProviderOptions>& options() const noexcept { return options_; }
  size_t threads();
  bool is_on_host(const std::string& tensor) const { return config_.is_on_host(tensor); }

  OrtStatus* run(const std::shared_ptr<const Bound>& bound, const RunSettings& settings);

 private:
  // A run on its way through the stream.
  struct Job {
    GpuSession* session = nullptr;
    std::shared_ptr<const Bound> bound;
  };
  using GraphId = std::pair<std::thread::id, int64_t>;

  GpuSession(OrtSession* real, std::vector<ProviderOptions> options, const Config& config)
      : config_(config),
        real_(real),
        options_(std::move(options)),
        with_graphs_(std::ranges::any_of(options_, [](const ProviderOptions& each) {
          return each.is_on("enable_cuda_graph") || each.is_on("trt_cuda_graph_enable");
        })) {
    add_jobs(kJobs);
  }
  // More than are in flight at once where a test counts allocations: how many are is a matter of
  // when which thread runs.
  static constexpr size_t kJobs = 64;
  void add_jobs(size_t count);
  OrtStatus* check(const Bound& bound) const;
  // Whether this thread has a graph for it, and for these addresses.
  OrtStatus* find_graph(const Bound& bound, const GraphId& id, bool with_graph, bool* captured);
  OrtStatus* capture(const Bound& bound, const GraphId& id);
  OrtStatus* launch(const std::shared_ptr<const Bound>& bound);
  OrtStatus* wait_for_stream();
  static void kernel(void* argument, int abandoned);
  void compute(const Bound& bound);
  void finish(Job* job);

  const Config config_;  // as it was when this was made
  OrtSession* const real_;
  const std::vector<ProviderOptions> options_;
  const bool with_graphs_;
  void* stream_ = nullptr;
  bool own_stream_ = false;
  void* weights_ = nullptr;
  void* workspace_ = nullptr;

  std::mutex mutex_;
  std::condition_variable idle_;
  std::vector<std::unique_ptr<Job>> jobs_;
  std::vector<Job*> free_jobs_;
  std::map<GraphId, std::vector<const void*>> graphs_;
  std::set<std::thread::id> threads_;
};

}  // namespace fakeort
