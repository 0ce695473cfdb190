#include "queues.h"

#include <algorithm>

#include "handles.h"
#include "queue_threads.h"

namespace qaicsim {

QStatus make_queue(QAicContext* context, Card* card, uint32_t threads, QAicQueue** out) {
  auto queue = std::make_unique<QAicQueue>();
  queue->context = context;
  queue->card = card;
  start_threads(*queue, threads);
  context->children.fetch_add(1, std::memory_order_relaxed);
  return hand_out(std::move(queue), out);
}

QStatus destroy_queue(QAicQueue* queue) {
  if (on_thread_of(queue)) return QS_BUSY;
  QAicContext* const context = queue->context;
  stop_threads(*queue);
  const QStatus status = destroy(queue);
  context->children.fetch_sub(1, std::memory_order_relaxed);
  return status;
}

bool has_device(const QAicContext& context, QID id) {
  return std::ranges::find(context.devices, id) != context.devices.end();
}

}  // namespace qaicsim
