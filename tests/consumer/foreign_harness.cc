// A harness of somebody else's around qaickit: his own samples, his own post-processing, his own
// way of waiting. Each sample is a number; the answer must be that number.
#include <qaickit/session.h>

#include <atomic>
#include <cstdio>
#include <thread>
#include <vector>

using namespace qaickit;

class EchoHandler final : public BatchHandler {
 public:
  explicit EchoHandler(size_t samples) : answers(samples, -1) {}
  Status prepare(uint32_t, uint32_t) override { return {}; }
  Status gather(const Batch& batch) noexcept override {
    auto* rows = reinterpret_cast<float*>(batch.exec.input(0).data());
    for (size_t i = 0; i < batch.samples.size(); ++i) {
      rows[i] = static_cast<float>(batch.samples[i].index);
    }
    return {};
  }
  void scatter(const Batch& batch) noexcept override {
    const auto* rows = reinterpret_cast<const float*>(batch.exec.output(0).data());
    for (size_t i = 0; i < batch.samples.size(); ++i) answers[batch.samples[i].id] = rows[i];
    answered += batch.samples.size();
  }
  void fail(std::span<const Sample> samples, const Status& why) noexcept override {
    std::fprintf(stderr, "%zu samples failed: %s\n", samples.size(), why.to_string().c_str());
    answered += samples.size();
  }

  std::vector<float> answers;
  std::atomic<size_t> answered{0};
};

int main() {
  constexpr size_t kSamples = 10'007;  // the last batch is not full
  QpcContent content;
  content.program = {"echo", {{"x", DType::kFloat32, {8, 1}}}, {{"y", DType::kFloat32, {8, 1}}}};
  content.program.batch_size = 8;
  content.host_half = false;
  auto bytes = build_qpc(content);
  if (!bytes.ok()) return std::puts(bytes.status().to_string().c_str()), 1;
  auto qpc = Qpc::from_bytes(std::move(bytes).value(), "echo.bin");
  if (!qpc.ok()) return std::puts(qpc.status().to_string().c_str()), 1;
  SessionOptions options;
  options.backend = "null";
  options.num_activations = 2;
  auto session = Session::open(std::move(qpc).value(), options);
  if (!session.ok()) return std::puts(session.status().to_string().c_str()), 1;

  EchoHandler handler(kSamples);
  std::vector<Sample> samples;
  for (uint64_t i = 0; i < kSamples; ++i) samples.push_back({i, kSamples - i});
  if (!(*session)->start(handler, {}).ok() || !(*session)->submit(samples).ok()) return 1;
  while (handler.answered < kSamples) std::this_thread::yield();
  if (!(*session)->stop().ok()) return 1;
  for (uint64_t i = 0; i < kSamples; ++i) {
    if (handler.answers[i] != static_cast<float>(kSamples - i)) return std::puts("wrong answer"), 1;
  }
  std::printf("%zu right answers on %s\n", kSamples, (*session)->devices()[0].name.c_str());
  return 0;
}
