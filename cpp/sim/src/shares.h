#pragma once

#include "objects.h"

// Programs over several cards: the host half runs once, and every card of the mapping gives its
// NSPs and can fail the run.
namespace qaicsim {

// Loads and reserves NSPs on all the other cards, or on none. Does nothing where that is done.
QStatus activate_shares(QAicProgram& program);
void deactivate_shares(QAicProgram& program);
void unload_shares(QAicProgram& program);

// False: one of the other cards was reset, or is not active.
bool shares_active(const QAicProgram& program) noexcept;
// Whether that is one of its cards.
bool is_card_of(const QAicProgram& program, const Card* card) noexcept;
// That card is reset: runs of programs that it has a share of, and that other cards have lost,
// come back.
void flush_partners(const Card& card);

}  // namespace qaicsim
