#pragma once

#include <memory>

#include "device/cuda/cuda_lane.h"
#include "qaickit/device.h"

namespace qaickit::cuda {

Result<std::unique_ptr<ExecObj>> create_exec_obj(std::shared_ptr<Lane> lane);

}  // namespace qaickit::cuda
