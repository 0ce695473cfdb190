#pragma once

#include "qaickit/device.h"

namespace qaickit {

inline constexpr std::string_view kNullBackendName = "null";

// A device that computes nothing: each row of an output is a copy of the first bytes of the same
// row of an input. For tests and for measuring everything around a device. Settings:
//   latency_us      time of a run (0: none)
//   async           1: completes on a thread of its own, out of order
//   fault_rate      share of runs that end in kDeviceError
//   refuse_rate     share of enqueues that are refused (async)
//   lost_rate       share of runs whose completion never comes (async)
//   max_activations capacity
//   seed            of the faults
Result<std::vector<DeviceInfo>> enumerate_null();
Result<std::shared_ptr<Device>> create_null(int id);
std::vector<std::pair<std::string, std::string>> null_details();

constexpr Backend null_backend() {
  return {kNullBackendName,     "computes nothing; for tests and for measuring the harness",
          enumerate_null,       create_null,
          null_details,
          /*only_by_name=*/true};
}

}  // namespace qaickit
