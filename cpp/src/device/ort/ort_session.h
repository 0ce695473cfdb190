#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "device/ort/ort_api.h"
#include "qaickit/qpc.h"

// Sessions on the host half of a QPC, whatever ONNX Runtime runs them on.
namespace qaickit::ort {

// One for the process; leaked, since ORT's own threads may outlive static destruction.
Result<const OrtEnv*> process_env(const Api& api);

Result<Owned<OrtMemoryInfo>> cpu_memory(const Api& api);

// A segment that holds the graph, which has to be there. Error kUnsupported: the QPC has no host
// half.
Result<std::span<const std::byte>> graph_of(const Qpc& qpc, std::string_view segment);

// Options that every device wants: fully optimised, `threads` a run, and threads that wait
// without spinning where others want the CPU.
Result<Owned<OrtSessionOptions>> make_options(const Api& api, uint32_t threads, bool spin);

// A session on `model`, one of the QPC's graphs; `options` are used up. The weights are used where
// they lie in the file, which has to stay mapped as long as the session lives: pages that no one
// uses cost no memory, and nothing is copied out of a message.
// Error kDataLoss: the graph is not what the network descriptor says; names the tensor.
Result<Owned<OrtSession>> make_session(const Api& api, const Qpc& qpc,
                                       std::span<const std::byte> model,
                                       Owned<OrtSessionOptions> options);

// `data`, in memory of the kind that `memory` says, as tensor t of a set of the program's shapes.
Result<Owned<OrtValue>> wrap(const Api& api, const OrtMemoryInfo* memory,
                             const ProgramSpec& program, size_t set, size_t t, void* data);

}  // namespace qaickit::ort

#define ORT_RETURN_IF_ERROR(api, call, what) \
  QAICKIT_RETURN_IF_ERROR(::qaickit::ort::to_status(api, call, what))
