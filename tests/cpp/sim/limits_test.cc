#include <cstdlib>
#include <span>

#include "QAicApi.pb.h"
#include "container/network_desc.pb.h"
#include "sim/rig.h"

namespace qaickit::test {
namespace {

using Limits = SimTest;

TEST_F(Limits, NullsAreInvalid) {
  EXPECT_EQ(qaicGetAicVersion(nullptr, nullptr, nullptr, nullptr), QS_INVAL);
  EXPECT_EQ(qaicGetDeviceIds(nullptr, nullptr), QS_INVAL);
  EXPECT_EQ(qaicGetDeviceInfo(0, nullptr), QS_INVAL);
  EXPECT_EQ(qaicGetResourceInfo(0, nullptr), QS_INVAL);
  EXPECT_EQ(qaicGetPerformanceInfo(0, nullptr), QS_INVAL);
  const QID device = 0;
  QAicContext* context = nullptr;
  EXPECT_EQ(qaicCreateContext(nullptr, nullptr, 1, &device, nullptr, nullptr, nullptr, nullptr),
            QS_INVAL);
  EXPECT_EQ(qaicCreateContext(&context, nullptr, 0, &device, nullptr, nullptr, nullptr, nullptr),
            QS_INVAL);
  EXPECT_EQ(qaicCreateContext(&context, nullptr, 1, nullptr, nullptr, nullptr, nullptr, nullptr),
            QS_INVAL);
  EXPECT_EQ(qaicSetLogLevel(nullptr, QL_INFO), QS_INVAL);
  EXPECT_EQ(qaicReleaseContext(nullptr), QS_INVAL);
  EXPECT_EQ(qaicOpenQpc(nullptr, nullptr, 0, false), QS_INVAL);
  EXPECT_EQ(qaicOpenQpcFile(nullptr, nullptr), QS_INVAL);
  EXPECT_EQ(qaicCloseQpc(nullptr), QS_INVAL);
  EXPECT_EQ(qaicQpcGetInfo(nullptr, nullptr), QS_INVAL);
  EXPECT_EQ(qaicProgramPropertiesInitDefault(nullptr), QS_INVAL);
  EXPECT_EQ(qaicCreateProgram(nullptr, nullptr, nullptr, 0, nullptr, nullptr), QS_INVAL);
  EXPECT_EQ(qaicLoadProgram(nullptr), QS_INVAL);
  EXPECT_EQ(qaicUnloadProgram(nullptr), QS_INVAL);
  EXPECT_EQ(qaicReleaseProgram(nullptr), QS_INVAL);
  EXPECT_EQ(qaicRunActivationCmd(nullptr, QAIC_PROGRAM_CMD_ACTIVATE_FULL), QS_INVAL);
  EXPECT_EQ(qaicProgramGetIoDescriptor(nullptr, nullptr), QS_INVAL);
  EXPECT_EQ(qaicProgramGetIoBufferInfo(nullptr, nullptr), QS_INVAL);
  EXPECT_EQ(qaicCreateQueue(nullptr, nullptr, nullptr, 0), QS_INVAL);
  EXPECT_EQ(qaicReleaseQueue(nullptr), QS_INVAL);
  EXPECT_EQ(qaicCreateExecObj(nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr),
            QS_INVAL);
  EXPECT_EQ(qaicReleaseExecObj(nullptr), QS_INVAL);
  EXPECT_EQ(qaicExecObjSetData(nullptr, 0, nullptr), QS_INVAL);
  EXPECT_EQ(qaicExecObjGetIoBuffers(nullptr, nullptr, nullptr), QS_INVAL);
  EXPECT_EQ(qaicExecObjWaitForCompletion(nullptr, 0), QS_INVAL);
  EXPECT_EQ(qaicCreateEvent(nullptr, nullptr, QAIC_EVENT_DEVICE_COMPLETE), QS_INVAL);
  EXPECT_EQ(qaicReleaseEvent(nullptr), QS_INVAL);
  EXPECT_EQ(qaicEventClear(nullptr), QS_INVAL);
  EXPECT_EQ(qaicWaitforEvent(nullptr), QS_INVAL);
  EXPECT_EQ(qaicEnqueueExecObj(nullptr, nullptr, nullptr), QS_INVAL);
  EXPECT_EQ(qaicReleaseProgramGroup(nullptr), QS_INVAL);
}

TEST_F(Limits, UnknownDevices) {
  QAicContext* context = nullptr;
  const QID device = 4;
  EXPECT_EQ(qaicCreateContext(&context, nullptr, 1, &device, nullptr, nullptr, nullptr, nullptr),
            QS_NODEV);
  Rig rig;
  QAicProgram* program = nullptr;
  EXPECT_EQ(qaicCreateProgram(rig.context, &program, nullptr, 1, nullptr, rig.qpc), QS_NODEV);
  QAicQueue* queue = nullptr;
  EXPECT_EQ(qaicCreateQueue(rig.context, &queue, nullptr, 1), QS_NODEV);
}

TEST_F(Limits, VisibleDevices) {
  const Environment visible("QAIC_VISIBLE_DEVICES", "1,2");
  configure({{"QAICKIT_SIM_DEVICES", "4"}, {"QAICKIT_SIM_NSPS", "16,14"}});
  QID ids[8] = {};
  uint32_t count = 8;
  ASSERT_EQ(qaicGetDeviceIds(&count, ids), QS_SUCCESS);
  ASSERT_EQ(count, 2u);
  EXPECT_EQ(ids[0], 1);
  QResourceInfo resources{};
  ASSERT_EQ(qaicGetResourceInfo(2, &resources), QS_SUCCESS);
  EXPECT_EQ(resources.nspTotal, 14);
  EXPECT_EQ(qaicGetResourceInfo(0, &resources), QS_NODEV);
}

TEST_F(Limits, DamagedQpcs) {
  std::vector<std::byte> bytes = qpc_bytes();
  QAicQpcObj* qpc = nullptr;
  const auto open = [&](size_t size) {
    return qaicOpenQpc(&qpc, reinterpret_cast<const uint8_t*>(bytes.data()), size, true);
  };
  EXPECT_EQ(open(bytes.size() - 1), QS_ERROR);
  EXPECT_EQ(open(3), QS_ERROR);
  bytes[0] ^= std::byte{1};
  EXPECT_EQ(open(bytes.size()), QS_ERROR);
  EXPECT_EQ(qpc, nullptr);
  EXPECT_EQ(qaicOpenQpcFile(&qpc, "/nowhere/programqpc.bin"), QS_ERROR);
}

TEST_F(Limits, NspsAreCounted) {
  Rig first(0, {.cores = 9});
  Rig second(0, {.cores = 8});
  EXPECT_EQ(qaicRunActivationCmd(first.program, QAIC_PROGRAM_CMD_ACTIVATE_FULL), QS_SUCCESS);
  EXPECT_EQ(qaicRunActivationCmd(first.program, QAIC_PROGRAM_CMD_ACTIVATE_FULL), QS_SUCCESS);
  EXPECT_EQ(qaicRunActivationCmd(second.program, QAIC_PROGRAM_CMD_ACTIVATE_FULL), QS_NOSPC);
  EXPECT_TRUE(second.told.has_error("needs 8 NSPs, free are 7 of 16"));
  QAicExecObj* exec = nullptr;
  EXPECT_EQ(
      qaicCreateExecObj(second.context, &exec, nullptr, second.program, nullptr, nullptr, nullptr),
      QS_NOSPC);
  EXPECT_EQ(qaicUnloadProgram(first.program), QS_BUSY);
  EXPECT_EQ(qaicRunActivationCmd(first.program, QAIC_PROGRAM_CMD_DEACTIVATE_FULL), QS_SUCCESS);
  EXPECT_EQ(qaicRunActivationCmd(first.program, QAIC_PROGRAM_CMD_DEACTIVATE_FULL), QS_INVAL);
  EXPECT_EQ(qaicRunActivationCmd(second.program, QAIC_PROGRAM_CMD_ACTIVATE_FULL), QS_SUCCESS);
  EXPECT_EQ(qaicRunActivationCmd(second.program, QAIC_PROGRAM_CMD_INVAL), QS_INVAL);
  EXPECT_EQ(qaicUnloadProgram(first.program), QS_SUCCESS);
  EXPECT_EQ(qaicUnloadProgram(first.program), QS_INVAL);
}

TEST_F(Limits, BuffersAreChecked) {
  Rig rig;
  Inference run(rig);
  QBuffer buffers[2] = {Inference::buffer_of(run.x), Inference::buffer_of(run.y)};
  EXPECT_EQ(qaicExecObjSetData(run.exec, 1, buffers), QS_INVAL);
  EXPECT_EQ(qaicExecObjSetData(run.exec, 3, buffers), QS_INVAL);
  buffers[1].size -= 1;
  EXPECT_EQ(qaicExecObjSetData(run.exec, 2, buffers), QS_INVAL);
  EXPECT_TRUE(rig.told.has_error("'y') has 23 bytes, expected 24"));
  buffers[1].size += 2;
  EXPECT_EQ(qaicExecObjSetData(run.exec, 2, buffers), QS_INVAL);
  buffers[1] = Inference::buffer_of(run.y);
  buffers[0].buf = nullptr;
  EXPECT_EQ(qaicExecObjSetData(run.exec, 2, buffers), QS_INVAL);
  buffers[0] = Inference::buffer_of(run.x);
  buffers[0].type = QBUFFER_TYPE_PMEM;
  EXPECT_EQ(qaicExecObjSetData(run.exec, 2, buffers), QS_INVAL);
  buffers[0].type = QBUFFER_TYPE_HEAP;
  EXPECT_EQ(qaicExecObjSetData(run.exec, 2, buffers), QS_SUCCESS);

  uint32_t dims[2] = {3, 2};
  const QBufferDimensions wrong[2] = {{2, 4, dims}, {2, 4, dims}};
  EXPECT_EQ(qaicExecObjSetDataExt(run.exec, 2, buffers, wrong), QS_INVAL);
  const QBufferDimensions null_dims[2] = {{2, 4, nullptr}, {2, 4, nullptr}};
  EXPECT_EQ(qaicExecObjSetDataExt(run.exec, 2, buffers, null_dims), QS_INVAL);
  uint32_t right[2] = {2, 3};
  uint32_t zero = 0;
  buffers[1].size = 0;
  const QBufferDimensions skipped[2] = {{2, 4, right}, {1, 4, &zero}};
  EXPECT_EQ(qaicExecObjSetDataExt(run.exec, 2, buffers, skipped), QS_SUCCESS);
  EXPECT_EQ(run.enqueue_and_wait(), QS_SUCCESS);
  uint32_t count = 0;
  QBuffer* own = nullptr;
  EXPECT_EQ(qaicExecObjGetIoBuffers(run.exec, &count, &own), QS_INVAL);
}

TEST_F(Limits, SetsOfOthersAreRefused) {
  Rig rig;
  QData descriptor{};
  ASSERT_EQ(qaicProgramGetIoDescriptor(rig.program, &descriptor), QS_SUCCESS);
  aicapi::IoDesc io_desc;
  ASSERT_TRUE(io_desc.ParseFromArray(descriptor.data, static_cast<int>(descriptor.size)));
  io_desc.mutable_selected_set()->set_name("quantize");
  std::string text = io_desc.SerializeAsString();
  QData given{text.size(), reinterpret_cast<uint8_t*>(text.data())};
  QAicExecObj* exec = nullptr;
  const auto create = [&] {
    return qaicCreateExecObj(rig.context, &exec, nullptr, rig.program, &given, nullptr, nullptr);
  };
  EXPECT_EQ(create(), QS_INVAL);
  uint8_t garbage[4] = {0xff, 0xff, 0xff, 0xff};
  given = {sizeof(garbage), garbage};
  EXPECT_EQ(create(), QS_INVAL);
  given = {4, nullptr};
  EXPECT_EQ(create(), QS_INVAL);
  const QAicExecObjProperties_t unknown = 0x1000;
  EXPECT_EQ(qaicCreateExecObj(rig.context, &exec, &unknown, rig.program, nullptr, nullptr, nullptr),
            QS_INVAL);
}

// float32 for the user, float16 for the card.
std::vector<std::byte> converting_qpc() {
  const std::vector<std::byte> plain = qpc_bytes();
  const auto qpc = value_of(Qpc::from_bytes(plain, "plain"));
  const auto segment = *qpc->find(kNetworkDescSegment);
  aicnwdesc::networkDescriptor network;
  EXPECT_TRUE(network.ParseFromArray(segment.data(), static_cast<int>(segment.size())));
  aicnwdesc::IOBinding* x = network.mutable_inputs(0);
  aicnwdesc::transform* copy = x->mutable_transformseq(0);
  copy->set_type(aicnwdesc::Float16Ty);
  *x->add_transformseq() = *copy;
  copy->set_kind(aicnwdesc::ConvertTransform);
  copy->clear_copy_dma_buffer();
  const std::string desc = network.SerializeAsString();
  QpcContent content;
  content.program = qpc->program();
  content.host_half = false;
  content.extra = {{kNetworkDescSegment, std::as_bytes(std::span(desc.data(), desc.size()))}};
  return value_of(build_qpc(content));
}

// What lies in the DMA buffers is the "dma" set's, whatever is selected.
TEST_F(Limits, ZeroCopyGoesWithWhatTheDmaBuffersHold) {
  const std::vector<std::byte> bytes = converting_qpc();
  Rig rig;
  QAicQpcObj* qpc = nullptr;
  QAicProgram* program = nullptr;
  ASSERT_EQ(qaicOpenQpc(&qpc, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), false),
            QS_SUCCESS);
  ASSERT_EQ(qaicCreateProgram(rig.context, &program, nullptr, 0, nullptr, qpc), QS_SUCCESS);
  QData descriptor{};
  ASSERT_EQ(qaicProgramGetIoDescriptor(program, &descriptor), QS_SUCCESS);
  aicapi::IoDesc io_desc;
  ASSERT_TRUE(io_desc.ParseFromArray(descriptor.data, static_cast<int>(descriptor.size)));
  ASSERT_EQ(io_desc.io_sets_size(), 3);  // default, convert, dma
  for (const bool zero_copy : {false, true}) {
    for (const aicapi::IoSet& set : io_desc.io_sets()) {
      *io_desc.mutable_selected_set() = set;
      std::string text = io_desc.SerializeAsString();
      const QData given{text.size(), reinterpret_cast<uint8_t*>(text.data())};
      QAicExecObjProperties_t properties = QAIC_EXECOBJ_PROPERTIES_DEFAULT;
      if (zero_copy) properties |= QAIC_EXECOBJ_PROPERTIES_ZERO_COPY_BUFFERS;
      QAicExecObj* exec = nullptr;
      const bool fits = !zero_copy || set.name() != "default";
      EXPECT_EQ(
          qaicCreateExecObj(rig.context, &exec, &properties, program, &given, nullptr, nullptr),
          fits ? QS_SUCCESS : QS_UNSUPPORTED)
          << set.name();
      if (!fits) {
        EXPECT_TRUE(rig.told.has_error("'default': not what the DMA buffers hold"));
        continue;
      }
      if (!zero_copy) {
        // The set's own sizes count.
        float x[kRow] = {};
        float y[kRow] = {};
        QBuffer buffers[2] = {Inference::buffer_of(x), Inference::buffer_of(y)};
        const bool is_default = set.name() == "default";
        EXPECT_EQ(qaicExecObjSetData(exec, 2, buffers), is_default ? QS_SUCCESS : QS_INVAL);
        buffers[0].size /= 2;
        EXPECT_EQ(qaicExecObjSetData(exec, 2, buffers), is_default ? QS_INVAL : QS_SUCCESS);
      }
      EXPECT_EQ(qaicReleaseExecObj(exec), QS_SUCCESS);
    }
  }
  EXPECT_EQ(qaicReleaseProgram(program), QS_SUCCESS);
  EXPECT_EQ(qaicCloseQpc(qpc), QS_SUCCESS);
}

// --- buffers of other sizes: allowed shapes, partial and skipped ones

struct Shaped {
  std::vector<int32_t> x;
  std::vector<int32_t> y;
};

// `x` may be partial; [2, 3] and these shapes are allowed.
std::vector<std::byte> shaped_qpc(const std::vector<Shaped>& shapes, bool partial) {
  const std::vector<std::byte> plain = qpc_bytes();
  const auto qpc = value_of(Qpc::from_bytes(plain, "plain"));
  const auto segment = *qpc->find(kNetworkDescSegment);
  aicnwdesc::networkDescriptor network;
  EXPECT_TRUE(network.ParseFromArray(segment.data(), static_cast<int>(segment.size())));
  network.mutable_inputs(0)->set_is_partial_allowed(partial);
  for (const Shaped& shape : shapes) {
    aicnwdesc::IOShapes* row = network.add_allowed_shapes();
    for (const std::vector<int32_t>& dims : {shape.x, shape.y}) {
      aicnwdesc::tensorShape* tensor = row->add_shapes();
      for (const int32_t dim : dims) tensor->add_dims(dim);
    }
  }
  const std::string desc = network.SerializeAsString();
  const std::string graph = doubling_graph({2, 3});
  QpcContent content;
  content.program = qpc->program();
  content.manifest = *qpc->manifest();
  content.onnx_model = std::as_bytes(std::span(graph.data(), graph.size()));
  content.extra = {{kNetworkDescSegment, std::as_bytes(std::span(desc.data(), desc.size()))}};
  return value_of(build_qpc(content));
}

// A program of `bytes` beside the rig's, with an exec object.
struct Other {
  Other(Rig& rig, std::vector<std::byte> content) : rig(rig), bytes(std::move(content)) {
    const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
    EXPECT_EQ(qaicOpenQpc(&qpc, data, bytes.size(), false), QS_SUCCESS);
    EXPECT_EQ(qaicCreateProgram(rig.context, &program, nullptr, 0, nullptr, qpc), QS_SUCCESS);
    EXPECT_EQ(qaicCreateExecObj(rig.context, &exec, nullptr, program, nullptr, nullptr, nullptr),
              QS_SUCCESS);
  }
  Other(const Other&) = delete;
  ~Other() {
    EXPECT_EQ(qaicReleaseExecObj(exec), QS_SUCCESS);
    EXPECT_EQ(qaicReleaseProgram(program), QS_SUCCESS);
    EXPECT_EQ(qaicCloseQpc(qpc), QS_SUCCESS);
  }
  // With the bytes that are given, or that the dims make.
  QStatus set(std::vector<uint32_t> x_dims, std::vector<uint32_t> y_dims, size_t x_bytes,
              size_t y_bytes) {
    QBuffer buffers[2] = {Inference::buffer_of(x), Inference::buffer_of(y)};
    buffers[0].size = x_bytes;
    buffers[1].size = y_bytes;
    const QBufferDimensions dims[2] = {{static_cast<uint32_t>(x_dims.size()), 4, x_dims.data()},
                                       {static_cast<uint32_t>(y_dims.size()), 4, y_dims.data()}};
    return qaicExecObjSetDataExt(exec, 2, buffers, dims);
  }
  QStatus run() {
    const QStatus status = qaicEnqueueExecObj(rig.queue, exec, nullptr);
    return status == QS_SUCCESS ? qaicExecObjWaitForCompletion(exec, 60000000) : status;
  }

  Rig& rig;
  std::vector<std::byte> bytes;
  QAicQpcObj* qpc = nullptr;
  QAicProgram* program = nullptr;
  QAicExecObj* exec = nullptr;
  float x[kRow] = {1, 2, 3, 4, 5, 6};
  float y[kRow] = {};
};

TEST_F(Limits, DimsPickAnAllowedShape) {
  Rig rig;
  Other other(rig, shaped_qpc({{{1, 3}, {1, 3}}, {{2, 3}, {2, 3}}}, false));
  EXPECT_EQ(other.set({2, 3}, {2, 3}, 24, 24), QS_SUCCESS);
  EXPECT_EQ(other.run(), QS_SUCCESS);
  EXPECT_EQ(other.y[5], 6);
  other.y[5] = 0;
  EXPECT_EQ(other.set({1, 3}, {1, 3}, 12, 12), QS_SUCCESS);
  EXPECT_EQ(other.run(), QS_SUCCESS);
  EXPECT_EQ(other.y[2], 3);
  EXPECT_EQ(other.y[5], 0) << "beyond the shape";
  // Sizes go with the dims, and the dims of a row of the table go together.
  EXPECT_EQ(other.set({1, 3}, {1, 3}, 24, 12), QS_INVAL);
  EXPECT_EQ(other.set({1, 3}, {2, 3}, 12, 24), QS_INVAL);
  EXPECT_TRUE(rig.told.has_error("no allowed shape"));
  EXPECT_EQ(other.set({3, 1}, {3, 1}, 12, 12), QS_INVAL);
  // A skipped one goes with any.
  EXPECT_EQ(other.set({1, 3}, {0}, 12, 0), QS_SUCCESS);
  EXPECT_EQ(other.run(), QS_SUCCESS);
}

TEST_F(Limits, PartialInputsAreFilledUpWithZeros) {
  if (!std::getenv("QAICKIT_ONNXRUNTIME_LIB")) GTEST_SKIP() << "no ONNX Runtime";
  configure({{"QAICKIT_SIM_COMPUTE", "1"}});
  Rig rig;
  {
    Other other(rig, shaped_qpc({}, true));
    QBuffer buffers[2] = {Inference::buffer_of(other.x), Inference::buffer_of(other.y)};
    buffers[0].size = 8;
    ASSERT_EQ(qaicExecObjSetData(other.exec, 2, buffers), QS_SUCCESS);
    ASSERT_EQ(other.run(), QS_SUCCESS);
    EXPECT_EQ(other.y[1], 4);
    EXPECT_EQ(other.y[2], 0);
    buffers[0].size = 25;
    EXPECT_EQ(qaicExecObjSetData(other.exec, 2, buffers), QS_INVAL);
    buffers[0].size = 24;
    buffers[1].size = 8;  // outputs are whole
    EXPECT_EQ(qaicExecObjSetData(other.exec, 2, buffers), QS_INVAL);
  }
  Other whole(rig, shaped_qpc({}, false));
  QBuffer buffers[2] = {Inference::buffer_of(whole.x), Inference::buffer_of(whole.y)};
  buffers[0].size = 8;
  EXPECT_EQ(qaicExecObjSetData(whole.exec, 2, buffers), QS_INVAL);
}

TEST_F(Limits, ManualActivationIsTheCallersBusiness) {
  Rig rig;
  const QAicExecObjProperties_t manual = 0;
  QAicExecObj* exec = nullptr;
  ASSERT_EQ(qaicCreateExecObj(rig.context, &exec, &manual, rig.program, nullptr, nullptr, nullptr),
            QS_SUCCESS);
  EXPECT_EQ(qaicEnqueueExecObj(rig.queue, exec, nullptr), QS_INVAL);  // no data
  float x[kRow] = {};
  float y[kRow] = {};
  const QBuffer buffers[2] = {Inference::buffer_of(x), Inference::buffer_of(y)};
  ASSERT_EQ(qaicExecObjSetData(exec, 2, buffers), QS_SUCCESS);
  EXPECT_EQ(qaicEnqueueExecObj(rig.queue, exec, nullptr), QS_INVAL);  // not active
  EXPECT_EQ(qaicExecObjWaitForCompletion(exec, 0), QS_INVAL);         // never enqueued
  ASSERT_EQ(qaicRunActivationCmd(rig.program, QAIC_PROGRAM_CMD_ACTIVATE_FULL), QS_SUCCESS);
  EXPECT_EQ(qaicEnqueueExecObj(rig.queue, exec, nullptr), QS_SUCCESS);
  EXPECT_EQ(qaicExecObjWaitForCompletion(exec, 60000000), QS_SUCCESS);
  EXPECT_EQ(qaicReleaseExecObj(exec), QS_SUCCESS);
}

TEST_F(Limits, AutoActivationComesWithAnEnqueueToo) {
  Rig rig;
  Inference run(rig);
  ASSERT_EQ(qaicRunActivationCmd(rig.program, QAIC_PROGRAM_CMD_DEACTIVATE_FULL), QS_SUCCESS);
  ASSERT_EQ(qaicUnloadProgram(rig.program), QS_SUCCESS);
  EXPECT_EQ(run.enqueue_and_wait(), QS_SUCCESS);
}

TEST_F(Limits, InFlightIsBusy) {
  configure({{"QAICKIT_SIM_LATENCY_US", "1"}});
  Rig rig;
  Inference run(rig);
  Inference other(rig);
  ASSERT_EQ(qaicsimSetFaults(kAMinute), QS_SUCCESS);
  ASSERT_EQ(run.enqueue(), QS_SUCCESS);
  EXPECT_EQ(run.enqueue(), QS_BUSY);
  EXPECT_EQ(qaicEnqueueExecObj(rig.queue, other.exec, run.event), QS_BUSY);
  EXPECT_EQ(qaicReleaseExecObj(run.exec), QS_BUSY);
  EXPECT_EQ(qaicReleaseEvent(run.event), QS_BUSY);
  EXPECT_EQ(qaicEventClear(run.event), QS_BUSY);
  const QBuffer buffers[2] = {Inference::buffer_of(run.x), Inference::buffer_of(run.y)};
  EXPECT_EQ(qaicExecObjSetData(run.exec, 2, buffers), QS_BUSY);
  EXPECT_EQ(qaicRunActivationCmd(rig.program, QAIC_PROGRAM_CMD_DEACTIVATE_FULL), QS_BUSY);
  EXPECT_EQ(qaicExecObjWaitForCompletion(run.exec, 100), QS_TIMEDOUT);
  ASSERT_EQ(qaicsimResetDevice(0), QS_SUCCESS);
  EXPECT_EQ(qaicWaitforEvent(run.event), QS_DEV_ERROR);
  ASSERT_EQ(qaicsimSetFaults(""), QS_SUCCESS);
  ASSERT_EQ(qaicRunActivationCmd(rig.program, QAIC_PROGRAM_CMD_ACTIVATE_FULL), QS_SUCCESS);
  EXPECT_EQ(run.enqueue_and_wait(), QS_SUCCESS);
  EXPECT_EQ(qaicEnqueueExecObj(rig.queue, other.exec, run.event), QS_SUCCESS);
  EXPECT_EQ(qaicWaitforEvent(run.event), QS_SUCCESS);
}

TEST_F(Limits, ParentsWithChildrenAreBusy) {
  Rig rig;
  EXPECT_EQ(qaicReleaseContext(rig.context), QS_BUSY);
  Inference run(rig);
  EXPECT_EQ(qaicReleaseProgram(rig.program), QS_BUSY);
}

TEST_F(Limits, ASecondReleaseIsNoticed) {
  Rig rig;
  QAicEvent* event = nullptr;
  ASSERT_EQ(qaicCreateEvent(rig.context, &event, QAIC_EVENT_DEVICE_COMPLETE), QS_SUCCESS);
  EXPECT_EQ(qaicReleaseEvent(event), QS_SUCCESS);
  EXPECT_EQ(qaicReleaseEvent(event), QS_INVAL);
  QAicQueue* queue = rig.queue;
  rig.queue = nullptr;
  EXPECT_EQ(qaicReleaseQueue(queue), QS_SUCCESS);
  EXPECT_EQ(qaicReleaseQueue(queue), QS_INVAL);
  EXPECT_EQ(qaicReleaseProgram(reinterpret_cast<QAicProgram*>(rig.context)), QS_INVAL);
}

TEST_F(Limits, CallbacksAreFew) {
  Rig rig;
  QAicEvent* event = nullptr;
  ASSERT_EQ(qaicCreateEvent(rig.context, &event, QAIC_EVENT_DEVICE_COMPLETE), QS_SUCCESS);
  const QAicEventCallback callback = [](QAicEvent*, QAicEventCompletionType, void*) {};
  for (int i = 0; i < 4; ++i) EXPECT_EQ(qaicEventAddCallback(event, callback, nullptr), QS_SUCCESS);
  EXPECT_EQ(qaicEventAddCallback(event, callback, nullptr), QS_NOSPC);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(qaicEventRemoveCallback(event, callback), QS_SUCCESS);
  EXPECT_EQ(qaicEventRemoveCallback(event, callback), QS_INVAL);
  EXPECT_EQ(qaicReleaseEvent(event), QS_SUCCESS);
  EXPECT_EQ(qaicCreateEvent(rig.context, &event, QAIC_EVENT_INVAL), QS_INVAL);
}

TEST_F(Limits, QueueThreads) {
  Rig rig;
  QAicQueue* queue = nullptr;
  QAicQueueProperties properties{QAIC_QUEUE_PROPERTIES_DEFAULT, 1000};
  EXPECT_EQ(qaicCreateQueue(rig.context, &queue, &properties, 0), QS_INVAL);
  properties = {QAIC_QUEUE_PROPERTIES_ENABLE_SINGLE_THREADED_QUEUES, 4};
  ASSERT_EQ(qaicCreateQueue(rig.context, &queue, &properties, 0), QS_SUCCESS);
  EXPECT_EQ(qaicReleaseQueue(queue), QS_SUCCESS);
}

// Releasing what is in use from inside a callback would wait for itself.
TEST_F(Limits, ReleaseInsideACallbackIsRefused) {
  Rig rig;
  Inference run(rig);
  struct User {
    Rig* rig;
    Inference* run;
    std::atomic<int> refused{0};
    std::atomic<bool> done{false};
  } user{&rig, &run};
  ASSERT_EQ(qaicEventAddCallback(
                run.event,
                [](QAicEvent* event, QAicEventCompletionType, void* raw) {
                  auto* user = static_cast<User*>(raw);
                  user->refused += qaicReleaseEvent(event) == QS_BUSY;
                  user->refused += qaicReleaseExecObj(user->run->exec) == QS_BUSY;
                  user->refused += qaicReleaseQueue(user->rig->queue) == QS_BUSY;
                  user->done = true;
                },
                &user),
            QS_SUCCESS);
  ASSERT_EQ(run.enqueue(), QS_SUCCESS);
  EXPECT_TRUE(soon([&] { return user.done.load(); }));
  EXPECT_EQ(user.refused, 3);
}

TEST_F(Limits, GroupsShareNsps) {
  Rig rig;
  const std::vector<std::byte> bytes = qpc_bytes({.cores = 10});
  QAicQpcObj* qpc = nullptr;
  ASSERT_EQ(qaicOpenQpc(&qpc, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), true),
            QS_SUCCESS);
  for (const bool oversubscribe : {false, true}) {
    QAicProgramGroupProperties_t properties;
    ASSERT_EQ(qaicProgramGroupPropertiesInitDefault(&properties), QS_SUCCESS);
    if (oversubscribe) {
      properties.enableOversubscription = QAIC_PROGRAM_GROUP_PROPERTIES_OVERSUBSCRIPTION_ENABLED;
    }
    QAicProgramGroup* group = nullptr;
    QAicQueue* queue = nullptr;
    ASSERT_EQ(qaicCreateProgramGroup(rig.context, &group, &queue, &properties, "group", 0),
              QS_SUCCESS);
    QAicProgram* programs[2] = {};
    for (QAicProgram*& program : programs) {
      ASSERT_EQ(qaicProgramGroupAddProgram(group, qpc, &program, nullptr), QS_SUCCESS);
      EXPECT_EQ(qaicReleaseProgram(program), QS_INVAL);
    }
    EXPECT_EQ(qaicProgramGroupEnable(group), oversubscribe ? QS_SUCCESS : QS_NOSPC);
    if (oversubscribe) {
      QAicExecObj* exec = nullptr;
      ASSERT_EQ(
          qaicCreateExecObj(rig.context, &exec, nullptr, programs[1], nullptr, nullptr, nullptr),
          QS_SUCCESS);
      float x[kRow] = {1, 2, 3};
      float y[kRow] = {};
      const QBuffer buffers[2] = {Inference::buffer_of(x), Inference::buffer_of(y)};
      ASSERT_EQ(qaicExecObjSetData(exec, 2, buffers), QS_SUCCESS);
      ASSERT_EQ(qaicEnqueueExecObj(queue, exec, nullptr), QS_SUCCESS);
      EXPECT_EQ(qaicExecObjWaitForCompletion(exec, 60000000), QS_SUCCESS);
      EXPECT_EQ(y[2], 3);
      EXPECT_EQ(qaicReleaseProgramGroup(group), QS_BUSY);
      EXPECT_EQ(qaicReleaseExecObj(exec), QS_SUCCESS);
      EXPECT_EQ(qaicProgramGroupDisable(group, false, 1000), QS_SUCCESS);
    }
    EXPECT_EQ(qaicReleaseQueue(queue), QS_INVAL);
    EXPECT_EQ(qaicReleaseProgramGroup(group), QS_SUCCESS);
  }
  EXPECT_EQ(qaicCloseQpc(qpc), QS_SUCCESS);
}

}  // namespace
}  // namespace qaickit::test
