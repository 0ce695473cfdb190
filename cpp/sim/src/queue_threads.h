#pragma once

#include "objects.h"

// The device's half of a run: a queue's threads take what was enqueued, compute and complete it.
namespace qaicsim {

void start_threads(QAicQueue& queue, uint32_t count);
// Completes what the cards lost of this queue, works the rest off and ends the threads.
void stop_threads(QAicQueue& queue);
// After each push.
void wake(QAicQueue& queue) noexcept;

// True on a thread of that queue (null: of any).
bool on_thread_of(const QAicQueue* queue) noexcept;
// True inside a callback of that exec object or event.
bool inside_run_of(const void* object) noexcept;

}  // namespace qaicsim
