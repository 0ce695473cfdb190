#pragma once

#include <pybind11/pybind11.h>
#include <unistd.h>

namespace qaickit {

// An interpreter that is shut down ends threads that ask for the GIL by unwinding their stacks,
// which destructors turn into the end of the process. They wait for that here instead, as those of
// Python 3.14 do by themselves.
[[noreturn]] inline void wait_for_the_end() noexcept {
  for (;;) ::pause();
}

inline bool is_finalizing() noexcept {
#if PY_VERSION_HEX >= 0x030D0000
  return Py_IsFinalizing() != 0;
#else
  return _Py_IsFinalizing() != 0;
#endif
}

// Without the GIL, in a thread that has it.
class GilReleased {
 public:
  GilReleased() noexcept : state_(PyEval_SaveThread()) {}
  ~GilReleased() {
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {
      wait_for_the_end();
    }
  }
  GilReleased(const GilReleased&) = delete;
  GilReleased& operator=(const GilReleased&) = delete;

 private:
  PyThreadState* const state_;
};

// With the GIL, in any thread.
class GilAcquired {
 public:
  GilAcquired() noexcept {
    // A thread that Python has not seen yet would be made known to an interpreter that is half
    // gone.
    if (is_finalizing() && !PyGILState_GetThisThreadState()) wait_for_the_end();
    try {
      state_ = PyGILState_Ensure();
    } catch (...) {
      wait_for_the_end();
    }
  }
  ~GilAcquired() {
    // Python ended this thread within a callback: its stack is being unwound, without the GIL.
    if (is_finalizing() && !PyGILState_Check()) wait_for_the_end();
    PyGILState_Release(state_);
  }
  GilAcquired(const GilAcquired&) = delete;
  GilAcquired& operator=(const GilAcquired&) = delete;

 private:
  PyGILState_STATE state_{};
};

}  // namespace qaickit
