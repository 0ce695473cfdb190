#pragma once

#include <memory>
#include <string>

#include "container/byte_range.h"
#include "qaickit/qpc.h"

namespace qaickit {

// As Qpc::from_bytes, over memory that somebody else keeps, unchanged, as long as the Qpc lives.
Result<std::shared_ptr<const Qpc>> view_qpc(Bytes bytes, std::string label);

}  // namespace qaickit
