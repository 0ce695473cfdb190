// That the fake ONNX Runtime behaves as the real one does with a GPU, through its table as qaickit
// uses it.

#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <optional>
#include <thread>

#include "device/ort/ort_api.h"
#include "fake_onnxruntime.h"
#include "rig.h"
#include "support/onnx_bytes.h"
#include "support/result.h"

namespace qaickit::test {
namespace {

using ort::Api;
using Options = std::vector<std::pair<const char*, const char*>>;

class OnnxRuntimeTest : public FakeCudaTest {
 protected:
  void SetUp() override {
    FakeCudaTest::SetUp();
    const char* const real = std::getenv("QAICKIT_ONNXRUNTIME_LIB");
    if (!real) GTEST_SKIP() << "no onnxruntime";
    setenv("QAICKIT_FAKEORT_LIB", real, 0);
    setenv("QAICKIT_ONNXRUNTIME_LIB", FAKE_ONNXRUNTIME, 1);
    set("BROKEN", "");
    auto loaded = ort::load_api();
    ASSERT_TRUE(is_ok(loaded.status()));
    api_ = *loaded;
    ASSERT_TRUE(is_ok(check(api_->CreateEnv(ort::kLogError, "test", &env_))));
  }
  void TearDown() override {
    FakeCudaTest::TearDown();
    if (api_) {
      EXPECT_EQ(ort_misuse(), "");
    }
  }

  static void set(const char* name, const char* value) {
    setenv((std::string("QAICKIT_FAKEORT_") + name).c_str(), value, 1);
  }
  static std::string ort_misuse() {
    char text[200] = "";
    fakeortMisuse(text, sizeof text);
    return text;
  }
  static FakeOrtCounters ort_counters() {
    FakeOrtCounters counters{};
    fakeortGetCounters(&counters);
    return counters;
  }

  Status check(ort::OrtStatus* status) const { return ort::to_status(*api_, status, "call"); }

  Status update_cuda(ort::OrtCudaOptions* options, const Options& pairs) const {
    std::vector<const char*> keys;
    std::vector<const char*> values;
    for (const auto& [key, value] : pairs) {
      keys.push_back(key);
      values.push_back(value);
    }
    return check(api_->UpdateCudaOptions(options, keys.data(), values.data(), keys.size()));
  }

  // A session for y = x + x of [kRow] floats on a GPU, with a stream and tensors of its own.
  static constexpr size_t kRow = 4;
  static constexpr size_t kBytes = kRow * sizeof(float);
  struct Rig {
    const Api* api = nullptr;
    cudaStream_t stream = nullptr;
    ort::OrtSession* session = nullptr;
    ort::OrtMemoryInfo* memory = nullptr;
    ort::OrtRunOptions* options = nullptr;
    ort::OrtIoBinding* binding = nullptr;
    void* device[2] = {};
    ort::OrtValue* values[2] = {};
    float* host = nullptr;

    ~Rig() {
      if (!api) return;
      if (binding) api->ReleaseIoBinding(binding);
      for (ort::OrtValue* value : values) {
        if (value) api->ReleaseValue(value);
      }
      if (options) api->ReleaseRunOptions(options);
      if (memory) api->ReleaseMemoryInfo(memory);
      if (session) api->ReleaseSession(session);
      for (void* each : device) {
        if (each) (void)cudaFree(each);
      }
      if (host) (void)cudaFreeHost(host);
      if (stream) (void)cudaStreamDestroy(stream);
    }
  };

  Status make_session(Rig& rig, const Options& pairs = {}) const {
    rig.api = api_;
    rig.stream = stream();
    ort::OrtCudaOptions* provider = nullptr;
    QAICKIT_RETURN_IF_ERROR(check(api_->CreateCudaOptions(&provider)));
    const ort::Owned<ort::OrtCudaOptions> owned(provider, {api_->ReleaseCudaOptions});
    QAICKIT_RETURN_IF_ERROR(update_cuda(provider, pairs));
    QAICKIT_RETURN_IF_ERROR(
        check(api_->UpdateCudaOptionsWithValue(provider, "user_compute_stream", rig.stream)));
    ort::OrtSessionOptions* options = nullptr;
    QAICKIT_RETURN_IF_ERROR(check(api_->CreateSessionOptions(&options)));
    const ort::Owned<ort::OrtSessionOptions> owned_options(options, {api_->ReleaseSessionOptions});
    QAICKIT_RETURN_IF_ERROR(check(api_->SetIntraOpNumThreads(options, 1)));
    QAICKIT_RETURN_IF_ERROR(check(api_->AppendCuda(options, provider)));
    const std::string model = doubling_model({kRow});
    return check(
        api_->CreateSessionFromArray(env_, model.data(), model.size(), options, &rig.session));
  }

  Status bind(Rig& rig, bool waits = false, const char* graph_id = nullptr) const {
    QAICKIT_RETURN_IF_ERROR(check(api_->CreateMemoryInfo("Cuda", ort::kDeviceAllocator, 0,
                                                         ort::kMemTypeDefault, &rig.memory)));
    QAICKIT_RETURN_IF_ERROR(check(api_->CreateRunOptions(&rig.options)));
    if (!waits) {
      QAICKIT_RETURN_IF_ERROR(check(
          api_->AddRunConfigEntry(rig.options, "disable_synchronize_execution_providers", "1")));
    }
    if (graph_id) {
      QAICKIT_RETURN_IF_ERROR(
          check(api_->AddRunConfigEntry(rig.options, "gpu_graph_id", graph_id)));
    }
    QAICKIT_RETURN_IF_ERROR(check(api_->CreateIoBinding(rig.session, &rig.binding)));
    rig.host = reinterpret_cast<float*>(pinned(kBytes));
    const int64_t dims[] = {kRow};
    for (size_t i = 0; i < 2; ++i) {
      rig.device[i] = device_memory(kBytes);
      QAICKIT_RETURN_IF_ERROR(check(api_->CreateTensorWithDataAsOrtValue(
          rig.memory, rig.device[i], kBytes, dims, 1, ort::element_type(DType::kFloat32),
          &rig.values[i])));
    }
    QAICKIT_RETURN_IF_ERROR(check(api_->BindInput(rig.binding, "x", rig.values[0])));
    return check(api_->BindOutput(rig.binding, "y", rig.values[1]));
  }

  Status run(Rig& rig) const {
    return check(api_->RunWithBinding(rig.session, rig.options, rig.binding));
  }
  // x, on the stream of the session.
  void put(Rig& rig, float x) const {
    std::fill_n(rig.host, kRow, x);
    EXPECT_EQ(cudaMemcpyAsync(rig.device[0], rig.host, kBytes, cudaMemcpyHostToDevice, rig.stream),
              0);
  }
  float get(Rig& rig) const {
    EXPECT_EQ(cudaMemcpyAsync(rig.host, rig.device[1], kBytes, cudaMemcpyDeviceToHost, rig.stream),
              0);
    EXPECT_EQ(cudaStreamSynchronize(rig.stream), 0);
    return rig.host[kRow - 1];
  }

  const Api* api_ = nullptr;
  ort::OrtEnv* env_ = nullptr;
};

TEST_F(OnnxRuntimeTest, RunsOnTheStreamItIsGiven) {
  Rig rig;
  ASSERT_TRUE(is_ok(make_session(rig)));
  ASSERT_TRUE(is_ok(bind(rig)));
  put(rig, 3);
  hold(rig.stream);
  ASSERT_TRUE(is_ok(run(rig)));
  const cudaEvent_t done = event();
  ASSERT_EQ(cudaEventRecord(done, rig.stream), 0);
  EXPECT_EQ(cudaEventQuery(done), cudaErrorNotReady) << "it did not wait";
  let_go();
  EXPECT_EQ(get(rig), 6);
  EXPECT_EQ(ort_counters().waiting_runs, 0u);
  EXPECT_EQ(counters().launches, 2u) << "the one that held it up, and the run";
}

TEST_F(OnnxRuntimeTest, WaitsUnlessToldOtherwise) {
  configure({{"LATENCY_US", "5000"}});
  Rig rig;
  ASSERT_TRUE(is_ok(make_session(rig)));
  ASSERT_TRUE(is_ok(bind(rig, true)));
  put(rig, 3);
  ASSERT_TRUE(is_ok(run(rig)));
  const cudaEvent_t done = event();
  ASSERT_EQ(cudaEventRecord(done, rig.stream), 0);
  EXPECT_EQ(cudaEventQuery(done), 0);
  EXPECT_EQ(ort_counters().waiting_runs, 1u);
}

TEST_F(OnnxRuntimeTest, TakesOnlyDeviceMemoryOfItsGpu) {
  configure({{"DEVICES", "2"}});
  Rig rig;
  ASSERT_TRUE(is_ok(make_session(rig)));
  ASSERT_TRUE(is_ok(bind(rig)));
  float here[kRow] = {};
  const int64_t dims[] = {kRow};
  const auto wrap = [&](ort::OrtMemoryInfo* info, void* data) {
    ort::OrtValue* value = nullptr;
    EXPECT_TRUE(is_ok(check(api_->CreateTensorWithDataAsOrtValue(
        info, data, kBytes, dims, 1, ort::element_type(DType::kFloat32), &value))));
    return ort::Owned<ort::OrtValue>(value, {api_->ReleaseValue});
  };
  ort::OrtValue* value = nullptr;
  EXPECT_TRUE(
      is_error(check(api_->CreateTensorWithDataAsOrtValue(
                   rig.memory, here, kBytes, dims, 1, ort::element_type(DType::kFloat32), &value)),
               Code::kDeviceError, "not in the memory of GPU 0"));
  ort::OrtMemoryInfo* cpu = nullptr;
  ASSERT_TRUE(
      is_ok(check(api_->CreateCpuMemoryInfo(ort::kDeviceAllocator, ort::kMemTypeDefault, &cpu))));
  EXPECT_TRUE(is_error(
      check(api_->CreateTensorWithDataAsOrtValue(cpu, rig.device[0], kBytes, dims, 1,
                                                 ort::element_type(DType::kFloat32), &value)),
      Code::kDeviceError, "given as the CPU's"));
  EXPECT_TRUE(is_error(check(api_->BindInput(rig.binding, "x", wrap(cpu, here).get())),
                       Code::kDeviceError, "'x' is not in device memory"));
  ASSERT_EQ(cudaSetDevice(1), 0);
  ort::OrtMemoryInfo* other = nullptr;
  ASSERT_TRUE(is_ok(check(
      api_->CreateMemoryInfo("Cuda", ort::kDeviceAllocator, 1, ort::kMemTypeDefault, &other))));
  EXPECT_TRUE(
      is_error(check(api_->BindInput(rig.binding, "x", wrap(other, device_memory(kBytes)).get())),
               Code::kDeviceError, "another GPU's"));
  api_->ReleaseMemoryInfo(other);
  api_->ReleaseMemoryInfo(cpu);
  ASSERT_EQ(cudaSetDevice(0), 0);
}

TEST_F(OnnxRuntimeTest, GraphsAreOfAThreadAndOfTheirAddresses) {
  Rig rig;
  ASSERT_TRUE(is_ok(make_session(rig, {{"enable_cuda_graph", "1"}})));
  ASSERT_TRUE(is_ok(bind(rig, false, "7")));
  put(rig, 1);
  ASSERT_TRUE(is_ok(run(rig)));
  EXPECT_EQ(get(rig), 2);
  EXPECT_EQ(ort_counters().captures, 1u);
  EXPECT_EQ(counters().launches, 2u) << "an ordinary run, and the graph's first";
  put(rig, 2);
  ASSERT_TRUE(is_ok(run(rig)));
  EXPECT_EQ(get(rig), 4);
  EXPECT_EQ(ort_counters().replays, 1u);
  std::thread([&] { EXPECT_TRUE(is_ok(run(rig))); }).join();
  EXPECT_EQ(ort_counters().captures, 2u) << "another thread has no graph";
  EXPECT_EQ(ort_counters().most_threads, 2u);

  ASSERT_TRUE(is_ok(check(api_->BindOutput(rig.binding, "y", rig.values[0]))));
  EXPECT_TRUE(is_error(run(rig), Code::kDeviceError, "other addresses"));
  EXPECT_EQ(ort_misuse(), "a graph is replayed for other addresses than it was captured with");
  fakeortReload();
}

TEST_F(OnnxRuntimeTest, AReplayWaitsForTheStream) {
  configure({{"LATENCY_US", "5000"}});
  const cudaEvent_t done = event();
  for (const bool waits : {true, false}) {
    set("SYNC_REPLAY", waits ? "1" : "0");
    fakeortReload();
    Rig rig;
    ASSERT_TRUE(is_ok(make_session(rig, {{"enable_cuda_graph", "1"}})));
    ASSERT_TRUE(is_ok(bind(rig)));
    put(rig, 1);
    ASSERT_TRUE(is_ok(run(rig)));
    if (!waits) hold(rig.stream);
    ASSERT_TRUE(is_ok(run(rig)));
    ASSERT_EQ(cudaEventRecord(done, rig.stream), 0);
    EXPECT_EQ(cudaEventQuery(done), waits ? 0 : cudaErrorNotReady);
    if (!waits) let_go();
    EXPECT_EQ(cudaEventSynchronize(done), 0);
  }
}

// What ONNX Runtime's capture meets when another thread asks for an event meanwhile.
TEST_F(OnnxRuntimeTest, ACaptureThatIsDisturbedFails) {
  configure({{"CAPTURE_US", "20000"}});
  const auto capture = [&](Rig& rig) {
    EXPECT_TRUE(is_ok(make_session(rig, {{"enable_cuda_graph", "1"}})));
    EXPECT_TRUE(is_ok(bind(rig)));
    put(rig, 1);
    return run(rig);
  };
  const cudaEvent_t other = event();
  std::atomic<bool> stop{false};
  const auto ask = [&] {
    while (!stop) {
      (void)cudaEventQuery(other);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  };
  std::thread careless(ask);
  Status disturbed;
  // The other thread may get no turn during one capture.
  for (int i = 0; i < 100 && disturbed.ok(); ++i) {
    Rig rig;
    disturbed = capture(rig);
  }
  EXPECT_TRUE(is_error(disturbed, Code::kDeviceError, "cudaStreamEndCapture", "901"));
  stop = true;
  careless.join();
  stop = false;
  std::thread careful([&] {
    int mode = cudaStreamCaptureModeRelaxed;
    (void)cudaThreadExchangeStreamCaptureMode(&mode);
    ask();
  });
  Rig rig;
  EXPECT_TRUE(is_ok(capture(rig)));
  stop = true;
  careful.join();
  EXPECT_EQ(get(rig), 2);
}

TEST_F(OnnxRuntimeTest, NodesForTheCpuAllowNoGraphs) {
  set("CPU_NODES", "1");
  fakeortReload();
  Rig with;
  EXPECT_TRUE(is_error(make_session(with, {{"enable_cuda_graph", "1"}}), Code::kDeviceError,
                       "graph capture feature"));
  Rig without;
  EXPECT_TRUE(is_ok(make_session(without)));
}

TEST_F(OnnxRuntimeTest, OptionsAreCheckedAndRemembered) {
  Rig rig;
  ASSERT_TRUE(
      is_ok(make_session(rig, {{"use_tf32", "0"}, {"arena_extend_strategy", "kSameAsRequested"}})));
  char text[64] = "";
  EXPECT_EQ(fakeortSessionOption(0, "cuda", "use_tf32", text, sizeof text), 1);
  EXPECT_STREQ(text, "0");
  EXPECT_EQ(fakeortSessionOption(0, "cuda", "prefer_nhwc", text, sizeof text), 0);
  EXPECT_EQ(fakeortSessionOption(0, "tensorrt", "use_tf32", text, sizeof text), 0);
  ort::OrtCudaOptions* options = nullptr;
  ASSERT_TRUE(is_ok(check(api_->CreateCudaOptions(&options))));
  for (const auto& [pair, part] : std::initializer_list<std::pair<Options, const char*>>{
           {{{"use_tf23", "1"}}, "Unknown provider option: \"use_tf23\""},
           {{{"use_tf32", "maybe"}}, "\"maybe\""},
           {{{"arena_extend_strategy", "grow"}}, "\"grow\""},
           {{{"device_id", "1"}}, "must be between 0 (inclusive) and 1"}}) {
    EXPECT_TRUE(is_error(update_cuda(options, pair), Code::kDeviceError, part));
  }
  api_->ReleaseCudaOptions(options);
}

TEST_F(OnnxRuntimeTest, ProvidersAreThereOrMissing) {
  const auto providers = [&] {
    char** names = nullptr;
    int count = 0;
    EXPECT_TRUE(is_ok(check(api_->GetAvailableProviders(&names, &count))));
    std::string all;
    for (int i = 0; i < count; ++i) all += std::string(names[i]) + " ";
    EXPECT_TRUE(is_ok(check(api_->ReleaseAvailableProviders(names, count))));
    return all;
  };
  EXPECT_EQ(providers(), "TensorrtExecutionProvider CUDAExecutionProvider CPUExecutionProvider ");
  set("BROKEN", "cuda");
  fakeortReload();
  Rig broken;
  EXPECT_TRUE(is_error(make_session(broken), Code::kDeviceError,
                       "Failed to load library libonnxruntime_providers_cuda.so"));
  set("PROVIDERS", "");
  fakeortReload();
  EXPECT_EQ(providers(), "CPUExecutionProvider ");
  Rig none;
  EXPECT_TRUE(is_error(make_session(none), Code::kDeviceError, "not enabled in this build"));
}

TEST_F(OnnxRuntimeTest, MemoryRunsOutWhenLoadingAndInTheFirstRun) {
  ASSERT_EQ(fakecudaSetFaults("oom_at=1"), 0);
  Rig loading;
  EXPECT_TRUE(is_error(make_session(loading), Code::kDeviceError,
                       "Failed to allocate memory for requested buffer of size"));
  Rig rig;
  ASSERT_TRUE(is_ok(make_session(rig)));
  ASSERT_TRUE(is_ok(bind(rig)));
  ASSERT_EQ(fakecudaSetFaults("oom_at=1"), 0);
  put(rig, 1);
  EXPECT_TRUE(is_error(run(rig), Code::kDeviceError, "Failed to allocate memory"));
  EXPECT_TRUE(is_ok(run(rig)));
  EXPECT_EQ(get(rig), 2);
}

TEST_F(OnnxRuntimeTest, ALostGpuFailsEveryRun) {
  Rig rig;
  ASSERT_TRUE(is_ok(make_session(rig)));
  ASSERT_TRUE(is_ok(bind(rig)));
  put(rig, 1);
  ASSERT_EQ(fakecudaSetFaults("lost_in_kernel=1,code=700"), 0);
  EXPECT_TRUE(is_ok(run(rig)));
  EXPECT_EQ(cudaStreamSynchronize(rig.stream), 700);
  EXPECT_TRUE(is_error(run(rig), Code::kDeviceError, "CUDA failure 700", "illegal memory access"));
}

TEST_F(OnnxRuntimeTest, EverythingIsGivenBack) {
  {
    Rig rig;
    ASSERT_TRUE(is_ok(make_session(rig)));
    ASSERT_TRUE(is_ok(bind(rig)));
    put(rig, 1);
    ASSERT_TRUE(is_ok(run(rig)));
    EXPECT_EQ(get(rig), 2);
    EXPECT_EQ(counters().live_allocations, 4u);
  }
  EXPECT_EQ(counters().live_allocations, 0u);
  EXPECT_EQ(counters().live_pinned, 0u);
  EXPECT_EQ(counters().live_streams, 0u);
  EXPECT_EQ(ort_counters().live_sessions, 0u);
  EXPECT_EQ(ort_counters().live_bindings, 0u);
  EXPECT_EQ(ort_counters().live_values, 0u);
}

}  // namespace
}  // namespace qaickit::test
