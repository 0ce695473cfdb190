#include <sys/stat.h>

#include <mutex>

#include "base/cat.h"
#include "base/clock.h"
#include "container/atomic_file.h"
#include "rt/profile_text.h"
#include "rt/program.h"

namespace qaickit::rt {
namespace {

struct Report {
  std::string_view suffix;
  std::string (*text)(const ProfileHead& head, std::span<const RunRecord> records);
};

const Report& report_of(ProfileType type) {
  static constexpr Report kReports[] = {{"latency.txt", &latency_table},
                                        {"trace.json", &trace_json}};
  return kReports[static_cast<size_t>(type)];
}

}  // namespace

struct Profiler::State {
  std::vector<std::shared_ptr<Program>> programs;
  ProfileType type;
  std::string prefix;
  std::string directory;

  std::mutex mutex;
  std::vector<std::shared_ptr<Recording>> recordings;  // of each program; none: not started

  static Program::State& of(const Program& program) noexcept { return *program.state_; }
  void detach() {
    for (size_t p = 0; p < recordings.size(); ++p) {
      of(*programs[p]).recordings.detach(recordings[p]);
    }
  }
  Status write() const;
};

Status Profiler::State::write() const {
  const Report& report = report_of(type);
  for (size_t p = 0; p < programs.size(); ++p) {
    uint64_t left_out = 0;
    const std::vector<RunRecord> records = recordings[p]->records(&left_out);
    if (records.empty()) continue;
    const Program& program = *programs[p];
    const std::string text = report.text(of(program).profile_head(), records);
    const std::string path =
        cat(directory, "/", prefix, "-program-", program.id(), "-", report.suffix);
    const Bytes bytes = std::as_bytes(std::span(text));
    QAICKIT_RETURN_IF_ERROR(write_file_atomically(path, std::span(&bytes, 1)).with_context(path));
    if (left_out > 0) {
      program.context()->log(LogLevel::kWarn, cat(path, " has the first ", records.size(),
                                                  " inferences; ", left_out, " more were run"));
    }
  }
  return {};
}

Profiler::Profiler(std::unique_ptr<State> state) : state_(std::move(state)) {}
Profiler::~Profiler() { state_->detach(); }

Result<std::shared_ptr<Profiler>> Profiler::create(std::vector<std::shared_ptr<Program>> programs,
                                                   ProfileType type, std::string prefix,
                                                   std::string directory) {
  if (programs.empty()) {
    return Status(Code::kInvalidArgument, "a profile needs at least one program");
  }
  if (prefix.empty() || prefix.find('/') != std::string::npos) {
    return Status(Code::kInvalidArgument,
                  cat("prefix of profile files '", prefix, "': expected a name without '/'"));
  }
  struct stat found{};
  if (::stat(directory.c_str(), &found) != 0 || !S_ISDIR(found.st_mode)) {
    return Status(Code::kNotFound,
                  cat("directory for profile files '", directory, "' does not exist; make it"));
  }
  auto state = std::make_unique<State>();
  state->programs = std::move(programs);
  state->type = type;
  state->prefix = std::move(prefix);
  state->directory = std::move(directory);
  return std::shared_ptr<Profiler>(new Profiler(std::move(state)));
}

Status Profiler::start() {
  const std::lock_guard lock(state_->mutex);
  if (!state_->recordings.empty()) {
    return Status(Code::kFailedPrecondition, "the profile was started already");
  }
  const uint64_t now = now_ns();
  for (const auto& program : state_->programs) {
    const auto& recording = state_->recordings.emplace_back(std::make_shared<Recording>(now));
    State::of(*program).recordings.attach(recording);
  }
  return {};
}

Status Profiler::write() {
  const std::lock_guard lock(state_->mutex);
  if (state_->recordings.empty()) {
    return Status(Code::kFailedPrecondition, "the profile was not started");
  }
  return state_->write();
}

Status Profiler::stop() {
  const std::lock_guard lock(state_->mutex);
  if (state_->recordings.empty()) {
    return Status(Code::kFailedPrecondition, "the profile was not started");
  }
  state_->detach();
  const Status written = state_->write();
  state_->recordings.clear();
  return written;
}

const std::shared_ptr<Context>& Profiler::context() const noexcept {
  return state_->programs.front()->context();
}

}  // namespace qaickit::rt
