#pragma once

#include "qaickit/loadgen.h"
#include "qaickit/status.h"
#include "test_settings.h"

namespace qaickit {

// LoadGen's settings: its defaults, then the configuration files, then the options that are set.
// Errors: kInvalidArgument or kNotFound with LoadGen's reason where a file is refused.
Result<mlperf::TestSettings> make_test_settings(const LoadgenOptions& options);

mlperf::LogSettings make_log_settings(const LoadgenOptions& options);

}  // namespace qaickit
