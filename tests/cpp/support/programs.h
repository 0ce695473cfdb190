#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "container/byte_range.h"
#include "qaickit/qpc.h"
#include "qaickit/session.h"
#include "result.h"

namespace qaickit::test {

// int64 in, int64 out, `row` elements a sample: the null device answers with its input.
inline ProgramSpec echo_program(int32_t batch = 1, int64_t row = 4) {
  ProgramSpec program;
  program.name = "echo";
  program.inputs = {{"x", DType::kInt64, {batch, row}}};
  program.outputs = {{"y", DType::kInt64, {batch, row}}};
  program.batch_size = batch;
  return program;
}

inline std::shared_ptr<const Qpc> make_qpc(const ProgramSpec& program,
                                           std::string_view model = "not a graph") {
  QpcContent content;
  content.program = program;
  content.manifest.producer = "qaickit tests";
  content.manifest.precision = "fp32";
  content.onnx_model = as_byte_span(model);
  return value_of(Qpc::from_bytes(value_of(build_qpc(content)), "test.bin"));
}

inline std::unique_ptr<Session> open_null(const ProgramSpec& program, DeviceSettings settings = {},
                                          uint32_t num_activations = 1, uint32_t set_size = 4) {
  SessionOptions options;
  options.backend = "null";
  options.num_activations = num_activations;
  options.set_size = set_size;
  options.device_settings = std::move(settings);
  return value_of(Session::open(make_qpc(program), options));
}

}  // namespace qaickit::test
