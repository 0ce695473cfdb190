// More of what every backend must do: graphs that are copies, so that the answer is the same
// whether a device computes or echoes.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <thread>
#include <vector>

#include "qaickit/device.h"
#include "subject.h"
#include "support/completions.h"
#include "support/onnx_bytes.h"
#include "support/programs.h"

namespace qaickit::test {
namespace {

ProgramSpec program_of(std::vector<TensorSpec> inputs, std::vector<TensorSpec> outputs) {
  ProgramSpec program;
  program.name = "conformance";
  program.inputs = std::move(inputs);
  program.outputs = std::move(outputs);
  return program;
}

ProgramSpec two_tensors() {
  return program_of({{"a", DType::kFloat32, {1, 6}}, {"b", DType::kInt64, {1, 3}}},
                    {{"c", DType::kFloat32, {1, 6}}, {"d", DType::kInt64, {1, 3}}});
}

// Bytes that no two (seed, tensor) pairs share; also valid as booleans.
std::vector<std::byte> pattern(size_t bytes, size_t seed, DType dtype = DType::kFloat32) {
  std::vector<std::byte> data(bytes);
  for (size_t i = 0; i < bytes; ++i) {
    const size_t value = (seed * 31 + i * 7) % 127;
    data[i] = static_cast<std::byte>(dtype == DType::kBool ? value % 2 : value);
  }
  return data;
}

void write(std::span<std::byte> to, const std::vector<std::byte>& data) {
  ASSERT_EQ(to.size(), data.size());
  std::copy(data.begin(), data.end(), to.begin());
}

std::vector<std::byte> read(std::span<const std::byte> from) { return {from.begin(), from.end()}; }

class ExecObjConformance : public ::testing::TestWithParam<Subject> {
 protected:
  void SetUp() override {
    const std::string name = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    const auto& unsupported = GetParam().unsupported;
    if (const auto found = unsupported.find(name.substr(0, name.find('/')));
        found != unsupported.end()) {
      GTEST_SKIP() << found->second;
    }
    const Backend* const backend = value_of(find_backend(GetParam().backend));
    const auto devices = backend->enumerate();
    if (devices.status().code() == Code::kUnavailable) {
      GTEST_SKIP() << devices.status().to_string();
    }
    device = value_of(backend->create(value_of(devices).at(0).id));
  }

  Result<std::shared_ptr<Program>> load(std::shared_ptr<const Qpc> qpc,
                                        uint32_t num_activations = 1) {
    ProgramOptions options;
    options.num_activations = num_activations;
    options.settings = GetParam().settings;
    return device->load(std::move(qpc), options);
  }
  std::shared_ptr<Program> load_echo(const ProgramSpec& spec, uint32_t num_activations = 1) {
    return value_of(load(make_qpc(spec, echo_model(spec)), num_activations));
  }
  // An ExecObj alone: it keeps its parents alive.
  std::unique_ptr<ExecObj> exec_of(const ProgramSpec& spec) {
    const auto program = load_echo(spec);
    async = program->async();
    return value_of(value_of(program->activate())->create_exec_obj());
  }
  Status run(ExecObj& exec) const { return run(exec, async); }
  static Status run(ExecObj& exec, bool async) {
    if (!async) return exec.run();
    AwaitCompletion done;
    QAICKIT_RETURN_IF_ERROR(exec.enqueue(done));
    return done.wait();
  }
  // A run with the inputs of `seed` in the ExecObj's own buffers.
  void expect_echo(ExecObj& exec, size_t seed) const {
    for (size_t i = 0; i < exec.num_inputs(); ++i) {
      write(exec.input(i), pattern(exec.input(i).size(), seed + i));
    }
    ASSERT_TRUE(is_ok(run(exec)));
    for (size_t i = 0; i < exec.num_outputs(); ++i) {
      EXPECT_EQ(read(exec.output(i)), pattern(exec.output(i).size(), seed + i));
    }
  }

  std::shared_ptr<Device> device;
  bool async = false;
};

TEST_P(ExecObjConformance, GraphThatIsDamagedIsRefused) {
  if (!GetParam().computes) return;  // and does not read it
  EXPECT_FALSE(load(make_qpc(two_tensors(), "not a graph")).ok());
}

TEST_P(ExecObjConformance, GraphThatIsNotWhatTheDescriptorSaysIsRefused) {
  if (!GetParam().computes) return;
  const ProgramSpec spec = two_tensors();
  const auto load_other = [&](auto change) {
    ProgramSpec other = spec;
    change(other);
    return load(make_qpc(spec, echo_model(other))).status();
  };
  EXPECT_TRUE(is_error(load_other([](ProgramSpec& p) { p.inputs[0].name = "z"; }), Code::kDataLoss,
                       "input 'z'", "compile the QPC again"));
  EXPECT_TRUE(is_error(load_other([](ProgramSpec& p) { p.outputs[1].name = "z"; }), Code::kDataLoss,
                       "output 'd'"));
  EXPECT_TRUE(
      is_error(load_other([](ProgramSpec& p) { p.inputs[0].dims = p.outputs[0].dims = {1, 7}; }),
               Code::kDataLoss, "[1, 6]", "[1, 7]"));
  EXPECT_TRUE(is_error(
      load_other([](ProgramSpec& p) { p.inputs[1].dtype = p.outputs[1].dtype = DType::kInt32; }),
      Code::kDataLoss, "'b' is int64"));
  EXPECT_TRUE(is_error(load_other([](ProgramSpec& p) {
                         p.inputs.push_back({"extra", DType::kFloat32, {1}});
                         p.outputs.push_back({"more", DType::kFloat32, {1, 6}});
                       }),
                       Code::kDataLoss, "'extra'"));
}

TEST_P(ExecObjConformance, BindsInputsAndOutputs) {
  const auto exec = exec_of(two_tensors());
  std::byte* const own_input = exec->input(0).data();
  std::byte* const own_output = exec->output(0).data();
  write(exec->input(1), pattern(24, 8));
  for (size_t seed = 1; seed < 4; ++seed) {
    const auto input = pattern(24, seed);
    std::vector<std::byte> output(24);
    ASSERT_TRUE(is_ok(exec->bind_input(0, input.data())));
    ASSERT_TRUE(is_ok(exec->bind_output(0, output.data())));
    EXPECT_EQ(exec->input(0).data(), input.data());
    EXPECT_EQ(exec->output(0).data(), output.data());
    ASSERT_TRUE(is_ok(run(*exec)));
    EXPECT_EQ(output, input);
    EXPECT_EQ(read(exec->output(1)), pattern(24, 8));  // the other is as it was
  }
  ASSERT_TRUE(is_ok(exec->bind_input(0, nullptr)));
  ASSERT_TRUE(is_ok(exec->bind_output(0, nullptr)));
  EXPECT_EQ(exec->input(0).data(), own_input);
  EXPECT_EQ(exec->output(0).data(), own_output);
  expect_echo(*exec, 5);
}

// What was bound is neither read nor written once something else is.
TEST_P(ExecObjConformance, ForgetsWhatWasBound) {
  const auto exec = exec_of(two_tensors());
  {
    const auto input = std::make_unique<std::vector<std::byte>>(pattern(24, 1));
    const auto output = std::make_unique<std::vector<std::byte>>(24);
    ASSERT_TRUE(is_ok(exec->bind_input(0, input->data())));
    ASSERT_TRUE(is_ok(exec->bind_output(0, output->data())));
    ASSERT_TRUE(is_ok(run(*exec)));
    ASSERT_TRUE(is_ok(exec->bind_input(0, nullptr)));
    ASSERT_TRUE(is_ok(exec->bind_output(0, nullptr)));
  }
  expect_echo(*exec, 2);
}

TEST_P(ExecObjConformance, CancelWithoutARunIsNothing) {
  const auto exec = exec_of(two_tensors());
  exec->cancel();
  expect_echo(*exec, 1);
  exec->cancel();
  exec->cancel();
  expect_echo(*exec, 2);
}

// A cancelled run says so or ends well; the next one is not touched.
TEST_P(ExecObjConformance, CancelDuringRuns) {
  const auto exec = exec_of(two_tensors());
  std::atomic<bool> done{false};
  std::thread canceller([&] {
    while (!done) exec->cancel();
  });
  for (int i = 0; i < 50; ++i) {
    const Status status = run(*exec);
    EXPECT_TRUE(status.ok() || is_error(status, Code::kCancelled));
  }
  done = true;
  canceller.join();
  expect_echo(*exec, 1);
}

TEST_P(ExecObjConformance, EveryDTypeOfAQpc) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat16, DType::kInt8, DType::kUInt8,
                            DType::kInt16, DType::kInt32, DType::kInt64, DType::kBool}) {
    const auto exec = exec_of(program_of({{"x", dtype, {2, 5}}}, {{"y", dtype, {2, 5}}}));
    const auto data = pattern(10 * dtype_bytes(dtype), 3, dtype);
    write(exec->input(0), data);
    EXPECT_TRUE(is_ok(run(*exec))) << dtype_name(dtype);
    EXPECT_EQ(read(exec->output(0)), data) << dtype_name(dtype);
  }
}

TEST_P(ExecObjConformance, ExecObjsOfAnActivationAreApart) {
  const auto program = load_echo(two_tensors());
  async = program->async();
  const auto activation = value_of(program->activate());
  std::vector<std::unique_ptr<ExecObj>> execs;
  for (size_t i = 0; i < 4; ++i) execs.push_back(value_of(activation->create_exec_obj()));
  for (size_t i = 0; i < execs.size(); ++i) {
    for (size_t t = 0; t < 2; ++t) write(execs[i]->input(t), pattern(24, 10 * i + t));
  }
  if (async) {
    std::vector<AwaitCompletion> done(execs.size());  // all in flight together
    for (size_t i = 0; i < execs.size(); ++i) ASSERT_TRUE(is_ok(execs[i]->enqueue(done[i])));
    for (const AwaitCompletion& d : done) EXPECT_TRUE(is_ok(d.wait()));
    for (const AwaitCompletion& d : done) EXPECT_EQ(d.calls(), 1u);
  } else {
    for (const auto& exec : execs) ASSERT_TRUE(is_ok(exec->run()));
  }
  for (size_t i = 0; i < execs.size(); ++i) {
    for (size_t t = 0; t < 2; ++t) EXPECT_EQ(read(execs[i]->output(t)), pattern(24, 10 * i + t));
  }
}

TEST_P(ExecObjConformance, ProgramsAreApart) {
  const auto first = exec_of(two_tensors());
  const auto second = exec_of(program_of({{"x", DType::kInt8, {3}}}, {{"y", DType::kInt8, {3}}}));
  expect_echo(*first, 1);
  expect_echo(*second, 2);
  expect_echo(*first, 3);
}

INSTANTIATE_TEST_SUITE_P(All, ExecObjConformance, ::testing::ValuesIn(subjects()),
                         [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace qaickit::test
