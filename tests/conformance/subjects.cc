#include <cstdlib>

#include "subject.h"

namespace qaickit::test {

// tests/cpp/device/qaic and tests/cpp/sim have the errors of that moment.
constexpr const char* kLooksLater = "the library opens a program's graph when it is activated";

const std::vector<Subject>& subjects() {
  setenv("QAIC_LIB", QAIC_SIM_LIBRARY, 1);
  static const auto* all = new std::vector<Subject>{
      {"cpu", "cpu", {}, true, {}},
      {"cuda", "cuda", {}, true, {}},  // where there is a GPU; cuda_subjects.cc has it without
      {"null", "null", {}, false, {}},
      {"null_async", "null", {{"async", "1"}, {"latency_us", "20"}}, false, {}},
      {"qaic_simulated",
       "qaic",
       {},
       true,
       {{"ScalarsAndEmptyTensorsRun", "the vendor's size rule skips zero dims: no empty tensors"},
        {"AQpcWithoutTheHalfItNeedsSaysSo", kLooksLater},
        {"AGraphThatContradictsTheDescriptorIsRefused", kLooksLater},
        {"GraphThatIsDamagedIsRefused", kLooksLater},
        {"WeightsThatDoNotFitAreRefused", kLooksLater},
        {"GraphThatIsNotWhatTheDescriptorSaysIsRefused", kLooksLater}}},
  };
  return *all;
}

}  // namespace qaickit::test
