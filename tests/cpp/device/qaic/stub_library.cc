// A libQAic.so of which there is next to nothing but its version.
#include <cstdint>

extern "C" __attribute__((visibility("default"))) int qaicGetAicVersion(uint16_t* major,
                                                                        uint16_t* minor,
                                                                        const char** patch,
                                                                        const char** variant) {
  *major = STUB_MAJOR;
  *minor = 6;
  *patch = "71";
  *variant = "stub";
  return 0;
}
