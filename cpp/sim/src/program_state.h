#pragma once

#include "objects.h"

// Programs on cards and off them. Errors are also reported to the context's handler.
namespace qaicsim {

// Does nothing where that is done.
QStatus load(QAicProgram& program);
// QS_BUSY while active.
QStatus unload(QAicProgram& program);
// Loads first.
QStatus activate(QAicProgram& program);
// QS_BUSY while runs are in flight; those that the card has lost are given back, and waited for.
QStatus deactivate(QAicProgram& program);

}  // namespace qaicsim
