#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "qaickit/session.h"
#include "support/answer_log.h"
#include "support/result.h"

namespace qaickit::test {

inline SessionOptions session_options(std::string backend, std::vector<int> ids = {},
                                      uint32_t activations = 1, uint32_t set_size = 4,
                                      DeviceSettings settings = {}) {
  SessionOptions options;
  options.backend = std::move(backend);
  options.device_ids = std::move(ids);
  options.num_activations = activations;
  options.set_size = set_size;
  options.device_settings = std::move(settings);
  return options;
}

constexpr uint64_t kRunTimeoutNs = 60'000'000'000;

inline BatchPolicy timed_policy(uint64_t exec_timeout_ms = kRunTimeoutNs / 1'000'000) {
  BatchPolicy policy;
  policy.exec_timeout_ns = exec_timeout_ms * 1'000'000;
  return policy;
}

// One run of a program that copies four int64.
inline Status run_once(Session& session, int64_t first = 7) {
  std::vector<int64_t> in(4);
  std::iota(in.begin(), in.end(), first);
  std::vector<int64_t> out(4, -1);
  const ConstBuffer input{in.data(), 32};
  const MutableBuffer output{out.data(), 32};
  const Status status = session.run({&input, 1}, {&output, 1});
  if (status.ok()) {
    EXPECT_EQ(in, out);
  }
  return status;
}

// Closes a session when it has answered `answers` of what three threads submit, `each` of them:
// that does not wait for any time-out, and every sample that was taken is answered.
inline void close_during_load(std::unique_ptr<Session> session, size_t each, size_t answers) {
  AnswerLog log(3 * each);
  std::vector<std::thread> submitters;
  std::atomic<size_t> accepted{0};
  BatchPolicy policy = timed_policy();
  policy.close_timeout_ns = kRunTimeoutNs;
  ASSERT_TRUE(is_ok(session->start(log, policy)));
  for (size_t t = 0; t < 3; ++t) {
    submitters.emplace_back([&, t, raw = session.get()] {
      for (size_t i = 0; i < each; i += 10) {
        if (!raw->submit(samples_from(t * each + i, 10)).ok()) return;
        accepted.fetch_add(10);
      }
    });
  }
  log.wait_answered(answers);
  const uint64_t start = now_ns();
  EXPECT_TRUE(is_ok(session->close()));
  EXPECT_LT(now_ns() - start, kRunTimeoutNs / 2);
  for (std::thread& thread : submitters) thread.join();
  session.reset();
  EXPECT_EQ(log.answered(), accepted.load());
}

}  // namespace qaickit::test
