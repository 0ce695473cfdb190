#pragma once

#include "objects.h"

namespace qaicsim {

// The caller's half of a run, as qaicEnqueueExecObj(): on success a thread of the queue completes
// it, exactly once. After an error neither the exec object nor the event (may be null) is in use.
QStatus enqueue(QAicQueue& queue, QAicExecObj& exec, QAicEvent* event) noexcept;

}  // namespace qaicsim
