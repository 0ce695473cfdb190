#include "base/cat.h"
#include "qaickit/qpc.h"

namespace qaickit {
namespace {

constexpr std::string_view kSuffixes[] = {"_RetainedState", "_InternalRetainedState"};

}  // namespace

std::vector<RetainedPair> retained_pairs(const ProgramSpec& program) {
  std::vector<RetainedPair> pairs;
  for (size_t o = 0; o < program.outputs.size(); ++o) {
    for (size_t i = 0; i < program.inputs.size(); ++i) {
      bool named = false;
      for (const std::string_view suffix : kSuffixes) {
        named = named || program.outputs[o].name == cat(program.inputs[i].name, suffix);
      }
      if (named && program.inputs[i].bytes() == program.outputs[o].bytes()) {
        pairs.push_back({i, program.inputs.size() + o});
      }
    }
  }
  return pairs;
}

}  // namespace qaickit
