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
    try {
      state_ = PyGILState_Ensure();
    } catch (...) {
      wait_for_the_end();
    }
  }
  ~GilAcquired() { PyGILState_Release(state_); }
  GilAcquired(const GilAcquired&) = delete;
  GilAcquired& operator=(const GilAcquired&) = delete;

 private:
  PyGILState_STATE state_{};
};

}  // namespace qaickit
