/* SPDX-License-Identifier: Apache-2.0
 *
 * What libqaicsim.so has beyond the vendor's API: faults to order, and what it has counted.
 */
#ifndef QAICKIT_QAICSIM_H
#define QAICKIT_QAICSIM_H

#include "QAicApi.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Replaces the fault plan of all devices: "name=value" separated by commas; null or "" for none.
 * Rates are from 0 to 1, drawn for every enqueue (or load, activation) from one seeded sequence.
 *
 *   seed=N           of the sequence, 1
 *   device=N         only this device has the faults; all of them
 *   enqueue=RATE     qaicEnqueueExecObj is refused with QS_AGAIN
 *   submit=RATE      the device has no room for a run of the queue for SubmitRetryTimeoutMs (0:
 *                    5000). Drawn for each of 1 + SubmitNumRetries tries; after the last the run
 *                    completes with QS_TIMEDOUT
 *   error=RATE       the run completes with QS_ERROR
 *   lost=RATE        the run never completes; the exec object stays in flight until the device is
 *                    reset or its program deactivated, when it completes with QS_DEV_ERROR
 *   reset=RATE       the device resets: everything in flight completes with QS_DEV_ERROR, all
 *                    programs on it are lost, and its status is QDS_ERROR until the next
 *                    qaicCreateContext with it or qaicsimResetDevice
 *   die=RATE         the same, but only qaicsimResetDevice brings it back
 *   die_after=N      dies at its Nth enqueue, counted from this call
 *   load=RATE        qaicLoadProgram fails with QS_ERROR
 *   activation=RATE  activation fails half way with QS_DEV_ERROR; the NSPs are given back
 *   slow=FACTOR      latencies of the model are multiplied, 1
 *   stall_us=N       added to every run, 0
 *
 * QS_INVAL: not of this form; the old plan stays. The environment variable QAICKIT_SIM_FAULTS holds
 * the plan to start with. */
QStatus qaicsimSetFaults(const char* spec);

/* Resets a device as the tool of a card would: what is in flight completes with QS_DEV_ERROR,
 * programs on it are lost, its status becomes QDS_READY. */
QStatus qaicsimResetDevice(QID device);

/* Serial numbers and firmware of the board; made up, like the sensors: temperature and power grow
 * with the NSPs that are in use. QS_NODEV: no such device. */
QStatus qaicsimGetBoardInfo(QID device, QBoardInfo* info);
QStatus qaicsimGetTelemetry(QID device, QTelemetryInfo* info);

typedef struct QAicSimCounters {
  uint64_t enqueued;  /* accepted */
  uint64_t refused;   /* by a fault */
  uint64_t completed; /* with QS_SUCCESS */
  uint64_t failed;    /* completed with another status */
  uint64_t lost;      /* held back by a fault, released ones included */
  uint64_t resets;
} QAicSimCounters;

QStatus qaicsimGetCounters(QID device, QAicSimCounters* counters);

/* Objects alive now (contexts, QPCs, programs, groups, queues, exec objects, events): 0 after a
 * program that released everything. */
uint64_t qaicsimLiveObjects(void);

/* A directory that holds Python packages (an entry of sys.path), to look for ONNX Runtime in, which
 * computes the host half. Before the first program is loaded. */
QStatus qaicsimAddPackageDir(const char* dir);

/* Reads the environment (QAICKIT_SIM_*) again. QS_BUSY while contexts exist. For tests. */
QStatus qaicsimReload(void);

#ifdef __cplusplus
}
#endif

#endif
