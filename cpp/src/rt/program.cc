#include "rt/program.h"

#include <algorithm>
#include <charconv>

#include "base/cat.h"

namespace qaickit::rt {
namespace {

constexpr std::string_view kSuffixes[] = {"_RetainedState", "_InternalRetainedState"};

// Device ids of "0:1:2".
Result<std::vector<int>> parse_mapping(std::string_view text) {
  std::vector<int> ids;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at < end) {
    int id = 0;
    const auto [next, error] = std::from_chars(at, end, id);
    if (error != std::errc() || id < 0 || (next < end && (*next != ':' || next + 1 == end))) {
      return Status(Code::kInvalidArgument,
                    cat("devMapping '", text, "': expected device ids like 0:1:2"));
    }
    ids.push_back(id);
    at = next + (next < end ? 1 : 0);
  }
  return ids;
}

std::vector<Retained> find_retained(const ProgramSpec& spec) {
  std::vector<Retained> found;
  for (size_t o = 0; o < spec.outputs.size(); ++o) {
    for (size_t i = 0; i < spec.inputs.size(); ++i) {
      bool pair = false;
      for (const std::string_view suffix : kSuffixes) {
        pair = pair || spec.outputs[o].name == cat(spec.inputs[i].name, suffix);
      }
      const size_t bytes = spec.inputs[i].bytes();
      if (!pair || spec.outputs[o].bytes() != bytes) continue;
      found.push_back({i, spec.inputs.size() + o, {AlignedBuffer(bytes), AlignedBuffer(bytes)}});
    }
  }
  return found;
}

}  // namespace

Program::Program(std::shared_ptr<State> state) : state_(std::move(state)) {}
Program::~Program() = default;

Result<std::shared_ptr<Program>> Program::create(std::shared_ptr<Context> context,
                                                 std::optional<int> device,
                                                 std::shared_ptr<const Qpc> qpc,
                                                 ProgramProperties properties,
                                                 uint32_t num_activations) {
  QAICKIT_ASSIGN_OR_RETURN(const std::vector<int> mapping, parse_mapping(properties.dev_mapping));
  auto state = std::make_shared<State>();
  const std::vector<int>& ids = mapping.empty() ? context->ids() : mapping;
  state->device = device ? *device : ids.empty() ? 0 : ids.front();
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
  if (context->backend().name == "qaic") {
    if (properties.dev_mapping.find(':') != std::string::npos) {
      return Status(Code::kUnsupported, "a program across several cards is not supported yet");
    }
    options.settings = {
        {"submit_num_retries", std::to_string(properties.submit_num_retries)},
        {"submit_retry_timeout_ms", std::to_string(properties.submit_retry_timeout_ms)}};
    if (properties.threads_per_queue > 0) {
      options.settings.emplace("threads_per_queue", std::to_string(properties.threads_per_queue));
    }
  }
  QAICKIT_ASSIGN_OR_RETURN(const std::shared_ptr<Device> on, context->device(device));
  QAICKIT_ASSIGN_OR_RETURN(loaded, on->load(qpc, options));
  return {};
}

Status Program::State::activate() {
  if (active) return {};
  QAICKIT_RETURN_IF_ERROR(load());
  auto made = std::make_shared<Active>();
  for (uint32_t a = 0; a < num_activations; ++a) {
    QAICKIT_ASSIGN_OR_RETURN(auto activation, loaded->activate());
    made->activations.push_back(std::move(activation));
  }
  made->retained = find_retained(qpc->program());
  active = std::move(made);
  return {};
}

ProfileHead Program::State::profile_head() {
  const std::lock_guard lock(mutex);
  return {qpc->program().name, id, cat(context->backend().name, ":", device),
          exec_objects.load(std::memory_order_relaxed)};
}

Status Program::load() {
  const std::lock_guard lock(state_->mutex);
  return state_->load().with_context(state_->qpc->label());
}

Status Program::activate() {
  const std::lock_guard lock(state_->mutex);
  return state_->activate().with_context(state_->qpc->label());
}

Status Program::deactivate() {
  const std::lock_guard lock(state_->mutex);
  if (!state_->active) return Status(Code::kFailedPrecondition, "the program is not active");
  state_->active.reset();
  return {};
}

Status Program::unload() {
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
  const auto mapping = parse_mapping(state_->properties.dev_mapping);
  return device == state_->device ||
         (mapping.ok() && std::ranges::find(*mapping, device) != mapping->end());
}

bool Program::async() const noexcept {
  const std::lock_guard lock(state_->mutex);
  return state_->loaded && state_->loaded->async();
}

}  // namespace qaickit::rt
