#include "qpc_bytes.h"

#include <sstream>

namespace qaickit::test {
namespace {

void describe_specs(const std::vector<TensorSpec>& specs, std::ostream& out) {
  for (const TensorSpec& spec : specs) {
    out << "  " << spec.name << ' ' << dtype_name(spec.dtype) << ' ' << dims_to_string(spec.dims)
        << ' ' << spec.scale << ' ' << spec.offset << '\n';
  }
}

}  // namespace

std::string describe(const Qpc& qpc) {
  std::ostringstream out;
  const ProgramSpec& program = qpc.program();
  out << program.name << ' ' << program.num_cores << ' ' << program.batch_size << "\ninputs\n";
  describe_specs(program.inputs, out);
  out << "outputs\n";
  describe_specs(program.outputs, out);
  if (const auto manifest = qpc.manifest()) {
    out << manifest->format_version << ' ' << manifest->producer << ' ' << manifest->precision
        << ' ' << manifest->random_weights << '\n';
    for (const auto& [key, value] : manifest->options) out << key << '=' << value << '\n';
  }
  for (const SegmentView& segment : qpc.segments()) {
    out << segment.name << ' ' << segment.offset << ' ' << as_text(segment.data) << '\n';
  }
  return out.str();
}

}  // namespace qaickit::test
