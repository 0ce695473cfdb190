#pragma once

#include <string>

#include "objects.h"

// The half of a QPC that computes a simulated card's runs, on the CPU.
namespace qaicsim {

// Makes what computes the exec object's runs, once its program is loaded.
QStatus attach_host(QAicExecObj& exec);
// Points it at the slots' memory.
QStatus bind_host(QAicExecObj& exec);
// One run, as QAICKIT_SIM_COMPUTE says. Null, or why it failed, which `detail` may hold.
const char* compute(QAicExecObj& exec, std::string* detail) noexcept;

}  // namespace qaicsim
