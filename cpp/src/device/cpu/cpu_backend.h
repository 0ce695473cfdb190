#pragma once

#include "qaickit/device.h"

namespace qaickit {

// The host's CPU through ONNX Runtime. One ORT session for each program, shared by its
// activations, so that weights are held once; synchronous. Settings: none.
Result<std::vector<DeviceInfo>> enumerate_cpu();
Result<std::shared_ptr<Device>> create_cpu(int id);
std::vector<std::pair<std::string, std::string>> cpu_details();

constexpr Backend cpu_backend() {
  return {"cpu", "this machine's CPU, through ONNX Runtime", enumerate_cpu, create_cpu,
          cpu_details};
}

}  // namespace qaickit
