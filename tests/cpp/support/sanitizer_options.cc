// Options of the sanitizers, so that a test binary started by hand runs as ctest runs it. The
// environment (TSAN_OPTIONS, ...) still wins.

// The sanitizer's library looks the functions up in the program.
#define EXPORTED __attribute__((visibility("default"), used))

extern "C" {

const char* __tsan_default_options();
EXPORTED const char* __tsan_default_options() {
  return "halt_on_error=1:second_deadlock_stack=1:atexit_sleep_ms=50:"
         "suppressions=" QAICKIT_SOURCE_DIR "/third_party/loadgen.tsan.supp";
}

const char* __ubsan_default_options();
EXPORTED const char* __ubsan_default_options() { return "print_stacktrace=1"; }
}
