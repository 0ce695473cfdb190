// The exported functions for programs and groups of them.

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "base/cat.h"
#include "handles.h"
#include "machine.h"
#include "program_state.h"
#include "queue_threads.h"
#include "queues.h"
#include "report.h"

namespace {

using qaickit::cat;
using qaicsim::Card;
using qaicsim::destroy;
using qaicsim::guard;
using qaicsim::hand_out;
using qaicsim::has_device;
using qaicsim::is;
using qaicsim::is_live;
using qaicsim::Machine;

constexpr uint32_t kKernelTimeoutMs = 5000;  // where the properties say 0

// "0:1:2"; nothing when it is not of this form.
std::optional<std::vector<QID>> parse_mapping(std::string_view text) {
  std::vector<QID> ids;
  const char* at = text.data();
  const char* const end = at + text.size();
  for (;;) {
    QID id = -1;
    const auto [next, error] = std::from_chars(at, end, id);
    if (error != std::errc() || id < 0 || std::ranges::find(ids, id) != ids.end()) {
      return std::nullopt;
    }
    ids.push_back(id);
    if (next == end) return ids;
    if (*next != ':') return std::nullopt;
    at = next + 1;
  }
}

// The other cards of a program over several.
QStatus map_devices(QAicProgram& program, const char* mapping) {
  const auto refuse = [&](QStatus status, std::string_view why) {
    qaicsim::report(program.context, QAIC_ERROR_PROGRAM_CREATION,
                    cat("devMapping '", mapping, "': ", why));
    return status;
  };
  const auto ids = parse_mapping(mapping);
  if (!ids) return refuse(QS_INVAL, "expected device ids with colons between them, each once");
  if (std::ranges::find(*ids, program.card->id) == ids->end()) {
    return refuse(QS_INVAL, cat("the program's device ", program.card->id, " is not in it"));
  }
  if (program.group && ids->size() > 1) {
    return refuse(QS_UNSUPPORTED, "a group has one device");
  }
  for (const QID id : *ids) {
    if (!has_device(*program.context, id)) {
      return refuse(QS_NODEV, cat("the context has not got device ", id));
    }
    if (id == program.card->id) continue;
    program.shares.push_back(std::make_unique<qaicsim::Share>(Machine::get().card(id)));
  }
  return QS_SUCCESS;
}

QStatus make_program(QAicContext* context, Card* card, const QAicProgramProperties_t* properties,
                     const char* name, QAicQpcObj* qpc, QAicProgramGroup* group,
                     std::unique_ptr<QAicProgram>* out) {
  auto program = std::make_unique<QAicProgram>();
  const qaickit::ProgramSpec& spec = qpc->state->qpc->program();
  program->context = context;
  program->card = card;
  program->group = group;
  program->qpc = qpc->state;
  program->name = name && *name ? name : spec.name;
  program->cores = std::max(1u, spec.num_cores);
  const auto& config = Machine::get().config();
  program->service_ns = config.latency_ns +
                        config.per_sample_ns * static_cast<uint64_t>(std::max(1, spec.batch_size));
  QAicProgramProperties_t p;
  (void)qaicProgramPropertiesInitDefault(&p);
  if (properties) p = *properties;
  const uint32_t timeout_ms = p.SubmitRetryTimeoutMs ? p.SubmitRetryTimeoutMs : kKernelTimeoutMs;
  program->submit_retries = p.SubmitNumRetries;
  program->submit_timeout_ns = uint64_t{timeout_ms} * 1'000'000;
  program->run_timeout_ns = uint64_t{p.dataPathTimeoutMs} * 1'000'000;
  program->io_info = qpc->program.ioBufferInfo;
  if (config.compute == qaicsim::Compute::kHostHalf) {
    program->retained = qaicsim::make_retained(spec);
  }
  if (p.devMapping && *p.devMapping) {
    if (const QStatus status = map_devices(*program, p.devMapping); status != QS_SUCCESS) {
      return status;
    }
  }
  *out = std::move(program);
  return QS_SUCCESS;
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
        make_program(context, Machine::get().card(device), properties, name, qpc, nullptr, &object);
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
    const QStatus status = qaicsim::make_queue(
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
        make_program(group->context, group->card, properties, nullptr, qpc, group, &object);
    if (status != QS_SUCCESS) return status;
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
    (void)qaicsim::destroy_queue(group->queue);
    const QStatus status = destroy(group);
    context->children.fetch_sub(1, std::memory_order_relaxed);
    return status;
  });
}

}  // extern "C"
