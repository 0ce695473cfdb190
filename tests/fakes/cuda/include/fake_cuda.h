/* A machine with GPUs for programs that open CUDA at run time, made of this machine's memory and
 * threads: what it is told to do, and what it has seen. For tests.
 *
 * "Device memory" is an address range that nobody may touch; what is in it lies elsewhere, so a
 * host that reads a device pointer crashes, as it would. Streams are threads with a queue each and
 * know of each other only what events say: whoever does not wait reads old data. Under
 * ThreadSanitizer only what CUDA promises orders anything (publish, happens_after in sanitizer.h).
 *
 * Not modelled: cudaStreamPerThread, managed memory, peer access, memory pools.
 */
#ifndef QAICKIT_FAKE_CUDA_H
#define QAICKIT_FAKE_CUDA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The environment, read at the first call and by fakecudaReload():
 *
 *   QAICKIT_FAKECUDA_DEVICES=N          GPUs, 1
 *   QAICKIT_FAKECUDA_MEMORY=BYTES       of each, 2 GiB
 *   QAICKIT_FAKECUDA_RUNTIME=N          what cudaRuntimeGetVersion says, 12080
 *   QAICKIT_FAKECUDA_DRIVER=N           what cudaDriverGetVersion says, 12080; 0: no driver
 *   QAICKIT_FAKECUDA_LATENCY_US=N       a launch takes so long, 0
 *   QAICKIT_FAKECUDA_COPY_US=N          a copy takes so long, 0
 *   QAICKIT_FAKECUDA_JITTER_US=N        at most so much on top of both, 0
 *   QAICKIT_FAKECUDA_CAPTURE_US=N       capturing a graph takes so long, 200
 *   QAICKIT_FAKECUDA_FAULTS=PLAN        see fakecudaSetFaults
 *
 * A value that cannot be read ends the process with a message. */

/* Forgets everything and starts again with the environment as it is. For unit tests: handles and
 * memory from before must not be used afterwards. */
void fakecudaReload(void);

/* Replaces the fault plan: "name=value" separated by commas; null or "" for none. `at` counts from
 * this call, 1 is the next one; rates are drawn from one seeded sequence.
 *
 *   device=N          only this GPU has the faults; all of them
 *   seed=N            of the sequence, 1
 *   oom_at=N          the Nth allocation of device memory fails
 *   oom_above=BYTES   and every one that is larger than this
 *   oom=RATE
 *   pinned_oom_at=N   the Nth allocation of page-locked memory fails
 *   refuse_at=N       the Nth launch is refused with an error that does not stick (701)
 *   refuse=RATE
 *   lost_at_launch=N  at the Nth launch the GPU is lost: from this call on everything on it fails
 *                     with the same error until the process ends (or fakecudaReload)
 *   lost_at_copy=N    the same at the Nth asynchronous copy
 *   lost_in_kernel=N  the Nth launch is accepted, and its kernel then loses the GPU
 *   lost=RATE         the same
 *   code=N            the error of a lost GPU, 719 (cudaErrorLaunchFailure)
 *   hang_at=N         the kernel of the Nth launch never ends, until faults are set again
 *
 * Returns 0, or 1 when it is not of this form; the old plan stays then. */
int fakecudaSetFaults(const char* plan);

typedef struct FakeCudaCounters {
  uint64_t allocations;      /* of device memory, since the start */
  uint64_t live_allocations; /* of them, not freed */
  uint64_t live_bytes;
  uint64_t pinned_allocations; /* page-locked; counted on all devices together */
  uint64_t live_pinned;
  uint64_t live_streams;    /* made and not destroyed */
  uint64_t live_events;     /* on all devices together */
  uint64_t copies;          /* asynchronous ones */
  uint64_t pageable_copies; /* of them, those that made the caller wait: memory not page-locked */
  uint64_t fills;
  uint64_t launches;           /* accepted ones */
  uint64_t default_stream_ops; /* issued on the legacy default stream */
  uint64_t stream_waits;       /* cudaStreamSynchronize by the program */
  uint64_t busy_streams;       /* the most that were at work at the same time */
} FakeCudaCounters;

/* 0, or 1: no such device. */
int fakecudaGetCounters(int device, FakeCudaCounters* counters);

/* Calls whose behaviour CUDA does not define (freeing page-locked memory that a copy still uses,
 * copying out of bounds, ...): their number; `text` gets the first of them, ended by a null. */
uint64_t fakecudaMisuse(char* text, size_t bytes);

/* For the fakes of the driver and of ONNX Runtime.
 * ----------------------------------------------------------- */

/* Where the contents of `bytes` of device memory lie, and on which device; null: it is none, or the
 * range leaves its allocation. */
void* fakecudaContents(const void* device_memory, size_t bytes, int* device);
/* Puts kernel(argument, 0) on a stream. kernel(argument, 1) instead says that it will never run
 * (the GPU is lost); one of both comes exactly once if this returns 0, and on the stream's thread.
 */
int fakecudaLaunch(void* stream, void (*kernel)(void* argument, int abandoned), void* argument);
int fakecudaStreamDevice(void* stream, int* device);
/* Of each GPU, in bytes. */
uint64_t fakecudaMemory(void);
/* As CUmemorytype has it: 1 page-locked, 2 a device's, 0 none that CUDA knows. */
unsigned fakecudaMemoryType(const void* address);
/* Around a capture in the global mode, as ONNX Runtime does it. The second returns 901 when a call
 * from elsewhere, that was not allowed meanwhile, has invalidated it. */
int fakecudaBeginCapture(void* stream);
int fakecudaEndCapture(void* stream);

#ifdef __cplusplus
}
#endif
#endif
