// A host program against the vendor's C API, built from what is installed: one run on a simulated
// card that computes nothing. Prints what it found.

#include <QAicApi.h>
#include <qaicsim.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "qaickit/qpc.h"
#ifdef WITH_IO_DESC
#include <QAicApi.pb.h>
#endif

#define CHECK(call)                                                    \
  do {                                                                 \
    if (const int status = (call); status != QS_SUCCESS) {             \
      std::fprintf(stderr, "card_host: %s gives %d\n", #call, status); \
      return 1;                                                        \
    }                                                                  \
  } while (false)

int main() {
  setenv("QAICKIT_SIM_COMPUTE", "echo", 1);
  const std::byte no_graph{};
  qaickit::QpcContent content;
  content.program = {
      "echo", {{"x", qaickit::DType::kFloat32, {1, 4}}}, {{"y", qaickit::DType::kFloat32, {1, 4}}}};
  content.manifest.producer = "card_host";
  content.manifest.precision = "fp32";
  content.onnx_model = {&no_graph, 1};
  const auto file = qaickit::build_qpc(content);
  if (!file.ok()) return 1;

  uint16_t major = 0;
  uint16_t minor = 0;
  const char* patch = nullptr;
  const char* variant = nullptr;
  CHECK(qaicGetAicVersion(&major, &minor, &patch, &variant));
  const QID device = 0;
  QAicContext* context = nullptr;
  QAicQpcObj* qpc = nullptr;
  QAicProgram* program = nullptr;
  QAicQueue* queue = nullptr;
  QAicExecObj* exec = nullptr;
  CHECK(qaicCreateContext(&context, nullptr, 1, &device, nullptr, nullptr, nullptr, nullptr));
  CHECK(qaicOpenQpc(&qpc, reinterpret_cast<const uint8_t*>(file.value().data()),
                    file.value().size(), false));
  CHECK(qaicCreateProgram(context, &program, nullptr, device, "progName", qpc));
  CHECK(qaicRunActivationCmd(program, QAIC_PROGRAM_CMD_ACTIVATE_FULL));
  CHECK(qaicCreateQueue(context, &queue, nullptr, device));
#ifdef WITH_IO_DESC
  QData descriptor{};
  CHECK(qaicProgramGetIoDescriptor(program, &descriptor));
  aicapi::IoDesc io_desc;
  if (!io_desc.ParseFromArray(descriptor.data, static_cast<int>(descriptor.size))) return 1;
  for (const aicapi::IoSet& set : io_desc.io_sets()) std::printf("io set %s\n", set.name().c_str());
#endif
  CHECK(qaicCreateExecObj(context, &exec, nullptr, program, nullptr, nullptr, nullptr));
  float x[4] = {1, 2, 3, 4};
  float y[4] = {};
  const QBuffer buffers[2] = {{sizeof x, reinterpret_cast<uint8_t*>(x), 0, 0, QBUFFER_TYPE_HEAP},
                              {sizeof y, reinterpret_cast<uint8_t*>(y), 0, 0, QBUFFER_TYPE_HEAP}};
  CHECK(qaicExecObjSetData(exec, 2, buffers));
  CHECK(qaicEnqueueExecObj(queue, exec, nullptr));
  CHECK(qaicExecObjWaitForCompletion(exec, 60000000));
  CHECK(qaicReleaseExecObj(exec));
  CHECK(qaicReleaseQueue(queue));
  CHECK(qaicReleaseProgram(program));
  CHECK(qaicCloseQpc(qpc));
  CHECK(qaicReleaseContext(context));
  const bool right = std::memcmp(x, y, sizeof x) == 0;
  std::printf("library %d.%d %s: %s\n", major, minor, variant, right ? "right answers" : "WRONG");
  return right && qaicsimLiveObjects() == 0 ? 0 : 1;
}
