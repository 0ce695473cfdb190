#pragma once

#include "objects.h"

namespace qaicsim {

// With its threads running.
QStatus make_queue(QAicContext* context, Card* card, uint32_t threads, QAicQueue** out);
// QS_BUSY on a thread of its own; else waits for what is in it.
QStatus destroy_queue(QAicQueue* queue);
bool has_device(const QAicContext& context, QID id);

}  // namespace qaicsim
