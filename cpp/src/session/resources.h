#pragma once

#include <memory>
#include <string>
#include <vector>

#include "batch/slot_table.h"
#include "qaickit/device.h"
#include "qaickit/session.h"

namespace qaickit {

// Everything a session has on its devices. Members are released in reverse order.
struct Resources {
  const Backend* backend = nullptr;
  std::shared_ptr<const Qpc> qpc;
  std::vector<DeviceInfo> infos;
  bool async = false;
  std::string precision;
  std::vector<std::shared_ptr<Device>> devices;
  std::vector<std::shared_ptr<Program>> programs;
  std::vector<std::unique_ptr<Activation>> activations;
  std::unique_ptr<SlotTable> slots;
};

// Opens the devices, loads and activates. On an error nothing stays behind.
Result<std::shared_ptr<Resources>> acquire_resources(std::shared_ptr<const Qpc> qpc,
                                                     const SessionOptions& options);

}  // namespace qaickit
