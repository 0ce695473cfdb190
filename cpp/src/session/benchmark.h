#pragma once

#include <span>

#include "qaickit/session.h"

namespace qaickit {

// Runs `session`'s program over and over through its own workers. See Session::benchmark.
Result<BenchmarkResult> run_benchmark(Session& session, uint32_t slots, uint64_t inferences,
                                      double seconds, std::span<const ConstBuffer> inputs,
                                      size_t set, const BenchmarkProgress& progress);

}  // namespace qaickit
