/* An ONNX Runtime with the CUDA and TensorRT providers, made of one without and of the fake CUDA
 * runtime: OrtGetApiBase of this library gives the table of the real one, in which what has to do
 * with GPUs is replaced. "Kernels" are the CPU's, run as one on the stream of the session, on the
 * contents of device memory. For tests.
 *
 * As in ONNX Runtime (core/providers/cuda, release 1.22 and later): a session takes device memory
 * for its weights when it is made and for its workspace at its first run; making and running make
 * the session's GPU the thread's current one; graphs belong to the thread that captured them, are
 * captured in the global mode after one ordinary run, and a replay waits for the stream.
 *
 * Stricter than ONNX Runtime: what is bound must be device memory of the session's GPU, or the
 * host's for a tensor that is used there (it would copy, and inputs only when they are bound), as
 * SessionGetMemoryInfoForInputs tells; no graph may use such tensors (it would keep what they were
 * when it was captured), a graph whose addresses are not those of its capture is refused (it would
 * silently use the old ones), as is Run (which copies without a stream that the caller knows of).
 *
 * Environment, read when the library is asked for its table, and by fakeortReload():
 *
 *   QAICKIT_FAKEORT_LIB=PATH        the real library; needed
 *   QAICKIT_FAKEORT_VERSION=TEXT    what it calls itself, the real one's; below 1.22 it is too old
 *   QAICKIT_FAKEORT_PROVIDERS=LIST  of "cuda", "tensorrt": built in; both, as in the wheel
 *   QAICKIT_FAKEORT_BROKEN=LIST     of them: cannot be loaded; "tensorrt", as in the wheel alone
 *   QAICKIT_FAKEORT_COMPUTE=HOW     1: the graph, on the CPU (that is the default); echo: output i
 *                                   is a copy of input i modulo the number of inputs, and nothing
 *                                   allocates
 *   QAICKIT_FAKEORT_CPU_NODES=1     some nodes are not for the GPU: no graphs
 *   QAICKIT_FAKEORT_HOST_TENSORS=A,B  inputs and outputs that nodes on the CPU use
 *   QAICKIT_FAKEORT_SYNC_REPLAY=0   replays do not wait where the caller wants none, as from 1.30
 * on
 */
#ifndef QAICKIT_FAKE_ONNXRUNTIME_H
#define QAICKIT_FAKE_ONNXRUNTIME_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Also forgets misuse. */
void fakeortReload(void);

typedef struct FakeOrtCounters {
  uint64_t sessions; /* made with a GPU's provider */
  uint64_t live_sessions;
  uint64_t live_bindings;
  uint64_t live_values; /* in device memory */
  uint64_t runs;        /* asked for, on a GPU; a replay is one too */
  uint64_t failed_runs;
  uint64_t captures;
  uint64_t replays;
  uint64_t waiting_runs; /* not told not to wait for the stream */
  uint64_t most_threads; /* that have run one and the same session */
} FakeOrtCounters;

void fakeortGetCounters(FakeOrtCounters* counters);

/* What a session, the nth that was made with a GPU's provider (from 0), was told: of "cuda" or
 * "tensorrt", the value of a key; of "session", a config entry. 1, or 0 when it was not told. */
int fakeortSessionOption(uint64_t nth, const char* provider, const char* key, char* text,
                         size_t bytes);

/* As fakecudaMisuse: of a released session with runs under way, and the like. */
uint64_t fakeortMisuse(char* text, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
