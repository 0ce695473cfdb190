// What every backend must do, written once against the Device interface and run for each row of
// subjects.cc. A backend that is not on this machine (kUnavailable) skips; any other error fails.

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <numeric>
#include <thread>

#include "base/aligned_array.h"
#include "subject.h"
#include "support/onnx_bytes.h"
#include "support/programs.h"

namespace qaickit::test {
namespace {

constexpr std::chrono::seconds kTimeout{20};

class Done final : public Completion {
 public:
  void complete(const Status& status) noexcept override {
    // Notified under the lock: the waiter destroys this as soon as it has it.
    const std::lock_guard lock(mutex_);
    status_ = status;
    ++calls_;
    changed_.notify_all();
  }
  Status wait() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kTimeout, [&] { return calls_ > 0; })) {
      return Status(Code::kTimedOut, "no completion");
    }
    return status_;
  }
  int calls() {
    const std::lock_guard lock(mutex_);
    return calls_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  Status status_;
  int calls_ = 0;
};

// The program y = x + x of one float32 tensor.
std::shared_ptr<const Qpc> add_qpc(std::vector<int64_t> dims, bool host_half = true) {
  const std::string model = doubling_model(dims);
  QpcContent content;
  content.program = doubling_program(dims);
  content.manifest.producer = "qaickit tests";
  content.manifest.precision = "fp32";
  content.onnx_model = as_byte_span(model);
  content.host_half = host_half;
  return value_of(Qpc::from_bytes(value_of(build_qpc(content)), "add.bin"));
}

class DeviceConformance : public ::testing::TestWithParam<Subject> {
 protected:
  void SetUp() override {
    const std::string name = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    const auto& unsupported = GetParam().unsupported;
    if (const auto found = unsupported.find(name.substr(0, name.find('/')));
        found != unsupported.end()) {
      GTEST_SKIP() << found->second;
    }
    backend_ = value_of(find_backend(GetParam().backend));
    const auto devices = backend_->enumerate();
    if (devices.status().code() == Code::kUnavailable) {
      GTEST_SKIP() << devices.status().to_string();
    }
    ASSERT_TRUE(is_ok(devices.status()));
    ASSERT_FALSE((*devices).empty());
    id_ = (*devices)[0].id;
    device_ = value_of(backend_->create(id_));
  }

  Result<std::shared_ptr<Program>> load(std::shared_ptr<const Qpc> qpc, uint32_t activations = 1) {
    ProgramOptions options;
    options.num_activations = activations;
    options.settings = GetParam().settings;
    return device_->load(std::move(qpc), options);
  }

  // An ExecObj and what it hangs on.
  struct Loaded {
    std::shared_ptr<Program> program;
    std::unique_ptr<Activation> activation;
    std::unique_ptr<ExecObj> exec;
  };
  Loaded load_one(const std::vector<int64_t>& dims) {
    Loaded loaded;
    loaded.program = value_of(load(add_qpc(dims)));
    loaded.activation = value_of(loaded.program->activate());
    loaded.exec = value_of(loaded.activation->create_exec_obj());
    return loaded;
  }

  static Status execute(const Program& program, ExecObj& exec) {
    if (!program.async()) return exec.run();
    Done done;
    const Status started = exec.enqueue(done);
    if (!started.ok()) return started;
    const Status status = done.wait();
    EXPECT_EQ(done.calls(), 1);
    return status;
  }

  float expected(float x) const { return GetParam().computes ? x + x : x; }

  static std::span<float> floats(std::span<std::byte> bytes) {
    return {reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float)};
  }

  const Backend* backend_ = nullptr;
  int id_ = 0;
  std::shared_ptr<Device> device_;
};

TEST_P(DeviceConformance, SaysWhatItIs) {
  EXPECT_EQ(device_->info().backend, backend_->name);
  EXPECT_EQ(device_->info().id, id_);
  EXPECT_FALSE(device_->info().name.empty());
  EXPECT_FALSE(value_of(load(add_qpc({4})))->precision().empty());
}

TEST_P(DeviceConformance, AnUnknownIdIsNotFound) {
  for (const int id : {-1, 1'000'000}) {
    if (const auto device = backend_->create(id); !device.ok()) {
      EXPECT_TRUE(is_error(device.status(), Code::kNotFound, std::to_string(id)));
    } else {
      // Only a device without hardware behind it may have as many as one likes.
      EXPECT_FALSE(GetParam().computes);
    }
  }
}

TEST_P(DeviceConformance, AnUnknownSettingIsRefusedByName) {
  ProgramOptions options;
  options.settings = {{"no_such_setting", "1"}};
  EXPECT_TRUE(is_error(device_->load(add_qpc({4}), options).status(), Code::kInvalidArgument,
                       "no_such_setting"));
}

TEST_P(DeviceConformance, BuffersAreAlignedZeroedAndOfTheSpecsSize) {
  const Loaded loaded = load_one({3, 5});
  ASSERT_EQ(loaded.exec->num_inputs(), 1u);
  ASSERT_EQ(loaded.exec->num_outputs(), 1u);
  for (const auto buffer : {loaded.exec->input(0), loaded.exec->output(0)}) {
    EXPECT_EQ(buffer.size(), 3 * 5 * sizeof(float));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0u);
    for (const std::byte b : buffer) EXPECT_EQ(b, std::byte{0});
  }
}

TEST_P(DeviceConformance, RunsFromItsOwnBuffers) {
  const Loaded loaded = load_one({3, 5});
  const auto x = floats(loaded.exec->input(0));
  for (int round = 1; round < 4; ++round) {
    std::iota(x.begin(), x.end(), static_cast<float>(round));
    ASSERT_TRUE(is_ok(execute(*loaded.program, *loaded.exec)));
    for (size_t i = 0; i < x.size(); ++i) {
      EXPECT_EQ(floats(loaded.exec->output(0))[i], expected(x[i]));
    }
  }
}

TEST_P(DeviceConformance, RunsFromTheCallersMemoryAndBackAgain) {
  const Loaded loaded = load_one({64});
  AlignedArray<float> x(64);
  AlignedArray<float> y(64);
  std::iota(x.begin(), x.end(), 1.0f);
  ASSERT_TRUE(is_ok(loaded.exec->bind_input(0, x.data())));
  ASSERT_TRUE(is_ok(loaded.exec->bind_output(0, y.data())));
  ASSERT_TRUE(is_ok(execute(*loaded.program, *loaded.exec)));
  for (size_t i = 0; i < 64; ++i) EXPECT_EQ(y[i], expected(x[i]));

  // Its own buffers again: the caller's memory is left alone.
  ASSERT_TRUE(is_ok(loaded.exec->bind_input(0, nullptr)));
  ASSERT_TRUE(is_ok(loaded.exec->bind_output(0, nullptr)));
  std::fill(y.begin(), y.end(), -1.0f);
  for (float& value : floats(loaded.exec->input(0))) value = 7.0f;
  ASSERT_TRUE(is_ok(execute(*loaded.program, *loaded.exec)));
  EXPECT_EQ(floats(loaded.exec->output(0))[63], expected(7.0f));
  EXPECT_EQ(y[0], -1.0f);
}

TEST_P(DeviceConformance, TheOtherWayOfRunningIsRefused) {
  const Loaded loaded = load_one({4});
  Done done;
  const Status status = loaded.program->async() ? loaded.exec->run() : loaded.exec->enqueue(done);
  EXPECT_EQ(status.code(), Code::kUnsupported);
  EXPECT_EQ(done.calls(), 0);
}

TEST_P(DeviceConformance, ScalarsAndEmptyTensorsRun) {
  for (const std::vector<int64_t>& dims : {std::vector<int64_t>{}, {0}, {2, 0, 3}}) {
    const Loaded loaded = load_one(dims);
    for (float& value : floats(loaded.exec->input(0))) value = 3.0f;
    ASSERT_TRUE(is_ok(execute(*loaded.program, *loaded.exec))) << dims_to_string(dims);
    for (const float value : floats(loaded.exec->output(0))) EXPECT_EQ(value, expected(3.0f));
  }
}

TEST_P(DeviceConformance, ActivationsRunSideBySide) {
  constexpr uint32_t kActivations = 4;
  const auto program = value_of(load(add_qpc({16}), kActivations));
  std::vector<std::unique_ptr<Activation>> activations;
  std::vector<std::unique_ptr<ExecObj>> execs;
  for (uint32_t a = 0; a < kActivations; ++a) {
    activations.push_back(value_of(program->activate()));
    execs.push_back(value_of(activations.back()->create_exec_obj()));
  }
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (uint32_t a = 0; a < kActivations; ++a) {
    threads.emplace_back([&, a] {
      for (int round = 0; round < 200; ++round) {
        const auto value = static_cast<float>(a * 1000 + static_cast<uint32_t>(round));
        for (float& x : floats(execs[a]->input(0))) x = value;
        if (!execute(*program, *execs[a]).ok()) ++wrong;
        for (const float y : floats(execs[a]->output(0))) wrong += y != expected(value);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
}

TEST_P(DeviceConformance, AQpcWithoutTheHalfItNeedsSaysSo) {
  const auto loaded = load(add_qpc({4}, /*host_half=*/false));
  if (!GetParam().computes) return;
  EXPECT_TRUE(is_error(loaded.status(), Code::kUnsupported, "half"));
}

// y = x + w, where w lies in the weights segment behind another weight.
struct WithWeights {
  std::vector<float> unused = {9, 9, 9};
  std::vector<float> weight = {10, 20, 30, 40};
  ProgramSpec program = doubling_program({4});
  std::string location = std::string(kWeightsSegment);
  uint64_t offset = 64;  // the first place behind `unused`
  uint64_t length = 16;
  std::vector<int64_t> dims = {4};

  Result<std::shared_ptr<const Qpc>> make() const {
    const std::string model =
        onnx_model(program, {onnx_node("Add", {"x", "w"}, "y")},
                   {onnx_external({"w", DType::kFloat32, dims}, location, offset, length)});
    QpcContent content;
    content.program = program;
    content.manifest.producer = "qaickit tests";
    content.manifest.precision = "fp32";
    content.onnx_model = as_byte_span(model);
    content.weights = {std::as_bytes(std::span(unused)), std::as_bytes(std::span(weight))};
    return Qpc::from_bytes(value_of(build_qpc(content)), "weights.bin");
  }
};

TEST_P(DeviceConformance, WeightsOutsideOfTheGraph) {
  if (!GetParam().computes) return;
  SessionOptions options;
  options.backend = GetParam().backend;
  options.device_settings = GetParam().settings;
  const auto session = value_of(Session::open(value_of(WithWeights().make()), options));
  std::vector<float> x = {1, 2, 3, 4};
  std::vector<float> y(4);
  const ConstBuffer in{x.data(), 4 * sizeof(float)};
  const MutableBuffer out{y.data(), 4 * sizeof(float)};
  ASSERT_TRUE(is_ok(session->run({&in, 1}, {&out, 1})));
  EXPECT_EQ(y, (std::vector<float>{11, 22, 33, 44}));
}

TEST_P(DeviceConformance, WeightsThatDoNotFitAreRefused) {
  if (!GetParam().computes) return;
  struct Case {
    void (*change)(WithWeights&);
    const char* why;
  };
  const Case cases[] = {
      {[](WithWeights& w) { w.location = "/etc/passwd"; }, "not in qaickit.weights.bin"},
      {[](WithWeights& w) { w.offset = 72; }, "outside of qaickit.weights.bin"},
      {[](WithWeights& w) { w.offset = UINT64_MAX - 3; }, "outside of qaickit.weights.bin"},
      {[](WithWeights& w) { w.length = 12; }, "takes 16 bytes, its data has '12'"},
      {[](WithWeights& w) { w.dims = {4, -1}; }, "'w'"},
      {[](WithWeights& w) { w.dims = {int64_t{1} << 62, 16}; }, "'w'"},
  };
  for (const Case& bad : cases) {
    WithWeights weights;
    bad.change(weights);
    EXPECT_TRUE(is_error(load(value_of(weights.make())).status(), Code::kDataLoss, bad.why));
  }
}

TEST_P(DeviceConformance, AGraphThatContradictsTheDescriptorIsRefused) {
  if (!GetParam().computes) return;
  const std::string model = doubling_model({5});
  QpcContent content;
  content.program.name = "liar";
  content.program.inputs = {{"x", DType::kFloat32, {4}}};
  content.program.outputs = {{"y", DType::kFloat32, {4}}};
  content.manifest.producer = "qaickit tests";
  content.manifest.precision = "fp32";
  content.onnx_model = as_byte_span(model);
  const auto qpc = value_of(Qpc::from_bytes(value_of(build_qpc(content)), "liar.bin"));
  EXPECT_TRUE(is_error(load(qpc).status(), Code::kDataLoss, "'x'"));
}

TEST_P(DeviceConformance, ASessionOnItAnswersRun) {
  SessionOptions options;
  options.backend = GetParam().backend;
  options.device_settings = GetParam().settings;
  options.num_activations = 2;
  const auto session = value_of(Session::open(add_qpc({8}), options));
  AlignedArray<float> x(8);
  AlignedArray<float> y(8);
  std::fill(x.begin(), x.end(), 2.5f);
  const ConstBuffer in{x.data(), 8 * sizeof(float)};
  const MutableBuffer out{y.data(), 8 * sizeof(float)};
  ASSERT_TRUE(is_ok(session->run({&in, 1}, {&out, 1})));
  for (const float value : y) EXPECT_EQ(value, expected(2.5f));
  EXPECT_EQ(value_of(session->benchmark(50, 0, {&in, 1})).inferences, 50u);
  ASSERT_TRUE(is_ok(session->close()));
  EXPECT_EQ(session->run({&in, 1}, {&out, 1}).code(), Code::kClosed);
}

INSTANTIATE_TEST_SUITE_P(All, DeviceConformance, ::testing::ValuesIn(subjects()),
                         [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace qaickit::test
