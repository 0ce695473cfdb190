// What the `qaic` driver itself costs for each batch: the time from ExecObj::enqueue() to its
// return with the completion told, over a library that does nothing (qaic_instant). Prints
// nanoseconds for runs in the same buffers, and for runs that bind others each time.
//
//   QAIC_LIB=.../libqaic_instant.so qaic_driver_bench [RUNS]

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "qaickit/device.h"

namespace {

using namespace qaickit;

template <class T>
T or_die(Result<T> result) {
  if (!result.ok()) {
    std::fprintf(stderr, "qaic_driver_bench: %s\n", result.status().to_string().c_str());
    std::exit(1);
  }
  return std::move(result).value();
}

class Counter final : public Completion {
 public:
  void complete(const Status& status) noexcept override { ok_ += status.ok(); }
  long ok() const { return ok_; }

 private:
  long ok_ = 0;
};

double ns_per_run(ExecObj& exec, long runs, bool rebind) {
  std::vector<float> memory[2] = {std::vector<float>(16), std::vector<float>(16)};
  Counter counter;
  const auto start = std::chrono::steady_clock::now();
  for (long i = 0; i < runs; ++i) {
    if (rebind && !exec.bind_input(0, memory[i % 2].data()).ok()) std::exit(1);
    if (!exec.enqueue(counter).ok()) std::exit(1);
  }
  const std::chrono::duration<double, std::nano> spent = std::chrono::steady_clock::now() - start;
  if (!exec.bind_input(0, nullptr).ok() || counter.ok() != runs) std::exit(1);
  return spent.count() / static_cast<double>(runs);
}

}  // namespace

int main(int argc, char** argv) {
  const long runs = argc > 1 ? std::atol(argv[1]) : 2'000'000;
  QpcContent content;
  content.program = {
      "bench", {{"x", DType::kFloat32, {1, 16}}}, {{"y", DType::kFloat32, {1, 1}}}, 1, 1};
  content.manifest.producer = "qaic_driver_bench";
  content.manifest.precision = "fp32";
  const std::byte no_graph{};
  content.onnx_model = {&no_graph, 1};
  auto qpc = or_die(Qpc::from_bytes(or_die(build_qpc(content)), "bench.bin"));
  const auto device = or_die(or_die(find_backend("qaic"))->create(0));
  const auto program = or_die(device->load(std::move(qpc), {}));
  const auto activation = or_die(program->activate());
  const auto exec = or_die(activation->create_exec_obj());
  std::printf("%.1f %.1f\n", ns_per_run(*exec, runs, false), ns_per_run(*exec, runs, true));
  return 0;
}
