#include "rt/profile_text.h"

#include <array>
#include <cstdio>
#include <string_view>

#include "base/cat.h"

namespace qaickit::rt {
namespace {

constexpr std::string_view kUnknown = "N/A";

// Three decimals.
std::string microseconds(uint64_t ns) {
  std::array<char, 32> text;
  const int length = std::snprintf(text.data(), text.size(), "%llu.%03llu",
                                   static_cast<unsigned long long>(ns / 1000),
                                   static_cast<unsigned long long>(ns % 1000));
  return {text.data(), static_cast<size_t>(length)};
}

// What a cell is made of.
struct Row {
  size_t sample;
  const RunRecord& record;
};

struct Column {
  std::string_view heading;
  std::string (*cell)(const Row& row);
};

std::string unknown(const Row&) { return std::string(kUnknown); }

template <uint64_t RunTimes::* from, uint64_t RunTimes::* to>
std::string between(const Row& row) {
  return microseconds(row.record.times.*to - row.record.times.*from);
}

// In the vendor's recordings hostRoundTrip is exectoVc plus execToComplete, which with submitTime
// are moments inside its driver. Its open runtime counts the inferences in flight before and after
// the submission.
constexpr Column kColumns[] = {
    {"Sample", [](const Row& r) { return std::to_string(r.sample); }},
    {"hostRoundTripUs", &unknown},
    {"enqTimeUs", &between<&RunTimes::enqueued, &RunTimes::started>},
    {"preProcTimeUs", &between<&RunTimes::started, &RunTimes::gathered>},
    {"submitTimeUs", &unknown},
    {"execTotalUs", &between<&RunTimes::gathered, &RunTimes::computed>},
    {"exectoVcUs", &unknown},
    {"execToCompleteUs", &unknown},
    {"postProcUs", &between<&RunTimes::computed, &RunTimes::ended>},
    {"totalRoundtripTimeUs", &between<&RunTimes::enqueued, &RunTimes::ended>},
    {"queueDepth", [](const Row& r) { return std::to_string(r.record.times.in_flight - 1); }},
    {"numInfInQueue", [](const Row& r) { return std::to_string(r.record.times.in_flight); }},
};

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      std::array<char, 8> escape;
      std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(c));
      out += escape.data();
    } else {
      out += c;
    }
  }
  return out + '"';
}

struct Stage {
  std::string_view name;
  uint64_t RunTimes::* from;
  uint64_t RunTimes::* to;
};
constexpr Stage kStages[] = {
    {"wait", &RunTimes::enqueued, &RunTimes::started},
    {"gather", &RunTimes::started, &RunTimes::gathered},
    {"device", &RunTimes::gathered, &RunTimes::computed},
    {"scatter", &RunTimes::computed, &RunTimes::ended},
};

std::string event(const ProfileHead& head, const RunRecord& record, std::string_view name,
                  std::string_view category, uint64_t from, uint64_t to, std::string_view args) {
  return cat("{\"name\": ", quoted(name), ", \"cat\": \"", category,
             "\", \"ph\": \"X\", \"pid\": ", head.program_id, ", \"tid\": ", record.exec_object,
             ", \"ts\": ", microseconds(from), ", \"dur\": ", microseconds(to - from),
             ", \"args\": {", args, "}}");
}

}  // namespace

std::string latency_table(const ProfileHead& head, std::span<const RunRecord> records) {
  std::string text =
      cat("Latency of single inferences, in microseconds\nprogram ", head.program_id, ": ",
          head.program, "\ndevice: ", head.device, "\nexec objects: ", head.exec_objects, "\n");
  for (const Column& column : kColumns) {
    text += column.heading;
    text += &column == std::end(kColumns) - 1 ? '\n' : ',';
  }
  for (size_t n = 0; n < records.size(); ++n) {
    for (const Column& column : kColumns) {
      text += column.cell({n, records[n]});
      text += &column == std::end(kColumns) - 1 ? '\n' : ',';
    }
  }
  return text;
}

std::string trace_json(const ProfileHead& head, std::span<const RunRecord> records) {
  std::string text = "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n";
  text += cat("{\"name\": \"process_name\", \"ph\": \"M\", \"pid\": ", head.program_id,
              ", \"args\": {\"name\": ", quoted(cat(head.program, " on ", head.device)), "}}");
  for (size_t n = 0; n < records.size(); ++n) {
    const RunRecord& record = records[n];
    const RunTimes& t = record.times;
    text += ",\n";
    text += event(head, record, head.program, "inference", t.enqueued, t.ended,
                  cat("\"inference\": ", n, ", \"in flight\": ", t.in_flight));
    for (const Stage& stage : kStages) {
      text += ",\n";
      text += event(head, record, stage.name, "stage", t.*stage.from, t.*stage.to, "");
    }
  }
  return text + "\n]}\n";
}

}  // namespace qaickit::rt
