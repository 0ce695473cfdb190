#pragma once

#include <span>
#include <string>

#include "rt/recording.h"

// The two reports of the vendor's profiling: a table of latencies and a trace.
namespace qaickit::rt {

// What a report says of the program beside its runs.
struct ProfileHead {
  std::string program;
  uint32_t program_id = 0;
  std::string device;         // "cpu:0"
  uint32_t exec_objects = 0;  // that can be in flight
};

// Four lines of text, a line of headings, then a row for each run, times in microseconds. The
// columns and their order are those that public parsers of the vendor's table need; what only a
// card's driver could tell is N/A.
std::string latency_table(const ProfileHead& head, std::span<const RunRecord> records);

// Chrome's trace event format: for each run an event, and in it one for each stage.
std::string trace_json(const ProfileHead& head, std::span<const RunRecord> records);

}  // namespace qaickit::rt
