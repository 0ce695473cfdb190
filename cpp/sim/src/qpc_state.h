#pragma once

#include <memory>

#include "objects.h"

namespace qaicsim {

// What the API tells of a QPC. QS_ERROR, with the reason in the log: not one that can be used.
QStatus make_qpc(qaickit::Result<std::shared_ptr<const qaickit::Qpc>> opened,
                 std::unique_ptr<QAicQpcObj>* out);

}  // namespace qaicsim
