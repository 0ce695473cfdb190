#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <vector>

#include "fake_cudart.h"
#include "qaickit/session.h"
#include "support/completions.h"
#include "support/gpus.h"
#include "support/onnx_bytes.h"
#include "support/programs.h"
#include "support/result.h"
#include "support/sessions.h"

namespace qaickit::test {

// int64 in, int64 out, [batch, 4]: a copy.
inline std::shared_ptr<const Qpc> copy_qpc(int32_t batch = 1) {
  return make_qpc(echo_program(batch), echo_model(echo_program(batch)));
}

inline SessionOptions cuda_options(std::vector<int> ids = {}, uint32_t activations = 1,
                                   uint32_t set_size = 4, DeviceSettings settings = {}) {
  return session_options("cuda", std::move(ids), activations, set_size, std::move(settings));
}

inline std::unique_ptr<Session> open_cuda(const SessionOptions& options, int32_t batch = 1) {
  return value_of(Session::open(copy_qpc(batch), options));
}

// An ExecObj and what it hangs on.
struct LoadedExec {
  std::shared_ptr<Device> device;
  std::shared_ptr<Program> program;
  std::unique_ptr<Activation> activation;
  std::unique_ptr<ExecObj> exec;

  explicit LoadedExec(DeviceSettings settings = {}, int id = 0,
                      const std::shared_ptr<const Qpc>& qpc = copy_qpc()) {
    device = value_of(value_of(find_backend("cuda"))->create(id));
    ProgramOptions options;
    options.settings = std::move(settings);
    program = value_of(device->load(qpc, options));
    activation = value_of(program->activate());
    exec = value_of(activation->create_exec_obj());
  }
};

inline std::span<int64_t> numbers(std::span<std::byte> bytes) {
  return {reinterpret_cast<int64_t*>(bytes.data()), bytes.size() / sizeof(int64_t)};
}

// One run from and to the ExecObj's buffers.
inline Status run_exec(ExecObj& exec, int64_t first) {
  std::iota(numbers(exec.input(0)).begin(), numbers(exec.input(0)).end(), first);
  AwaitCompletion done;
  const Status started = exec.enqueue(done);
  if (!started.ok()) return started;
  const Status status = done.wait();
  EXPECT_EQ(done.calls(), 1u);
  if (status.ok()) {
    EXPECT_TRUE(std::ranges::equal(exec.input(0), exec.output(0)));
  }
  return status;
}

}  // namespace qaickit::test
