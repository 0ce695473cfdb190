#pragma once

#include <string_view>

#include "objects.h"

// What the user of the API is told besides statuses, through the handlers of his context.
namespace qaicsim {

// `context` may be null. Also on stderr, with QAICKIT_SIM_LOG.
void log(QAicContext* context, QLogLevel level, std::string_view text);
// To the error handler and, as an error, to the log.
void report(QAicContext* context, QAicErrorType type, std::string_view text);

}  // namespace qaicsim
