#include "onnxruntime/session.h"

#include <algorithm>
#include <cstring>

#include "fake_cuda.h"
#include "fake_cudart.h"
#include "onnxruntime/state.h"
#include "runtime/sanitizer.h"

namespace fakeort {
namespace {

using fakecuda::Hidden;

OrtStatus* cuda_error(int code, const std::string& expression) {
  return error(kEpFail, "CUDA failure " + std::to_string(code) + ": " + cudaGetErrorString(code) +
                            " ; GPU=0 ; expr=" + expression + "; ");
}

constexpr size_t kWorkspaceBytes = 4096;

void count(uint64_t State::* counter) {
  const Hidden hidden;
  const std::lock_guard lock(state().mutex);
  ++(state().*counter);
}

OrtStatus* allocate(size_t bytes, void** memory) {
  if (cudaMalloc(memory, bytes) == 0) return nullptr;
  const int code = cudaGetLastError();
  if (code != cudaErrorMemoryAllocation) return cuda_error(code, "cudaMalloc((void**)&p, size)");
  return error(kRuntimeException,
               "Failed to allocate memory for requested buffer of size " + std::to_string(bytes));
}

}  // namespace

DeviceValue::~DeviceValue() {
  if (value) real().ReleaseValue(value);
}

std::vector<const void*> Bound::addresses() const {
  std::vector<const void*> all;
  for (const auto* values : {&inputs, &outputs}) {
    for (const ValueRef& value : *values) all.push_back(value->address);
  }
  return all;
}

std::shared_ptr<GpuSession> GpuSession::create(OrtSession* session,
                                               std::vector<ProviderOptions> options,
                                               const Config& config, size_t model_bytes,
                                               OrtStatus** problem) {
  std::shared_ptr<GpuSession> made(new GpuSession(session, std::move(options), config));
  if (const int code = cudaSetDevice(made->device())) {
    *problem = cuda_error(code, "cudaSetDevice(info_.device_id)");
    return nullptr;
  }
  for (const ProviderOptions& each : made->options_) {
    if (each.stream()) made->stream_ = each.stream();
  }
  if (made->stream_) {
    int device = -1;
    const int code = fakecudaStreamDevice(made->stream_, &device);
    if (code || device != made->device()) {
      *problem = error(kInvalidArgument, "the compute stream is not of the session's GPU");
      return nullptr;
    }
  } else {
    cudaStream_t stream = nullptr;
    if (const int code = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking)) {
      *problem = cuda_error(code, "cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking)");
      return nullptr;
    }
    made->stream_ = stream;
    made->own_stream_ = true;
  }
  if (made->with_graphs_ && config.cpu_nodes) {
    *problem = error(kFail,
                     "This session cannot use the graph capture feature as requested by the user "
                     "as all compute graph nodes have not been partitioned to the "
                     "CUDAExecutionProvider");
    return nullptr;
  }
  *problem = allocate(model_bytes, &made->weights_);
  return *problem ? nullptr : made;
}

GpuSession::~GpuSession() {
  {
    std::unique_lock lock(mutex_);
    const auto idle = [this] { return free_jobs_.size() == jobs_.size(); };
    if (!idle()) misuse("a session is released while a run is under way");
    idle_.wait(lock, idle);
  }
  for (void* memory : {weights_, workspace_}) {
    if (memory) (void)cudaFree(memory);
  }
  if (own_stream_) (void)cudaStreamDestroy(static_cast<cudaStream_t>(stream_));
}

size_t GpuSession::threads() {
  const std::lock_guard lock(mutex_);
  return threads_.size();
}

OrtStatus* GpuSession::check(const Bound& bound) const {
  const Hidden hidden;
  for (const auto* values : {&bound.inputs, &bound.outputs}) {
    for (const ValueRef& value : *values) {
      if (!value->bytes || value->device == DeviceValue::kHost) continue;
      if (fakecudaContents(value->address, value->bytes, nullptr) != value->contents) {
        misuse("a run on device memory that was freed");
        return error(kFail, "what is bound is no device memory any more");
      }
    }
  }
  return nullptr;
}

// onnxruntime/core/session/inference_session.cc, Run, and core/providers/cuda: OnRunStart,
// OnRunEnd.
OrtStatus* GpuSession::run(const std::shared_ptr<const Bound>& bound, const RunSettings& settings) {
  if (OrtStatus* const problem = check(*bound)) return problem;
  const GraphId id{std::this_thread::get_id(), settings.graph_id};
  const bool with_graph = with_graphs_ && settings.graph_id != -1;
  bool captured = false;
  OrtStatus* problem = find_graph(*bound, id, with_graph, &captured);
  if (problem) return problem;
  if (captured) {  // does not even look at the thread's device
    count(&State::replays);
    problem = launch(bound);
    return problem || !(config_.sync_replay || settings.waits) ? problem : wait_for_stream();
  }
  if (const int code = cudaSetDevice(device())) return cuda_error(code, "cudaSetDevice(device)");
  if (!workspace_) problem = allocate(kWorkspaceBytes, &workspace_);
  if (!problem) problem = launch(bound);
  if (!problem && with_graph) problem = capture(*bound, id);
  if (!problem && with_graph) problem = launch(bound);
  return problem || !(with_graph || settings.waits) ? problem : wait_for_stream();
}

OrtStatus* GpuSession::find_graph(const Bound& bound, const GraphId& id, bool with_graph,
                                  bool* captured) {
  const Hidden hidden;
  const std::lock_guard lock(mutex_);
  threads_.insert(id.first);
  const auto found = with_graph ? graphs_.find(id) : graphs_.end();
  *captured = found != graphs_.end();
  auto address = *captured ? found->second.begin() : std::vector<const void*>::iterator();
  for (const auto* values : {&bound.inputs, &bound.outputs}) {
    for (const ValueRef& value : *values) {
      if (!*captured || *address++ == value->address) continue;
      misuse("a graph is replayed for other addresses than it was captured with");
      return error(kFail, "the graph was captured with other addresses");
    }
  }
  return nullptr;
}

OrtStatus* GpuSession::capture(const Bound& bound, const GraphId& id) {
  for (const auto* values : {&bound.inputs, &bound.outputs}) {
    for (const ValueRef& value : *values) {
      if (value->device != DeviceValue::kHost) continue;
      misuse("a graph is captured that uses the host's memory");
      return error(kFail, "the graph would keep what is in the host's memory now");
    }
  }
  if (OrtStatus* const problem = wait_for_stream()) return problem;
  if (const int code = fakecudaBeginCapture(stream_)) {
    return cuda_error(code, "cudaStreamBeginCapture(stream_, cudaStreamCaptureModeGlobal)");
  }
  if (const int code = fakecudaEndCapture(stream_)) {
    return cuda_error(code, "cudaStreamEndCapture(stream_, &graph)");
  }
  count(&State::captures);
  const Hidden hidden;
  const std::lock_guard lock(mutex_);
  graphs_[id] = bound.addresses();
  return nullptr;
}

void GpuSession::add_jobs(size_t count) {
  free_jobs_.reserve(jobs_.size() + count);
  for (size_t i = 0; i < count; ++i) {
    free_jobs_.push_back(jobs_.emplace_back(std::make_unique<Job>()).get());
  }
}

OrtStatus* GpuSession::wait_for_stream() {
  const int code = cudaStreamSynchronize(static_cast<cudaStream_t>(stream_));
  return code ? cuda_error(code, "cudaStreamSynchronize(stream_)") : nullptr;
}

OrtStatus* GpuSession::launch(const std::shared_ptr<const Bound>& bound) {
  Job* job = nullptr;
  {
    const Hidden hidden;
    const std::lock_guard lock(mutex_);
    if (free_jobs_.empty()) add_jobs(1);
    job = free_jobs_.back();
    free_jobs_.pop_back();
    job->session = this;
    job->bound = bound;
  }
  if (const int code = fakecudaLaunch(stream_, kernel, job)) {
    finish(job);
    return cuda_error(code, "cudaLaunchKernel(kernel, stream)");
  }
  return nullptr;
}

void GpuSession::kernel(void* argument, int abandoned) {
  Job* const job = static_cast<Job*>(argument);
  std::shared_ptr<const Bound> bound;
  {
    const Hidden hidden;
    bound = job->bound;
  }
  if (!abandoned) job->session->compute(*bound);
  job->session->finish(job);
}

void GpuSession::finish(Job* job) {
  const Hidden hidden;
  const std::lock_guard lock(mutex_);
  job->bound.reset();
  free_jobs_.push_back(job);
  idle_.notify_all();
}

void GpuSession::compute(const Bound& bound) {
  if (config_.echo) {
    for (size_t i = 0; i < bound.outputs.size(); ++i) {
      const DeviceValue& from = *bound.inputs[i % bound.inputs.size()];
      const DeviceValue& to = *bound.outputs[i];
      std::memcpy(to.contents, from.contents, std::min(from.bytes, to.bytes));
    }
    return;
  }
  std::vector<const char*> input_names;
  std::vector<const char*> output_names;
  std::vector<const OrtValue*> inputs;
  std::vector<OrtValue*> outputs;
  for (const std::string& name : bound.input_names) input_names.push_back(name.c_str());
  for (const std::string& name : bound.output_names) output_names.push_back(name.c_str());
  for (const ValueRef& value : bound.inputs) inputs.push_back(value->value);
  for (const ValueRef& value : bound.outputs) outputs.push_back(value->value);
  OrtStatus* const problem =
      real().Run(real_, nullptr, input_names.data(), inputs.data(), inputs.size(),
                 output_names.data(), outputs.size(), outputs.data());
  if (!problem) return;
  misuse(std::string("the graph failed on the CPU: ") + real().GetErrorMessage(problem));
  real().ReleaseStatus(problem);
}

}  // namespace fakeort
