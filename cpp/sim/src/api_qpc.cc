// The exported functions for contexts and QPCs.

#include "base/cat.h"
#include "container/qpc_view.h"
#include "handles.h"
#include "machine.h"
#include "qpc_state.h"
#include "report.h"
#include "resets.h"

namespace {

using qaickit::cat;
using qaicsim::Card;
using qaicsim::destroy;
using qaicsim::guard;
using qaicsim::hand_out;
using qaicsim::is;
using qaicsim::is_live;
using qaicsim::Machine;

QStatus open_qpc(QAicQpcObj** out, qaickit::Result<std::shared_ptr<const qaickit::Qpc>> opened) {
  *out = nullptr;
  std::unique_ptr<QAicQpcObj> object;
  const QStatus status = qaicsim::make_qpc(std::move(opened), &object);
  return status == QS_SUCCESS ? hand_out(std::move(object), out) : status;
}

}  // namespace

extern "C" {

// --- Contexts ---

QStatus qaicCreateContext(QAicContext** context, const QAicContextProperties_t*,
                          uint32_t numDevices, const QID* devices, QAicLogCallback log,
                          void* logUser, QAicErrorHandler error, void* errorUser) {
  if (!context || numDevices == 0 || !devices) return QS_INVAL;
  return guard([&] {
    *context = nullptr;
    static std::atomic<uint32_t> next_id{1};
    auto object = std::make_unique<QAicContext>();
    object->id = next_id.fetch_add(1, std::memory_order_relaxed);
    object->devices.assign(devices, devices + numDevices);
    object->log = log;
    object->log_user = logUser;
    object->error = error;
    object->error_user = errorUser;
    for (const QID id : object->devices) {
      Card* const card = Machine::get().card(id);
      if (card && qaicsim::revive_card(*card)) continue;
      qaicsim::report(object.get(), QAIC_ERROR_CONTEXT_CREATION,
                      cat("simulated device ", id, card ? " is dead" : " does not exist"));
      return card ? QS_DEV_ERROR : QS_NODEV;
    }
    return hand_out(std::move(object), context);
  });
}

QStatus qaicSetLogLevel(QAicContext* context, QLogLevel level) {
  if (!is(context) || level < QL_DEBUG || level > QL_ERROR) return QS_INVAL;
  context->log_level.store(level, std::memory_order_relaxed);
  return QS_SUCCESS;
}

QStatus qaicReleaseContext(QAicContext* context) {
  return guard([&] {
    if (!is_live(context)) return QS_INVAL;
    if (context->children.load(std::memory_order_acquire) > 0) return QS_BUSY;
    return destroy(context);
  });
}

// --- QPCs ---

QStatus qaicOpenQpc(QAicQpcObj** qpc, const uint8_t* buffer, size_t size, bool makeCopy) {
  if (!qpc || !buffer || size == 0) return QS_INVAL;
  return guard([&] {
    const auto* bytes = reinterpret_cast<const std::byte*>(buffer);
    constexpr const char* kLabel = "QPC in memory";
    return open_qpc(qpc, makeCopy ? qaickit::Qpc::from_bytes({bytes, bytes + size}, kLabel)
                                  : qaickit::view_qpc({bytes, size}, kLabel));
  });
}

QStatus qaicOpenQpcFile(QAicQpcObj** qpc, const char* path) {
  if (!qpc || !path) return QS_INVAL;
  return guard([&] { return open_qpc(qpc, qaickit::Qpc::open(path)); });
}

QStatus qaicCloseQpc(QAicQpcObj* qpc) {
  return guard([&] { return is_live(qpc) ? destroy(qpc) : QS_INVAL; });
}

QStatus qaicQpcGetInfo(const QAicQpcObj* qpc, const QAicQpcInfo_t** info) {
  if (!is(qpc) || !info) return QS_INVAL;
  *info = &qpc->info;
  return QS_SUCCESS;
}

}  // extern "C"
