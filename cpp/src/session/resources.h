#pragma once

#include <memory>
#include <string>
#include <vector>

#include "batch/slot_table.h"
#include "qaickit/device.h"
#include "qaickit/session.h"

namespace qaickit {

// Everything a session has on its devices. Members are released in reverse order, after the
// ExecObjs and before the slot table: once a device is gone, so is its last completion.
struct Resources {
  Resources() = default;
  ~Resources() {
    if (slots) slots->release_exec_objs();
  }

  std::unique_ptr<SlotTable> slots;
  const Backend* backend = nullptr;
  std::shared_ptr<const Qpc> qpc;
  ProgramSpec io;  // what goes in and out
  std::vector<DeviceInfo> infos;
  bool async = false;
  std::string precision;
  std::vector<std::shared_ptr<Device>> devices;
  std::vector<std::shared_ptr<Program>> programs;
  std::vector<std::unique_ptr<Activation>> activations;
};

// Opens the devices, loads and activates. On an error nothing stays behind.
Result<std::shared_ptr<Resources>> acquire_resources(std::shared_ptr<const Qpc> qpc,
                                                     const SessionOptions& options);

}  // namespace qaickit
