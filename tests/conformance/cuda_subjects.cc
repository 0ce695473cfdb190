#include <cstdlib>

#include "subject.h"
#include "support/gpus.h"

namespace qaickit::test {

// Over the fakes of tests/fakes/cuda, whose kernels are the CPU's. Nobody waits there for what is
// slow, so copies and kernels take their time.
const std::vector<Subject>& subjects() {
  setenv("QAICKIT_FAKECUDA_COPY_US", "50", 0);
  setenv("QAICKIT_FAKECUDA_LATENCY_US", "50", 0);
  setenv("QAICKIT_FAKECUDA_JITTER_US", "100", 0);
  setenv("QAICKIT_FAKEORT_BROKEN", "", 0);
  (void)name_fake_gpus();  // without an ONNX Runtime the backend is not there, which skips
  static const auto* all = new std::vector<Subject>{
      {"cuda", "cuda", {}, true, {}},
      {"cuda_without_graphs", "cuda", {{"cuda_graph", "0"}}, true, {}},
      {"cuda_tensorrt", "cuda", {{"provider", "tensorrt"}}, true, {}},
  };
  return *all;
}

}  // namespace qaickit::test
