#pragma once

#include "QAicApi.h"

// Devices that a process has taken for itself, by locks on files that all processes of this machine
// see: a convention among those who keep it, which stops nobody else.
namespace qaickit::qaic {

// QS_SUCCESS also when this process has it already. QS_BUSY: another has it, and `block` is false.
// QS_PERM, QS_ERROR: the file cannot be made.
QStatus lock_device(QID id, bool block);
// QS_INVAL: this process has not got it.
QStatus unlock_device(QID id);

}  // namespace qaickit::qaic
