#pragma once

#include <functional>
#include <string_view>

#include "objects.h"

// Cards, the fault plan and the way of a run: enqueue, a queue's thread, completion.
namespace qaicsim {

// The cards and the plan; made at first use and never destroyed, since queue threads of a process
// that exits without releasing still use them.
class Machine {
 public:
  static Machine& get();

  const Config& config() const noexcept { return config_; }
  // Null: no such card, or not visible.
  Card* card(QID id) const noexcept;
  std::vector<QID> ids() const;
  bool set_faults(std::string_view spec);
  // Null: none.
  const FaultPlan* plan(const Card& card) const noexcept;
  // Only while nothing refers to a card.
  void reload();

 private:
  Machine();
  void make_cards();

  Config config_;
  std::vector<std::unique_ptr<Card>> cards_;
  std::atomic<const FaultPlan*> plan_{nullptr};
  std::mutex mutex_;
  std::vector<std::unique_ptr<const FaultPlan>> plans_;  // old ones too: threads may read them
};

void log(QAicContext* context, QLogLevel level, std::string_view text);
// To the error handler and, as an error, to the log.
void report(QAicContext* context, QAicErrorType type, std::string_view text);

// Everything on the card is lost; runs in flight complete with QS_DEV_ERROR. From a dead card only
// reset_card() leads back.
void fail_card(Card& card, bool dies, std::string_view why);
void reset_card(Card& card);
// Ready again after a reset; false for a dead one.
bool revive_card(Card& card);

QStatus load(QAicProgram& program);
QStatus unload(QAicProgram& program);
QStatus activate(QAicProgram& program);
QStatus deactivate(QAicProgram& program);

// Makes what computes the exec object's runs, once its program is loaded.
QStatus attach_host(QAicExecObj& exec);
// Points it at the slots' memory.
QStatus bind_host(QAicExecObj& exec);

QStatus enqueue(QAicQueue& queue, QAicExecObj& exec, QAicEvent* event) noexcept;
void start_threads(QAicQueue& queue, uint32_t count);
// Completes what the card lost of this queue, works the rest off and ends the threads.
void stop_threads(QAicQueue& queue);
// Gives lost runs of the card back, as failed, to their queues; returns how many.
size_t flush_lost(Card& card, const std::function<bool(const QAicExecObj&)>& which);

// True on a thread of that queue (null: of any).
bool on_thread_of(const QAicQueue* queue) noexcept;
// True inside a callback of that exec object or event.
bool inside_run_of(const void* object) noexcept;

}  // namespace qaicsim
