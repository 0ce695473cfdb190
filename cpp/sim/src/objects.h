#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

// First of all, so that nothing declares the API before: what is declared here is exported.
#pragma GCC visibility push(default)
#include "QAicApi.h"
#include "qaicsim.h"
#pragma GCC visibility pop

#include "QAicApi.pb.h"
#include "base/aligned_array.h"
#include "config.h"
#include "container/io_desc.h"
#include "container/io_steps.h"
#include "faults.h"
#include "qaickit/device.h"
#include "qaickit/qpc.h"
#include "queue/event_count.h"
#include "queue/mpmc_ring.h"
#include "retained.h"
#include "transform.h"

// What the handles of the API point to. Parents outlive children: the API refuses to release a
// parent that has some.
namespace qaicsim {

using qaickit::kCacheLine;

// One simulated card.
struct Card {
  Card(QID id, uint32_t nsps) : id(id), nsp_total(nsps) {}

  const QID id;
  const uint32_t nsp_total;

  // Bumped by a reset. What was loaded or enqueued under an older epoch is gone.
  std::atomic<uint32_t> epoch{1};
  std::atomic<QDevStatus> status{QDS_READY};

  std::mutex mutex;  // of what follows
  bool dead = false;
  uint32_t nsp_used = 0;
  uint32_t loaded = 0;
  uint32_t active = 0;
  uint64_t loaded_bytes = 0;
  uint64_t rare_draws = 0;  // loads and activations, for faults
  std::vector<QAicExecObj*> lost;

  alignas(kCacheLine) std::atomic<uint64_t> draws{0};  // enqueues since the plan was set
  std::atomic<uint64_t> submits{0};                    // tries, while the plan lets some fail
  alignas(kCacheLine) std::atomic<uint64_t> enqueued{0};
  alignas(kCacheLine) std::atomic<uint64_t> completed{0};
  alignas(kCacheLine) std::atomic<uint64_t> refused{0};
  std::atomic<uint64_t> failed{0};
  std::atomic<uint64_t> lost_count{0};
  std::atomic<uint64_t> resets{0};
};

// A QPC as its programs share it.
struct QpcState {
  std::shared_ptr<const qaickit::Qpc> qpc;
  aicapi::IoDesc io_desc;
  std::vector<std::byte> io_desc_bytes;
  std::vector<qaickit::BufferMapping> mappings;
  std::vector<QAicBufferMappings> user_rows;  // point into `mappings`
  std::vector<QAicBufferMappings> dma_rows;

  std::mutex mutex;
  std::weak_ptr<qaickit::Program> host;  // so that weights are held once for all activations
};

// First member of everything behind a handle; a wrong or released handle is noticed by it.
template <uint32_t kOfKind>
struct Tagged {
  static constexpr uint32_t kKind = kOfKind;
  std::atomic<uint32_t> kind{kOfKind};
  Tagged() = default;
  Tagged(const Tagged&) = delete;
  ~Tagged() { kind.store(0, std::memory_order_relaxed); }
};

}  // namespace qaicsim

struct QAicContext : qaicsim::Tagged<0x51434f4e> {
  uint32_t id = 0;
  std::vector<QID> devices;
  QAicLogCallback log = nullptr;
  void* log_user = nullptr;
  QAicErrorHandler error = nullptr;
  void* error_user = nullptr;
  std::atomic<int> log_level{QL_WARN};
  std::atomic<uint32_t> children{0};
};

struct QAicQpcObj : qaicsim::Tagged<0x51515043> {
  std::shared_ptr<qaicsim::QpcState> state;
  QAicQpcProgramInfo program{};
  std::vector<QAicQpcConstantsInfo> constants;
  QAicQpcInfo_t info{};
};

namespace qaicsim {

// What a program that runs on several cards has on one of the others. Epochs as in QAicProgram.
struct Share {
  explicit Share(Card* card) : card(card) {}
  bool is_active() const noexcept {
    return active_epoch.load(std::memory_order_relaxed) ==
               card->epoch.load(std::memory_order_acquire) &&
           card->status.load(std::memory_order_relaxed) == QDS_READY;
  }

  Card* const card;
  uint32_t loaded_epoch = 0;  // under the card's mutex
  std::atomic<uint32_t> active_epoch{0};
};

}  // namespace qaicsim

struct QAicProgram : qaicsim::Tagged<0x5150524f> {
  QAicContext* context = nullptr;
  QAicProgramGroup* group = nullptr;
  qaicsim::Card* card = nullptr;                        // the first, on whose account its runs are
  std::vector<std::unique_ptr<qaicsim::Share>> shares;  // of the others, with devMapping
  std::atomic<uint32_t> share_changes{0};               // times that one was reserved
  std::shared_ptr<qaicsim::QpcState> qpc;
  std::string name;
  uint32_t cores = 1;
  uint64_t service_ns = 0;  // of the latency model
  // Of the properties; the last: none.
  uint32_t submit_retries = QAIC_PROGRAM_PROPERTIES_SUBMIT_NUM_RETRIES_DEFAULT;
  uint64_t submit_timeout_ns = 0;
  uint64_t run_timeout_ns = 0;
  QAicIoBufferInfo_t io_info{};

  // Both are an epoch of the card, or 0 for not. Written under the card's mutex.
  std::atomic<uint32_t> loaded_epoch{0};
  std::atomic<uint32_t> active_epoch{0};
  std::mutex host_mutex;
  std::shared_ptr<qaickit::Program> host;  // while loaded, where runs compute
  std::mutex retained_mutex;               // of a run of a program that keeps state: one at a time
  std::vector<qaicsim::Retained> retained;

  std::atomic<uint32_t> exec_objs{0};
  alignas(qaicsim::kCacheLine) std::atomic<uint32_t> in_flight{0};
  std::atomic<uint64_t> busy_until_ns{0};
};

struct QAicProgramGroup : qaicsim::Tagged<0x51475250> {
  QAicContext* context = nullptr;
  qaicsim::Card* card = nullptr;
  QAicQueue* queue = nullptr;
  bool oversubscribe = false;
  std::mutex mutex;
  std::vector<QAicProgram*> programs;
  uint32_t nsps = 0;  // reserved while enabled
  uint32_t epoch = 0;
};

struct QAicQueue : qaicsim::Tagged<0x51515545> {
  static constexpr size_t kPlaces = 4096;

  QAicContext* context = nullptr;
  QAicProgramGroup* group = nullptr;
  qaicsim::Card* card = nullptr;
  bool quick = false;  // runs neither compute nor take time
  uint64_t spin_ns = 0;
  qaickit::MpmcRing<QAicExecObj*> ring{kPlaces};
  qaickit::EventCount wake;
  alignas(qaicsim::kCacheLine) std::atomic<uint32_t> awake{0};
  std::atomic<bool> spinning{false};
  std::atomic<bool> closing{false};   // set under the card's mutex
  std::atomic<uint32_t> entering{0};  // enqueues between their check of `closing` and their end
  std::atomic<bool> closed{false};    // nothing comes any more
  // Lost runs that are given back. They have no place in the ring, which may be full.
  std::mutex returned_mutex;
  std::vector<QAicExecObj*> returned;
  std::atomic<bool> has_returned{false};
  std::vector<std::thread> threads;
};

struct QAicEvent : qaicsim::Tagged<0x51455654> {
  static constexpr size_t kMaxCallbacks = 4;
  enum State : uint32_t { kClear, kPending, kDone };
  struct Callback {
    QAicEventCallback function;
    void* user;
  };

  QAicContext* context = nullptr;
  std::atomic<uint32_t> state{kClear};
  std::atomic<uint32_t> users{0};  // runs that it is given to, until their thread has left it
  std::atomic<QStatus> status{QS_SUCCESS};
  qaickit::EventCount done;

  std::atomic_flag lock;  // of the callbacks
  Callback callbacks[kMaxCallbacks] = {};
  uint32_t num_callbacks = 0;
};

struct QAicExecObj : qaicsim::Tagged<0x51455845> {
  // kCompleting: over, but the event is not yet told.
  enum State : uint32_t { kIdle, kInFlight, kCompleting, kDone };

  QAicContext* context = nullptr;
  QAicProgram* program = nullptr;
  bool auto_activate = false;
  bool zero_copy = false;
  bool ready = false;  // has buffers
  int shape = -1;      // which of the allowed shapes they are; -1: the program's own dims
  aicapi::IoSet set;

  struct Slot {
    uint8_t* data = nullptr;  // null: skipped
    size_t size = 0;
    size_t full_size = 0;
    bool is_input = true;
  };
  std::vector<Slot> slots;
  std::vector<qaicsim::Transform> transforms;  // by binding; none where nothing computes
  // Slots that the host half does not use in place: their memory is short, or of another format.
  std::vector<size_t> copied;
  std::unique_ptr<qaickit::ExecObj> host;
  std::vector<qaickit::AlignedBuffer> dma;
  std::vector<QBuffer> dma_buffers;

  // Of the run in flight.
  QAicQueue* queue = nullptr;
  QAicEvent* event = nullptr;
  uint32_t epoch = 0;
  uint32_t share_changes = 0;
  qaicsim::Card* fault_card = nullptr;
  qaicsim::Fault fault = qaicsim::Fault::kNone;
  uint64_t finish_ns = 0;
  uint64_t limit_ns = 0;  // 0: may take as long as it does

  std::atomic<QStatus> status{QS_SUCCESS};
  std::atomic<uint32_t> state{kIdle};
  std::atomic<uint32_t> users{0};  // runs, until their thread has left it
  qaickit::EventCount done;
};
