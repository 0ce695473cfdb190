// The exported functions: checks of what callers give, objects' lives; the rest is engine.h.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <limits>
#include <new>
#include <unordered_set>

#include "base/cat.h"
#include "container/network_desc.h"
#include "engine.h"

namespace {

using qaickit::cat;
using qaicsim::Card;
using qaicsim::Compute;
using qaicsim::Machine;
using qaicsim::QpcState;

constexpr uint16_t kMajor = LRT_LIB_MAJOR_VERSION;
constexpr uint16_t kMinor = LRT_LIB_MINOR_VERSION;
constexpr const char* kPatch = "qaicsim-1";
constexpr const char* kVariant = "simulated";
constexpr uint64_t kDramKiB = 32u << 20;
constexpr uint32_t kMaxThreads = 64;
constexpr size_t kDmaAlignment = 4096;

// All handles given out, so that a second release is told from a first one.
class Live {
 public:
  void add(const void* object) {
    const std::lock_guard lock(mutex_);
    objects_.insert(object);
  }
  bool has(const void* object) {
    const std::lock_guard lock(mutex_);
    return objects_.contains(object);
  }
  bool remove(const void* object) {
    const std::lock_guard lock(mutex_);
    return objects_.erase(object) > 0;
  }
  uint64_t size() {
    const std::lock_guard lock(mutex_);
    return objects_.size();
  }

 private:
  std::mutex mutex_;
  std::unordered_set<const void*> objects_;
};

Live& live() {
  static Live* const live = new Live;
  return *live;
}

// Looks at the tag alone, which is the first member of every kind: it may be another one's.
template <class T>
bool is(const T* object) noexcept {
  const auto* tag = reinterpret_cast<const std::atomic<uint32_t>*>(object);
  return tag && tag->load(std::memory_order_relaxed) == T::kKind;
}

// For releases, where the object may be gone: asks before it looks.
template <class T>
bool is_live(const T* object) {
  return object && live().has(object) && is(object);
}

// No exception leaves the library.
template <class F>
QStatus guard(F&& body) noexcept {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return QS_NOMEM;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "qaicsim: %s\n", e.what());
    return QS_ERROR;
  }
}

template <class T>
QStatus hand_out(std::unique_ptr<T> object, T** out) {
  live().add(object.get());
  *out = object.release();
  return QS_SUCCESS;
}

template <class T>
QStatus destroy(T* object) {
  if (!live().remove(object)) return QS_INVAL;
  delete object;
  return QS_SUCCESS;
}

void wait_until_left(const std::atomic<uint32_t>& users) {
  // acquire: pairs with the release decrement by the last thread inside.
  while (users.load(std::memory_order_acquire) > 0) {
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
}

template <size_t N>
void copy_text(char (&to)[N], std::string_view text) {
  const size_t length = std::min(text.size(), N - 1);
  std::memcpy(to, text.data(), length);
  std::memset(to + length, 0, N - length);
}

bool has_device(const QAicContext& context, QID id) {
  return std::ranges::find(context.devices, id) != context.devices.end();
}

// --- Devices ---

QResourceInfo resources_of(Card& card) {
  const std::lock_guard lock(card.mutex);
  QResourceInfo info{};
  info.QResourceReservationID = RESOURCE_GROUP_ID_DEFAULT;
  info.dramTotal = kDramKiB;
  info.dramFree = kDramKiB - std::min(kDramKiB, (card.loaded_bytes + 1023) / 1024);
  info.vcTotal = 16;
  info.vcFree = static_cast<uint8_t>(16 - std::min(16u, card.active));
  info.nspTotal = static_cast<uint8_t>(card.nsp_total);
  info.nspFree = static_cast<uint8_t>(card.nsp_total - card.nsp_used);
  info.mcidTotal = info.mcidFree = 1023;
  info.semTotal = info.semFree = 32 * card.nsp_total;
  info.skuType = 2;
  return info;
}

QPerformanceInfo performance_of() {
  QPerformanceInfo info{};
  info.nspFrequencyHz = 1'400'000'000;
  info.ddrFrequencyHz = 2'131'000'000;
  info.compFrequencyHz = 900'000'000;
  info.memFrequencyHz = 900'000'000;
  info.sysFrequencyHz = 600'000'000;
  return info;
}

QDevInfo describe(Card& card) {
  QDevInfo info{};
  info.devStatus = card.status.load(std::memory_order_relaxed);
  info.qid = card.id;
  copy_text(info.name, cat("qaicsim", card.id, " (simulated)"));
  QPciInfo& pci = info.pciInfo;
  pci.bus = static_cast<uint8_t>(card.id);
  copy_text(pci.classname, "Processing accelerators");
  copy_text(pci.vendorname, "qaickit");
  copy_text(pci.devicename, "Cloud AI 100 (simulated)");
  pci.pciExtInfo = {4, 8, 4, 8, 0, 0};
  QHostApiInfoDevData& dev = info.devData;
  dev.formatVersion = 1;
  dev.fwVersionMajor = 1;
  copy_text(dev.fwQCImageVersionString, "qaicsim (simulated)");
  copy_text(dev.fwOEMImageVersionString, "qaicsim");
  copy_text(dev.fwImageVariantString, "AIC100");
  copy_text(dev.sblImageString, "qaicsim");
  dev.hwVersion = 0x02000000;
  copy_text(dev.serial, cat("SIM", card.id));
  dev.metaVerMaj = 9;
  dev.nncCommandProtocolMajor = 1;
  dev.resourceInfo = resources_of(card);
  dev.performanceInfo = performance_of();
  {
    const std::lock_guard lock(card.mutex);
    dev.numLoadedNWs = static_cast<uint8_t>(std::min(255u, card.loaded));
    dev.numActiveNWs = static_cast<uint8_t>(std::min(255u, card.active));
  }
  QHostApiInfoNspVersion& nsp = info.nspData.nspFwVersion;
  nsp.major = 1;
  copy_text(nsp.qc, "qaicsim (simulated)");
  copy_text(nsp.oem, "qaicsim");
  copy_text(nsp.variant, "AIC100");
  return info;
}

// --- QPCs ---

QStatus open_qpc(QAicQpcObj** out, qaickit::Result<std::shared_ptr<const qaickit::Qpc>> opened) {
  *out = nullptr;
  const auto refuse = [](const qaickit::Status& status) {
    qaicsim::log(nullptr, QL_ERROR, cat("not a QPC that can be opened: ", status.message()));
    return QS_ERROR;
  };
  if (!opened.ok()) return refuse(opened.status());
  auto state = std::make_shared<QpcState>();
  state->qpc = *opened;
  const std::span<const std::byte> network = *state->qpc->find(qaickit::kNetworkDescSegment);
  if (const auto status = qaickit::derive_io_desc(network, &state->io_desc); !status.ok()) {
    return refuse(status);
  }
  auto bytes = qaickit::encode_io_desc(network);
  if (!bytes.ok()) return refuse(bytes.status());
  state->io_desc_bytes = std::move(bytes).value();
  auto mappings = qaickit::derive_buffer_mappings(network);
  if (!mappings.ok()) return refuse(mappings.status());
  state->mappings = std::move(mappings).value();
  for (size_t i = 0; i < state->mappings.size(); ++i) {
    qaickit::BufferMapping& row = state->mappings[i];
    state->user_rows.push_back({row.name.data(), static_cast<uint32_t>(i),
                                row.is_input ? BUFFER_IO_TYPE_INPUT : BUFFER_IO_TYPE_OUTPUT,
                                row.size, row.is_partial_allowed,
                                static_cast<QAicBufferDataTypeEnum>(row.data_type)});
  }
  static char no_name[] = "noname";
  for (const aicapi::DmaBuf& buffer : state->io_desc.dma_buf()) {
    const bool is_input = buffer.dir() == aicapi::BUFFER_IO_TYPE_INPUT;
    state->dma_rows.push_back({no_name, buffer.index(),
                               is_input ? BUFFER_IO_TYPE_INPUT : BUFFER_IO_TYPE_OUTPUT,
                               buffer.size(), false, BUFFER_DATA_TYPE_INVAL});
  }

  auto object = std::make_unique<QAicQpcObj>();
  const qaickit::ProgramSpec& spec = state->qpc->program();
  copy_text(object->program.name, spec.name);
  object->program.numCores = spec.num_cores;
  object->program.ioBufferInfo = {static_cast<uint32_t>(state->user_rows.size()),
                                  state->user_rows.data()};
  object->program.ioBufferInfoDma = {static_cast<uint32_t>(state->dma_rows.size()),
                                     state->dma_rows.data()};
  object->program.batchSize = spec.batch_size;
  for (const std::string_view name : {qaickit::kConstantsSegment, qaickit::kConstantsDescSegment}) {
    const auto segment = state->qpc->find(name);
    if (!segment) continue;
    QAicQpcConstantsInfo info{};
    copy_text(info.name, name);
    info.constantsIndex = static_cast<uint32_t>(object->constants.size());
    info.size = static_cast<uint32_t>(
        std::min<size_t>(segment->size(), std::numeric_limits<uint32_t>::max()));
    object->constants.push_back(info);
  }
  object->info = {1, &object->program, static_cast<uint32_t>(object->constants.size()),
                  object->constants.data()};
  object->state = std::move(state);
  return hand_out(std::move(object), out);
}

// --- Programs ---

QStatus make_program(QAicContext* context, Card* card, const QAicProgramProperties_t* properties,
                     const char* name, QAicQpcObj* qpc, std::unique_ptr<QAicProgram>* out) {
  if (properties && properties->devMapping && std::strchr(properties->devMapping, ':')) {
    qaicsim::report(context, QAIC_ERROR_PROGRAM_CREATION,
                    "programs over several devices are not simulated");
    return QS_UNSUPPORTED;
  }
  auto program = std::make_unique<QAicProgram>();
  const qaickit::ProgramSpec& spec = qpc->state->qpc->program();
  program->context = context;
  program->card = card;
  program->qpc = qpc->state;
  program->name = name && *name ? name : spec.name;
  program->cores = std::max(1u, spec.num_cores);
  const auto& config = Machine::get().config();
  program->service_ns = config.latency_ns +
                        config.per_sample_ns * static_cast<uint64_t>(std::max(1, spec.batch_size));
  program->io_info = qpc->program.ioBufferInfo;
  *out = std::move(program);
  return QS_SUCCESS;
}

// --- Exec objects ---

const aicapi::IoSet* find_set(const aicapi::IoDesc& io_desc, std::string_view name) {
  for (const aicapi::IoSet& set : io_desc.io_sets()) {
    if (set.name() == name) return &set;
  }
  return nullptr;
}

// The host half takes the user's formats and nothing else.
bool same_format(const aicapi::IoSet& set, const aicapi::IoSet& of_user) {
  for (int i = 0; i < set.bindings_size(); ++i) {
    const aicapi::IoBinding& a = set.bindings(i);
    const aicapi::IoBinding& b = of_user.bindings(i);
    if (a.type() != b.type() || a.size() != b.size()) return false;
    if (!std::ranges::equal(a.dims(), b.dims())) return false;
  }
  return true;
}

QStatus pick_set(QAicExecObj& exec, const QData* io_descriptor) {
  const aicapi::IoDesc& own = exec.program->qpc->io_desc;
  exec.set = own.selected_set();
  if (!io_descriptor) return QS_SUCCESS;
  aicapi::IoDesc given;
  if (!io_descriptor->data || io_descriptor->size > std::numeric_limits<int>::max() ||
      !given.ParseFromArray(io_descriptor->data, static_cast<int>(io_descriptor->size))) {
    qaicsim::report(exec.context, QAIC_ERROR_EXECOBJ_CREATION, "the IoDesc cannot be parsed");
    return QS_INVAL;
  }
  const aicapi::IoSet* set = find_set(own, given.selected_set().name());
  if (!set || given.selected_set().bindings_size() != set->bindings_size()) {
    qaicsim::report(exec.context, QAIC_ERROR_EXECOBJ_CREATION,
                    cat("the IoDesc selects set '", given.selected_set().name(),
                        "', which the program does not have"));
    return QS_INVAL;
  }
  exec.set = *set;
  return QS_SUCCESS;
}

QStatus unsupported_format(const QAicExecObj& exec) {
  qaicsim::report(exec.context, QAIC_ERROR_EXECOBJ_CREATION,
                  cat("set '", exec.set.name(),
                      "' has other types or shapes than the user's "
                      "buffers; the simulator computes with the latter only"));
  return QS_UNSUPPORTED;
}

QStatus make_dma_buffers(QAicExecObj& exec) {
  const aicapi::IoDesc& own = exec.program->qpc->io_desc;
  const aicapi::IoSet* dma_set = find_set(own, "dma");
  if (!dma_set || own.dma_buf_size() == 0) {
    qaicsim::report(exec.context, QAIC_ERROR_EXECOBJ_CREATION,
                    "the program has no DMA buffers, which zero copy needs");
    return QS_UNSUPPORTED;
  }
  if (Machine::get().config().compute == Compute::kHostHalf &&
      !same_format(*dma_set, own.io_sets(0))) {
    return unsupported_format(exec);
  }
  for (const aicapi::DmaBuf& buffer : own.dma_buf()) {
    // Room to start at a page, as the kernel's buffers do.
    qaickit::AlignedBuffer& memory = exec.dma.emplace_back(buffer.size() + kDmaAlignment);
    void* start = memory.data();
    size_t room = memory.size();
    std::align(kDmaAlignment, buffer.size(), start, room);
    QBuffer row{};
    row.size = buffer.size();
    row.buf = static_cast<uint8_t*>(start);
    row.handle = reinterpret_cast<uintptr_t>(start);
    row.type = QBUFFER_TYPE_DMABUF;
    exec.dma_buffers.push_back(row);
  }
  for (int i = 0; i < dma_set->bindings_size(); ++i) {
    const aicapi::IoBinding& binding = dma_set->bindings(i);
    const bool is_input = binding.dir() == aicapi::BUFFER_IO_TYPE_INPUT;
    QAicExecObj::Slot slot{nullptr, 0, binding.size(), is_input};
    if (binding.dma_buf_info_size() > 0) {
      const aicapi::DmaBufInfo& place = binding.dma_buf_info(0);
      if (place.dma_buf_index() >= exec.dma_buffers.size() ||
          uint64_t{place.dma_offset()} + binding.size() >
              exec.dma_buffers[place.dma_buf_index()].size) {
        qaicsim::report(exec.context, QAIC_ERROR_EXECOBJ_CREATION,
                        cat("'", binding.name(), "' lies outside its DMA buffer"));
        return QS_INVAL;
      }
      slot.data = exec.dma_buffers[place.dma_buf_index()].buf + place.dma_offset();
      slot.size = binding.size();
    }
    exec.slots.push_back(slot);
  }
  exec.ready = true;
  return QS_SUCCESS;
}

bool dims_equal(const google::protobuf::RepeatedField<int32_t>& dims,
                const QBufferDimensions& given) {
  if (given.count != static_cast<uint32_t>(dims.size())) return false;
  for (uint32_t i = 0; i < given.count; ++i) {
    if (given.dims[i] != static_cast<uint32_t>(dims.Get(static_cast<int>(i)))) return false;
  }
  return true;
}

bool is_skipped(const QBuffer& buffer, const QBufferDimensions& dims) {
  return buffer.size == 0 && dims.count == 1 && dims.dims && dims.dims[0] == 0;
}

// Bytes that the dims given for a binding make; false: the dims are no shape.
bool bytes_of(const QBufferDimensions& dims, uint64_t* bytes) {
  *bytes = dims.sizeOfElem;
  for (uint32_t i = 0; i < dims.count; ++i) {
    if (__builtin_mul_overflow(*bytes, uint64_t{dims.dims[i]}, bytes)) return false;
  }
  return true;
}

constexpr int kFullShape = -1;

// Which of the program's allowed shapes the dims are, or kFullShape for the program's own.
std::optional<int> match_shape(const QAicExecObj& exec, const QBuffer* buffers,
                               const QBufferDimensions* dims) {
  const int n = exec.set.bindings_size();
  const auto all = [&](const auto& dims_of) {
    for (int i = 0; i < n; ++i) {
      if (!is_skipped(buffers[i], dims[i]) && !dims_equal(dims_of(i), dims[i])) return false;
    }
    return true;
  };
  if (all([&](int i) -> const auto& { return exec.set.bindings(i).dims(); })) return kFullShape;
  const auto& allowed = exec.program->qpc->io_desc.allowed_shapes();
  for (int set = 0; set < allowed.size(); ++set) {
    if (allowed.Get(set).shapes_size() != n) continue;
    if (all([&](int i) -> const auto& { return allowed.Get(set).shapes(i).dims(); })) return set;
  }
  return std::nullopt;
}

QStatus refuse_data(const QAicExecObj& exec, const std::string& why) {
  qaicsim::report(exec.context, QAIC_ERROR_EXECOBJ_RUNTIME, why);
  return QS_INVAL;
}

QStatus set_data(QAicExecObj& exec, uint32_t count, const QBuffer* buffers,
                 const QBufferDimensions* dims) {
  const uint32_t state = exec.state.load(std::memory_order_acquire);
  if (state == QAicExecObj::kInFlight || state == QAicExecObj::kCompleting) return QS_BUSY;
  if (exec.zero_copy) return QS_UNSUPPORTED;
  if (count != static_cast<uint32_t>(exec.set.bindings_size())) {
    return refuse_data(exec, cat(count, " buffers given, the program has ",
                                 exec.set.bindings_size(), " bindings"));
  }
  int shape = kFullShape;
  if (dims) {
    for (uint32_t i = 0; i < count; ++i) {
      if (dims[i].count > 0 && !dims[i].dims) return QS_INVAL;
    }
    const std::optional<int> match = match_shape(exec, buffers, dims);
    if (!match) return refuse_data(exec, "No matching dimension found: no allowed shape");
    shape = *match;
  }
  std::vector<QAicExecObj::Slot> slots;
  slots.reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    const aicapi::IoBinding& binding = exec.set.bindings(static_cast<int>(i));
    const QBuffer& buffer = buffers[i];
    uint64_t full = binding.size();
    const bool skipped = dims && is_skipped(buffer, dims[i]);
    if (shape != kFullShape && !skipped && !bytes_of(dims[i], &full)) return QS_INVAL;
    const bool fits = buffer.size == full ||
                      (buffer.size < full && buffer.size > 0 && binding.is_partial_buf_allowed());
    if (!skipped && !fits) {
      return refuse_data(exec, cat("buffer ", i, " ('", binding.name(), "') has ", buffer.size,
                                   " bytes, expected ", full));
    }
    if (buffer.type != QBUFFER_TYPE_HEAP) {
      return refuse_data(exec, cat("buffer ", i, " ('", binding.name(), "') is of type ",
                                   static_cast<uint32_t>(buffer.type),
                                   ", only heap buffers can "
                                   "be set"));
    }
    if (!skipped && !buffer.buf && full > 0) {
      return refuse_data(exec, cat("buffer ", i, " ('", binding.name(), "') is null"));
    }
    slots.push_back({skipped || !buffer.buf ? nullptr : buffer.buf + buffer.offset,
                     skipped ? 0 : buffer.size, full,
                     binding.dir() == aicapi::BUFFER_IO_TYPE_INPUT});
  }
  exec.slots = std::move(slots);
  exec.shape = shape;
  exec.ready = true;
  return qaicsim::bind_host(exec);
}

QStatus make_queue(QAicContext* context, Card* card, uint32_t threads, QAicQueue** out) {
  auto queue = std::make_unique<QAicQueue>();
  queue->context = context;
  queue->card = card;
  qaicsim::start_threads(*queue, threads);
  context->children.fetch_add(1, std::memory_order_relaxed);
  return hand_out(std::move(queue), out);
}

QStatus destroy_queue(QAicQueue* queue) {
  if (qaicsim::on_thread_of(queue)) return QS_BUSY;
  QAicContext* const context = queue->context;
  qaicsim::stop_threads(*queue);
  const QStatus status = destroy(queue);
  context->children.fetch_sub(1, std::memory_order_relaxed);
  return status;
}

QStatus destroy_program(QAicProgram* program) {
  if (program->exec_objs.load(std::memory_order_acquire) > 0) return QS_BUSY;
  if (const QStatus status = qaicsim::deactivate(*program); status == QS_BUSY) return status;
  (void)qaicsim::unload(*program);
  QAicContext* const context = program->context;
  const QStatus status = destroy(program);
  context->children.fetch_sub(1, std::memory_order_relaxed);
  return status;
}

// Gives back what a group has reserved; the group's mutex is held.
void release_nsps(QAicProgramGroup& group) {
  const std::lock_guard lock(group.card->mutex);
  if (group.epoch == group.card->epoch.load(std::memory_order_relaxed)) {
    group.card->nsp_used -= group.nsps;
  }
  group.nsps = 0;
  group.epoch = 0;
}

}  // namespace

extern "C" {

// --- Library and devices ---

QStatus qaicGetAicVersion(uint16_t* major, uint16_t* minor, const char** patch,
                          const char** variant) {
  if (!major || !minor || !patch || !variant) return QS_INVAL;
  *major = kMajor;
  *minor = kMinor;
  *patch = kPatch;
  *variant = kVariant;
  return QS_SUCCESS;
}

QStatus qaicGetDeviceIds(uint32_t* count, QID* ids) {
  if (!count) return QS_INVAL;
  return guard([&] {
    const std::vector<QID> all = Machine::get().ids();
    const uint32_t room = ids ? *count : 0;
    std::copy_n(all.begin(), std::min<size_t>(room, all.size()), ids);
    *count = static_cast<uint32_t>(all.size());
    return QS_SUCCESS;
  });
}

QStatus qaicGetDeviceInfo(QID device, QDevInfo* info) {
  if (!info) return QS_INVAL;
  return guard([&] {
    Card* const card = Machine::get().card(device);
    if (!card) return QS_NODEV;
    *info = describe(*card);
    return QS_SUCCESS;
  });
}

QStatus qaicGetResourceInfo(QID device, QResourceInfo* info) {
  if (!info) return QS_INVAL;
  return guard([&] {
    Card* const card = Machine::get().card(device);
    if (!card) return QS_NODEV;
    *info = resources_of(*card);
    return QS_SUCCESS;
  });
}

QStatus qaicGetPerformanceInfo(QID device, QPerformanceInfo* info) {
  if (!info) return QS_INVAL;
  return guard([&] {
    if (!Machine::get().card(device)) return QS_NODEV;
    *info = performance_of();
    return QS_SUCCESS;
  });
}

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

QStatus qaicOpenQpc(QAicQpcObj** qpc, const uint8_t* buffer, size_t size, bool) {
  if (!qpc || !buffer || size == 0) return QS_INVAL;
  return guard([&] {
    // Copied in any case: the host half may be loaded long after.
    const auto* bytes = reinterpret_cast<const std::byte*>(buffer);
    return open_qpc(qpc, qaickit::Qpc::from_bytes({bytes, bytes + size}, "QPC in memory"));
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

// --- Programs ---

QStatus qaicProgramPropertiesInitDefault(QAicProgramProperties_t* properties) {
  if (!properties) return QS_INVAL;
  *properties = {};
  properties->selectMask = QAIC_PROGRAM_PROPERTIES_SELECT_MASK_DEFAULT;
  properties->SubmitNumRetries = QAIC_PROGRAM_PROPERTIES_SUBMIT_NUM_RETRIES_DEFAULT;
  properties->SubmitRetryTimeoutMs = QAIC_PROGRAM_PROPERTIES_SUBMIT_TIMEOUT_MS_DEFAULT;
  return QS_SUCCESS;
}

QStatus qaicCreateProgram(QAicContext* context, QAicProgram** program,
                          QAicProgramProperties_t* properties, QID device, const char* name,
                          QAicQpcObj* qpc) {
  if (!is(context) || !program || !is(qpc)) return QS_INVAL;
  return guard([&] {
    *program = nullptr;
    if (!has_device(*context, device)) return QS_NODEV;
    std::unique_ptr<QAicProgram> object;
    const QStatus status =
        make_program(context, Machine::get().card(device), properties, name, qpc, &object);
    if (status != QS_SUCCESS) return status;
    context->children.fetch_add(1, std::memory_order_relaxed);
    return hand_out(std::move(object), program);
  });
}

QStatus qaicLoadProgram(QAicProgram* program) {
  if (!is(program)) return QS_INVAL;
  return guard([&] { return qaicsim::load(*program); });
}

QStatus qaicUnloadProgram(QAicProgram* program) {
  if (!is(program)) return QS_INVAL;
  return guard([&] { return qaicsim::unload(*program); });
}

QStatus qaicRunActivationCmd(QAicProgram* program, QAicProgramActivationCmd command) {
  if (!is(program) || program->group) return QS_INVAL;
  return guard([&] {
    switch (command) {
      case QAIC_PROGRAM_CMD_ACTIVATE_FULL: return qaicsim::activate(*program);
      case QAIC_PROGRAM_CMD_DEACTIVATE_FULL: return qaicsim::deactivate(*program);
      default: return QS_INVAL;
    }
  });
}

QStatus qaicReleaseProgram(QAicProgram* program) {
  return guard([&] {
    if (!is_live(program) || program->group) return QS_INVAL;
    return destroy_program(program);
  });
}

QStatus qaicProgramGetIoDescriptor(const QAicProgram* program, QData* descriptor) {
  if (!is(program) || !descriptor) return QS_INVAL;
  const std::vector<std::byte>& bytes = program->qpc->io_desc_bytes;
  descriptor->size = bytes.size();
  descriptor->data = reinterpret_cast<uint8_t*>(const_cast<std::byte*>(bytes.data()));
  return QS_SUCCESS;
}

QStatus qaicProgramGetIoBufferInfo(const QAicProgram* program, QAicIoBufferInfo_t** info) {
  if (!is(program) || !info) return QS_INVAL;
  *info = const_cast<QAicIoBufferInfo_t*>(&program->io_info);
  return QS_SUCCESS;
}

QStatus qaicReleaseConstants(QAicConstants*) { return QS_INVAL; }

// --- Queues ---

QStatus qaicCreateQueue(QAicContext* context, QAicQueue** queue,
                        const QAicQueueProperties* properties, QID device) {
  if (!is(context) || !queue) return QS_INVAL;
  uint32_t threads = QAIC_QUEUE_PROPERTIES_NUM_THREADS_PER_QUEUE_DEFAULT;
  if (properties) {
    if (properties->numThreadsPerQueue > kMaxThreads) return QS_INVAL;
    if (properties->numThreadsPerQueue > 0) threads = properties->numThreadsPerQueue;
    if (properties->properties == QAIC_QUEUE_PROPERTIES_ENABLE_SINGLE_THREADED_QUEUES) threads = 1;
  }
  return guard([&] {
    *queue = nullptr;
    if (!has_device(*context, device)) return QS_NODEV;
    return make_queue(context, Machine::get().card(device), threads, queue);
  });
}

QStatus qaicReleaseQueue(QAicQueue* queue) {
  return guard([&] {
    if (!is_live(queue) || queue->group) return QS_INVAL;
    return destroy_queue(queue);
  });
}

// --- Exec objects ---

QStatus qaicCreateExecObj(QAicContext* context, QAicExecObj** execObj,
                          const QAicExecObjProperties_t* properties, QAicProgram* program,
                          const QData* ioDescriptor, uint32_t* numBuffers, QBuffer** buffers) {
  if (!is(context) || !execObj || !is(program) || program->context != context) return QS_INVAL;
  const uint32_t mask = properties ? *properties : uint32_t{QAIC_EXECOBJ_PROPERTIES_DEFAULT};
  constexpr uint32_t kKnown =
      QAIC_EXECOBJ_PROPERTIES_AUTO_LOAD_ACTIVATE | QAIC_EXECOBJ_PROPERTIES_ZERO_COPY_BUFFERS;
  if ((mask & ~kKnown) != 0) return QS_INVAL;
  return guard([&] {
    *execObj = nullptr;
    if (numBuffers) *numBuffers = 0;
    if (buffers) *buffers = nullptr;
    auto exec = std::make_unique<QAicExecObj>();
    exec->context = context;
    exec->program = program;
    // A program of a group is the group's to activate.
    exec->auto_activate =
        (mask & QAIC_EXECOBJ_PROPERTIES_AUTO_LOAD_ACTIVATE) != 0 && !program->group;
    exec->zero_copy = (mask & QAIC_EXECOBJ_PROPERTIES_ZERO_COPY_BUFFERS) != 0;
    if (const QStatus status = pick_set(*exec, ioDescriptor); status != QS_SUCCESS) return status;
    if (exec->auto_activate) {
      if (const QStatus status = qaicsim::activate(*program); status != QS_SUCCESS) return status;
    }
    if (exec->zero_copy) {
      if (const QStatus status = make_dma_buffers(*exec); status != QS_SUCCESS) return status;
    } else if (Machine::get().config().compute == Compute::kHostHalf &&
               !same_format(exec->set, program->qpc->io_desc.io_sets(0))) {
      return unsupported_format(*exec);
    }
    if (const QStatus status = qaicsim::attach_host(*exec); status != QS_SUCCESS) return status;
    if (numBuffers) *numBuffers = static_cast<uint32_t>(exec->dma_buffers.size());
    if (buffers && exec->zero_copy) *buffers = exec->dma_buffers.data();
    program->exec_objs.fetch_add(1, std::memory_order_relaxed);
    context->children.fetch_add(1, std::memory_order_relaxed);
    return hand_out(std::move(exec), execObj);
  });
}

QStatus qaicReleaseExecObj(QAicExecObj* execObj) {
  return guard([&] {
    if (!is_live(execObj)) return QS_INVAL;
    if (execObj->state.load(std::memory_order_acquire) == QAicExecObj::kInFlight ||
        qaicsim::inside_run_of(execObj)) {
      return QS_BUSY;
    }
    wait_until_left(execObj->users);
    QAicProgram* const program = execObj->program;
    QAicContext* const context = execObj->context;
    const QStatus status = destroy(execObj);
    if (status != QS_SUCCESS) return status;
    program->exec_objs.fetch_sub(1, std::memory_order_release);
    context->children.fetch_sub(1, std::memory_order_release);
    return status;
  });
}

QStatus qaicExecObjSetData(QAicExecObj* execObj, uint32_t numBuffers, const QBuffer* buffers) {
  return qaicExecObjSetDataExt(execObj, numBuffers, buffers, nullptr);
}

QStatus qaicExecObjSetDataExt(QAicExecObj* execObj, uint32_t numBuffers, const QBuffer* buffers,
                              const QBufferDimensions* dimensions) {
  if (!is(execObj) || !buffers) return QS_INVAL;
  return guard([&] { return set_data(*execObj, numBuffers, buffers, dimensions); });
}

QStatus qaicExecObjGetIoBuffers(const QAicExecObj* execObj, uint32_t* numBuffers,
                                QBuffer** buffers) {
  if (!is(execObj) || !numBuffers || !buffers || !execObj->zero_copy) return QS_INVAL;
  *numBuffers = static_cast<uint32_t>(execObj->dma_buffers.size());
  *buffers = const_cast<QBuffer*>(execObj->dma_buffers.data());
  return QS_SUCCESS;
}

QStatus qaicExecObjWaitForCompletion(QAicExecObj* execObj, uint32_t timeoutUs) {
  if (!is(execObj)) return QS_INVAL;
  if (execObj->state.load(std::memory_order_acquire) == QAicExecObj::kIdle) return QS_INVAL;
  const auto is_done = [execObj] {
    // acquire: pairs with the release store on completion; the outputs are visible.
    return execObj->state.load(std::memory_order_acquire) == QAicExecObj::kDone;
  };
  if (!execObj->done.await(is_done, uint64_t{timeoutUs} * 1000)) return QS_TIMEDOUT;
  return execObj->status.load(std::memory_order_relaxed);
}

// --- Events ---

QStatus qaicCreateEvent(QAicContext* context, QAicEvent** event, QAicEventType type) {
  if (!is(context) || !event || type != QAIC_EVENT_DEVICE_COMPLETE) return QS_INVAL;
  return guard([&] {
    auto object = std::make_unique<QAicEvent>();
    object->context = context;
    context->children.fetch_add(1, std::memory_order_relaxed);
    return hand_out(std::move(object), event);
  });
}

QStatus qaicReleaseEvent(QAicEvent* event) {
  return guard([&] {
    if (!is_live(event)) return QS_INVAL;
    if (event->state.load(std::memory_order_acquire) == QAicEvent::kPending ||
        qaicsim::inside_run_of(event)) {
      return QS_BUSY;
    }
    wait_until_left(event->users);
    QAicContext* const context = event->context;
    const QStatus status = destroy(event);
    if (status == QS_SUCCESS) context->children.fetch_sub(1, std::memory_order_release);
    return status;
  });
}

QStatus qaicEventClear(QAicEvent* event) {
  if (!is(event)) return QS_INVAL;
  uint32_t state = event->state.load(std::memory_order_relaxed);
  do {
    if (state == QAicEvent::kPending) return QS_BUSY;
  } while (
      !event->state.compare_exchange_weak(state, QAicEvent::kClear, std::memory_order_acquire));
  return QS_SUCCESS;
}

QStatus qaicEventAddCallback(QAicEvent* event, QAicEventCallback callback, void* user) {
  if (!is(event) || !callback) return QS_INVAL;
  while (event->lock.test_and_set(std::memory_order_acquire)) std::this_thread::yield();
  QStatus status = QS_NOSPC;
  if (event->num_callbacks < QAicEvent::kMaxCallbacks) {
    event->callbacks[event->num_callbacks++] = {callback, user};
    status = QS_SUCCESS;
  }
  event->lock.clear(std::memory_order_release);
  return status;
}

QStatus qaicEventRemoveCallback(QAicEvent* event, QAicEventCallback callback) {
  if (!is(event) || !callback) return QS_INVAL;
  while (event->lock.test_and_set(std::memory_order_acquire)) std::this_thread::yield();
  QAicEvent::Callback* const end = event->callbacks + event->num_callbacks;
  QAicEvent::Callback* const found = std::find_if(
      event->callbacks, end, [callback](const auto& row) { return row.function == callback; });
  if (found != end) {
    std::copy(found + 1, end, found);
    --event->num_callbacks;
  }
  event->lock.clear(std::memory_order_release);
  return found != end ? QS_SUCCESS : QS_INVAL;
}

QStatus qaicWaitforEvent(QAicEvent* event) {
  if (!is(event)) return QS_INVAL;
  const auto is_done = [event] {
    // acquire: pairs with the release store on completion; the outputs are visible.
    return event->state.load(std::memory_order_acquire) == QAicEvent::kDone;
  };
  while (!event->done.await(is_done, 1'000'000'000)) {
  }
  return event->status.load(std::memory_order_relaxed);
}

QStatus qaicEnqueueExecObj(QAicQueue* queue, QAicExecObj* execObj, QAicEvent* event) {
  if (!is(queue) || !is(execObj) || (event && !is(event))) return QS_INVAL;
  if (queue->context != execObj->context || queue->card != execObj->program->card ||
      (event && event->context != execObj->context)) {
    return QS_INVAL;
  }
  return qaicsim::enqueue(*queue, *execObj, event);
}

// --- Program groups ---

QStatus qaicProgramGroupPropertiesInitDefault(QAicProgramGroupProperties_t* properties) {
  if (!properties) return QS_INVAL;
  *properties = {};
  return QS_SUCCESS;
}

QStatus qaicCreateProgramGroup(QAicContext* context, QAicProgramGroup** group, QAicQueue** queue,
                               QAicProgramGroupProperties_t* properties, const char*, QID device) {
  if (!is(context) || !group || !queue) return QS_INVAL;
  return guard([&] {
    *group = nullptr;
    *queue = nullptr;
    if (!has_device(*context, device)) return QS_NODEV;
    auto object = std::make_unique<QAicProgramGroup>();
    object->context = context;
    object->card = Machine::get().card(device);
    object->oversubscribe =
        properties && (properties->enableOversubscription &
                       QAIC_PROGRAM_GROUP_PROPERTIES_OVERSUBSCRIPTION_ENABLED) != 0;
    const QStatus status = make_queue(
        context, object->card, QAIC_QUEUE_PROPERTIES_NUM_THREADS_PER_QUEUE_DEFAULT, &object->queue);
    if (status != QS_SUCCESS) return status;
    object->queue->group = object.get();
    *queue = object->queue;
    context->children.fetch_add(1, std::memory_order_relaxed);
    return hand_out(std::move(object), group);
  });
}

QStatus qaicProgramGroupAddProgram(QAicProgramGroup* group, QAicQpcObj* qpc, QAicProgram** program,
                                   QAicProgramProperties_t* properties) {
  if (!is(group) || !is(qpc) || !program) return QS_INVAL;
  return guard([&] {
    *program = nullptr;
    const std::lock_guard lock(group->mutex);
    if (group->epoch != 0) return QS_BUSY;
    std::unique_ptr<QAicProgram> object;
    const QStatus status =
        make_program(group->context, group->card, properties, nullptr, qpc, &object);
    if (status != QS_SUCCESS) return status;
    object->group = group;
    group->programs.push_back(object.get());
    group->context->children.fetch_add(1, std::memory_order_relaxed);
    return hand_out(std::move(object), program);
  });
}

QStatus qaicProgramGroupEnable(QAicProgramGroup* group) {
  if (!is(group)) return QS_INVAL;
  return guard([&] {
    const std::lock_guard lock(group->mutex);
    Card& card = *group->card;
    uint32_t sum = 0;
    uint32_t most = 0;
    for (const QAicProgram* program : group->programs) {
      sum += program->cores;
      most = std::max(most, program->cores);
    }
    // Oversubscribed programs take turns on the same NSPs.
    const uint32_t nsps = group->oversubscribe ? most : sum;
    {
      const std::lock_guard card_lock(card.mutex);
      const uint32_t epoch = card.epoch.load(std::memory_order_relaxed);
      if (group->epoch == epoch) return QS_SUCCESS;
      if (card.status.load(std::memory_order_relaxed) != QDS_READY) return QS_DEV_ERROR;
      if (nsps > card.nsp_total - card.nsp_used) return QS_NOSPC;
      card.nsp_used += nsps;
      group->nsps = nsps;
      group->epoch = epoch;
    }
    for (QAicProgram* program : group->programs) {
      const QStatus status = qaicsim::activate(*program);
      if (status == QS_SUCCESS) continue;
      for (QAicProgram* active : group->programs) (void)qaicsim::deactivate(*active);
      release_nsps(*group);
      return status;
    }
    return QS_SUCCESS;
  });
}

QStatus qaicProgramGroupDisable(QAicProgramGroup* group, bool force, uint32_t timeoutUs) {
  if (!is(group)) return QS_INVAL;
  return guard([&] {
    const std::lock_guard lock(group->mutex);
    if (group->epoch == 0) return QS_INVAL;
    const auto end =
        std::chrono::steady_clock::now() + std::chrono::microseconds(force ? 0u : timeoutUs);
    for (QAicProgram* program : group->programs) {
      while (qaicsim::deactivate(*program) == QS_BUSY) {
        if (std::chrono::steady_clock::now() >= end) return force ? QS_BUSY : QS_TIMEDOUT;
        std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
    }
    release_nsps(*group);
    return QS_SUCCESS;
  });
}

QStatus qaicReleaseProgramGroup(QAicProgramGroup* group) {
  return guard([&] {
    if (!is_live(group)) return QS_INVAL;
    if (qaicsim::on_thread_of(group->queue)) return QS_BUSY;
    for (const QAicProgram* program : group->programs) {
      if (program->exec_objs.load(std::memory_order_acquire) > 0) return QS_BUSY;
    }
    QAicContext* const context = group->context;
    for (QAicProgram* program : group->programs) (void)destroy_program(program);
    release_nsps(*group);
    (void)destroy_queue(group->queue);
    const QStatus status = destroy(group);
    context->children.fetch_sub(1, std::memory_order_relaxed);
    return status;
  });
}

// --- Function table ---

const QAicApiFunctionTable* qaicGetFunctionTable(void) {
  static const QAicApiFunctionTable table = {
      sizeof(QAicApiFunctionTable),
      qaicGetAicVersion,
      qaicGetDeviceIds,
      qaicGetDeviceInfo,
      qaicGetResourceInfo,
      qaicGetPerformanceInfo,
      qaicCreateContext,
      qaicSetLogLevel,
      qaicReleaseContext,
      qaicOpenQpc,
      qaicOpenQpcFile,
      qaicCloseQpc,
      qaicQpcGetInfo,
      qaicProgramPropertiesInitDefault,
      qaicCreateProgram,
      qaicLoadProgram,
      qaicUnloadProgram,
      qaicRunActivationCmd,
      qaicReleaseProgram,
      qaicProgramGetIoDescriptor,
      qaicProgramGetIoBufferInfo,
      qaicReleaseConstants,
      qaicCreateQueue,
      qaicReleaseQueue,
      qaicCreateExecObj,
      qaicReleaseExecObj,
      qaicExecObjSetData,
      qaicExecObjSetDataExt,
      qaicExecObjGetIoBuffers,
      qaicExecObjWaitForCompletion,
      qaicCreateEvent,
      qaicReleaseEvent,
      qaicEventClear,
      qaicEventAddCallback,
      qaicEventRemoveCallback,
      qaicWaitforEvent,
      qaicEnqueueExecObj,
      qaicProgramGroupPropertiesInitDefault,
      qaicCreateProgramGroup,
      qaicProgramGroupAddProgram,
      qaicProgramGroupEnable,
      qaicProgramGroupDisable,
      qaicReleaseProgramGroup,
  };
  return &table;
}

// --- The simulator's own ---

QStatus qaicsimSetFaults(const char* spec) {
  return guard([&] { return Machine::get().set_faults(spec ? spec : "") ? QS_SUCCESS : QS_INVAL; });
}

QStatus qaicsimResetDevice(QID device) {
  return guard([&] {
    Card* const card = Machine::get().card(device);
    if (!card) return QS_NODEV;
    qaicsim::reset_card(*card);
    return QS_SUCCESS;
  });
}

QStatus qaicsimGetCounters(QID device, QAicSimCounters* counters) {
  if (!counters) return QS_INVAL;
  return guard([&] {
    Card* const card = Machine::get().card(device);
    if (!card) return QS_NODEV;
    *counters = {card->enqueued.load(std::memory_order_relaxed),
                 card->refused.load(std::memory_order_relaxed),
                 card->completed.load(std::memory_order_relaxed),
                 card->failed.load(std::memory_order_relaxed),
                 card->lost_count.load(std::memory_order_relaxed),
                 card->resets.load(std::memory_order_relaxed)};
    return QS_SUCCESS;
  });
}

uint64_t qaicsimLiveObjects(void) { return live().size(); }

QStatus qaicsimReload(void) {
  return guard([&] {
    if (live().size() > 0) return QS_BUSY;
    Machine::get().reload();
    return QS_SUCCESS;
  });
}

}  // extern "C"
