#include "host_half.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <span>

#include "base/cat.h"
#include "machine.h"
#include "report.h"
#include "retained.h"

namespace qaicsim {
namespace {

void copy_in(QAicExecObj& exec) {
  for (const size_t i : exec.copied) {
    const QAicExecObj::Slot& slot = exec.slots[i];
    if (!slot.is_input) continue;
    const std::span<std::byte> own = exec.host->input(i);
    const auto* data = reinterpret_cast<const std::byte*>(slot.data);
    const size_t given = data ? slot.size : 0;
    if (!exec.transforms[i].is_identity()) {
      exec.transforms[i].apply(data, given, own.data());
      continue;
    }
    const size_t whole = std::min(given, own.size());
    if (whole > 0) std::memcpy(own.data(), data, whole);
    if (own.size() > whole) std::memset(own.data() + whole, 0, own.size() - whole);
  }
}

void copy_out(QAicExecObj& exec) {
  for (const size_t i : exec.copied) {
    const QAicExecObj::Slot& slot = exec.slots[i];
    if (slot.is_input || !slot.data) continue;
    const std::span<const std::byte> own = exec.host->output(i - exec.host->num_inputs());
    exec.transforms[i].apply(own.data(), own.size(), reinterpret_cast<std::byte*>(slot.data));
  }
}

}  // namespace

QStatus attach_host(QAicExecObj& exec) {
  if (exec.host || Machine::get().config().compute != Compute::kHostHalf) return QS_SUCCESS;
  std::shared_ptr<qaickit::Program> host;
  {
    const std::lock_guard lock(exec.program->host_mutex);
    host = exec.program->host;
  }
  if (!host) return QS_SUCCESS;  // not loaded
  auto activation = host->activate();
  auto made = activation.ok()
                  ? (*activation)->create_exec_obj()
                  : qaickit::Result<std::unique_ptr<qaickit::ExecObj>>(activation.status());
  if (!made.ok()) {
    report(exec.context, QAIC_ERROR_EXECOBJ_CREATION, made.status().message());
    return QS_ERROR;
  }
  exec.host = std::move(made).value();
  return bind_host(exec);
}

QStatus bind_host(QAicExecObj& exec) {
  exec.copied.clear();
  if (!exec.host || !exec.ready) return QS_SUCCESS;
  const auto set = exec.shape < 0 ? exec.program->qpc->qpc->program().default_shape_set()
                                  : static_cast<size_t>(exec.shape);
  if (const qaickit::Status status = exec.host->select_shapes(set); !status.ok()) {
    report(exec.context, QAIC_ERROR_EXECOBJ_RUNTIME, status.message());
    return QS_ERROR;
  }
  const size_t num_inputs = exec.host->num_inputs();
  for (size_t i = 0; i < exec.slots.size(); ++i) {
    const QAicExecObj::Slot& slot = exec.slots[i];
    const bool is_users = exec.transforms[i].is_identity();
    // What is kept has memory of its own, which is bound anew for each run.
    const bool kept = is_retained(*exec.program, i) && (!slot.is_input || !slot.data);
    const bool in_place = is_users && slot.data && slot.size == slot.full_size && !kept;
    uint8_t* const data = in_place ? slot.data : nullptr;
    const qaickit::Status bound = slot.is_input ? exec.host->bind_input(i, data)
                                                : exec.host->bind_output(i - num_inputs, data);
    if (!bound.ok()) {
      report(exec.context, QAIC_ERROR_EXECOBJ_RUNTIME, bound.message());
      return QS_ERROR;
    }
    if (!is_users) {
      const size_t own =
          slot.is_input ? exec.host->input(i).size() : exec.host->output(i - num_inputs).size();
      const Transform& transform = exec.transforms[i];
      if (own != (slot.is_input ? transform.to_bytes() : transform.from_bytes())) {
        report(exec.context, QAIC_ERROR_EXECOBJ_RUNTIME,
               qaickit::cat("buffer ", i, " has ", own,
                            " bytes in the host half, and not as many as the QPC ", "describes"));
        return QS_ERROR;
      }
    }
    const bool copied = slot.is_input ? !in_place && !kept : !is_users;
    if (copied) exec.copied.push_back(i);
  }
  return QS_SUCCESS;
}

const char* compute(QAicExecObj& exec, std::string* detail) noexcept {
  switch (Machine::get().config().compute) {
    case Compute::kNothing: return nullptr;
    case Compute::kEcho: {
      size_t out = 0;
      while (out < exec.slots.size() && exec.slots[out].is_input) ++out;
      for (size_t in = 0; in < exec.slots.size() && exec.slots[in].is_input; ++in, ++out) {
        if (out == exec.slots.size()) break;
        const QAicExecObj::Slot& from = exec.slots[in];
        const QAicExecObj::Slot& to = exec.slots[out];
        if (from.data && to.data) std::memcpy(to.data, from.data, std::min(from.size, to.size));
      }
      return nullptr;
    }
    case Compute::kHostHalf: break;
  }
  std::unique_lock<std::mutex> turn;
  qaickit::Status status;
  if (!exec.program->retained.empty()) {
    turn = std::unique_lock(exec.program->retained_mutex);
    status = bind_retained(exec);
  }
  copy_in(exec);
  if (status.ok()) status = exec.host->run();
  if (status.ok()) {
    copy_out(exec);
    keep_retained(exec);
    return nullptr;
  }
  *detail = status.to_string();
  return detail->c_str();
}

}  // namespace qaicsim
