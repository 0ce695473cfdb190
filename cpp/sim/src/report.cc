#include "report.h"

#include <cstdio>
#include <string>

#include "base/cat.h"
#include "machine.h"

namespace qaicsim {

void log(QAicContext* context, QLogLevel level, std::string_view text) {
  const std::string line = qaickit::cat("qaicsim: ", text);
  if (Machine::get().config().log) std::fprintf(stderr, "%s\n", line.c_str());
  if (context && context->log && level >= context->log_level.load(std::memory_order_relaxed)) {
    context->log(level, line.c_str(), context->log_user);
  }
}

void report(QAicContext* context, QAicErrorType type, std::string_view text) {
  log(context, QL_ERROR, text);
  if (!context->error) return;
  const std::string line(text);
  context->error(context->id, line.c_str(), type, nullptr, 0, context->error_user);
}

}  // namespace qaicsim
