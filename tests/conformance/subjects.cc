#include "subject.h"

namespace qaickit::test {

const std::vector<Subject>& subjects() {
  static const auto* all = new std::vector<Subject>{
      {"cpu", "cpu", {}, true, {}},
      {"null", "null", {}, false, {}},
      {"null_async", "null", {{"async", "1"}, {"latency_us", "20"}}, false, {}},
  };
  return *all;
}

}  // namespace qaickit::test
