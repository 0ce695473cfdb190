#pragma once

#include <functional>
#include <string_view>

#include "objects.h"

// What cards lose: everything at a reset or a failure, single runs where the fault plan says so.
namespace qaicsim {

// Everything on the card is lost; runs in flight complete with QS_DEV_ERROR. From a dead card only
// reset_card() leads back.
void fail_card(Card& card, bool dies, std::string_view why);
void reset_card(Card& card);
// Ready again after a reset; false for a dead one.
bool revive_card(Card& card);

// The device, or one of them, was reset since the enqueue.
bool is_lost(const QAicExecObj& exec) noexcept;
// Keeps a run from completing until flush_lost(). False: it completes after all, since its device
// or queue is going.
bool hold_back(Card& card, QAicExecObj* exec);
// Gives held-back runs of the card back, as failed, to their queues; returns how many.
size_t flush_lost(Card& card, const std::function<bool(const QAicExecObj&)>& which);

}  // namespace qaicsim
