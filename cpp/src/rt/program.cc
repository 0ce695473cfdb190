#include "rt/program.h"

#include <algorithm>

#include "base/cat.h"
#include "device/device_mapping.h"
#include "rt/sharing.h"

namespace qaickit::rt {

std::shared_ptr<qaickit::ExecObj> Active::keep(std::unique_ptr<qaickit::ExecObj> exec) {
  const std::lock_guard lock(exec_mutex_);
  return execs_.emplace_back(std::move(exec));
}

void Active::drop(const std::shared_ptr<qaickit::ExecObj>& exec) {
  const std::lock_guard lock(exec_mutex_);
  std::erase(execs_, exec);
}

Program::Program(std::shared_ptr<State> state) : state_(std::move(state)) {}
Program::~Program() = default;

Result<std::shared_ptr<Program>> Program::create(std::shared_ptr<Context> context,
                                                 std::optional<int> device,
                                                 std::shared_ptr<const Qpc> qpc,
                                                 ProgramProperties properties,
                                                 uint32_t num_activations) {
  QAICKIT_RETURN_IF_ERROR(qpc->check_weights());
  QAICKIT_ASSIGN_OR_RETURN(std::vector<int> mapping, parse_device_mapping(properties.dev_mapping));
  auto state = std::make_shared<State>();
  const std::vector<int>& ids = mapping.empty() ? context->ids() : mapping;
  state->device = device ? *device : ids.empty() ? 0 : ids.front();
  state->mapping = std::move(mapping);
  state->context = std::move(context);
  state->qpc = std::move(qpc);
  state->properties = std::move(properties);
  state->num_activations = num_activations;
  static std::atomic<uint32_t> next_id{0};
  state->id = next_id.fetch_add(1, std::memory_order_relaxed);
  return std::shared_ptr<Program>(new Program(std::move(state)));
}

Status Program::State::load() {
  if (loaded) return {};
  ProgramOptions options;
  options.num_activations = num_activations;
  const bool is_card = context->backend().name == "qaic";
  if (is_card) {
    options.settings = {
        {"submit_num_retries", std::to_string(properties.submit_num_retries)},
        {"submit_retry_timeout_ms", std::to_string(properties.submit_retry_timeout_ms)}};
    if (properties.threads_per_queue > 0) {
      options.settings.emplace("threads_per_queue", std::to_string(properties.threads_per_queue));
    }
    for (const int id : mapping) QAICKIT_RETURN_IF_ERROR(context->check(id));
    if (mapping.size() > 1) options.settings.emplace(kDevMapping, properties.dev_mapping);
  }
  QAICKIT_ASSIGN_OR_RETURN(const std::shared_ptr<Device> on, context->device(device));
  QAICKIT_ASSIGN_OR_RETURN(loaded, on->load(qpc, options));
  if (mapping.size() > 1 && !is_card) {
    context->log(LogLevel::kWarn,
                 cat(qpc->label(), ": devMapping ", properties.dev_mapping, " is for cards; ",
                     context->backend().name, " runs the whole program on device ", device));
  }
  return {};
}

Status Program::State::activate() {
  if (active) return {};
  QAICKIT_RETURN_IF_ERROR(load());
  auto made = std::make_shared<Active>();
  made->loaded = loaded;
  for (uint32_t a = 0; a < num_activations; ++a) {
    QAICKIT_ASSIGN_OR_RETURN(auto activation, loaded->activate());
    made->activations.push_back(std::move(activation));
  }
  const ProgramSpec& spec = qpc->program();
  made->on_device.resize(spec.num_tensors());
  for (const RetainedPair& pair : retained_pairs(spec)) {
    if (loaded->keeps_state()) {
      made->on_device[pair.input] = made->on_device[pair.output] = true;
    } else {
      const size_t bytes = spec.inputs[pair.input].bytes();
      made->retained.push_back({pair, {AlignedBuffer(bytes), AlignedBuffer(bytes)}});
    }
  }
  active = std::move(made);
  return {};
}

ProfileHead Program::State::profile_head() {
  const std::lock_guard lock(mutex);
  return {qpc->program().name, id, cat(context->backend().name, ":", device),
          exec_objects.load(std::memory_order_relaxed)};
}

Status Program::load() {
  QAICKIT_RETURN_IF_ERROR(state_->context->check_process());
  const std::lock_guard lock(state_->mutex);
  return state_->load().with_context(state_->qpc->label());
}

Status Program::activate() {
  QAICKIT_RETURN_IF_ERROR(state_->context->check_process());
  if (state_->sharing) return Turn(state_).status().with_context(state_->qpc->label());
  const std::lock_guard lock(state_->mutex);
  return state_->activate().with_context(state_->qpc->label());
}

Status Program::deactivate() {
  QAICKIT_RETURN_IF_ERROR(state_->context->check_process());
  const std::lock_guard lock(state_->mutex);
  if (!state_->active) return Status(Code::kFailedPrecondition, "the program is not active");
  state_->active.reset();
  return {};
}

Status Program::unload() {
  QAICKIT_RETURN_IF_ERROR(state_->context->check_process());
  const std::lock_guard lock(state_->mutex);
  if (!state_->loaded) return Status(Code::kFailedPrecondition, "the program is not loaded");
  state_->active.reset();
  state_->loaded.reset();
  return {};
}

const ProgramSpec& Program::spec() const noexcept { return state_->qpc->program(); }
const std::shared_ptr<Context>& Program::context() const noexcept { return state_->context; }
const ProgramProperties& Program::properties() const noexcept { return state_->properties; }
uint32_t Program::id() const noexcept { return state_->id; }

bool Program::runs_on(int device) const noexcept {
  const std::vector<int>& mapping = state_->mapping;
  return device == state_->device || std::ranges::find(mapping, device) != mapping.end();
}

bool Program::async() const noexcept {
  const std::lock_guard lock(state_->mutex);
  return state_->loaded && state_->loaded->async();
}

}  // namespace qaickit::rt
