#include <algorithm>

#include "base/cat.h"
#include "container/text.h"
#include "qaickit/qpc.h"

namespace qaickit {
namespace {

constexpr size_t kListedSets = 16;  // of an error message

using Dims = std::span<const int64_t>;

bool same(Dims a, Dims b) noexcept { return std::ranges::equal(a, b); }

// Samples of a part-filled batch, if these inputs are one of the set; else 0.
int64_t rows_of(const ProgramSpec& program, size_t set, std::span<const Dims> given) noexcept {
  int64_t rows = 0;
  int64_t batch = 0;
  for (size_t i = 0; i < given.size(); ++i) {
    const Dims dims = program.dims(set, i);
    if (same(given[i], dims)) continue;
    if (!program.inputs[i].partial || given[i].size() != dims.size() || dims.empty()) return 0;
    if (!same(given[i].subspan(1), dims.subspan(1))) return 0;
    if (given[i][0] < 1 || given[i][0] > dims[0]) return 0;
    if (rows != 0 && (rows != given[i][0] || batch != dims[0])) return 0;
    rows = given[i][0];
    batch = dims[0];
  }
  if (rows == 0) return 0;
  // A full input beside it must not be one of the batch's.
  for (size_t i = 0; i < given.size(); ++i) {
    const Dims dims = program.dims(set, i);
    if (program.inputs[i].partial && !dims.empty() && dims[0] == batch && given[i][0] != rows) {
      return 0;
    }
  }
  return rows;
}

// First dim of the batch that a run of `shape` holds a part of.
int64_t batch_of(const ProgramSpec& program, size_t set, int64_t rows) noexcept {
  for (size_t i = 0; i < program.inputs.size(); ++i) {
    const Dims dims = program.dims(set, i);
    if (program.inputs[i].partial && !dims.empty() && dims[0] > rows) return dims[0];
  }
  return 0;
}

bool is_cut(const ProgramSpec& program, const RunShape& shape, size_t t) noexcept {
  if (shape.rows == 0) return false;
  const Dims dims = program.dims(shape.set, t);
  if (dims.empty() || (t < program.inputs.size() && !program.inputs[t].partial)) return false;
  return dims[0] == batch_of(program, shape.set, shape.rows);
}

std::string describe(const ProgramSpec& program, std::span<const Dims> dims) {
  std::string text;
  for (size_t i = 0; i < program.inputs.size(); ++i) {
    text +=
        cat(i == 0 ? "" : ", ", printable(program.inputs[i].name), " ", dims_to_string(dims[i]));
  }
  return text;
}

Status no_match(const ProgramSpec& program, std::span<const Dims> given) {
  std::string text =
      cat("No matching dimension found: got ", describe(program, given), "; allowed are");
  const size_t sets = program.num_shape_sets();
  for (size_t set = 0; set < std::min(sets, kListedSets); ++set) {
    std::vector<Dims> dims;
    for (size_t i = 0; i < program.inputs.size(); ++i) dims.push_back(program.dims(set, i));
    text += cat(set == 0 ? " " : "; or ", describe(program, dims));
  }
  if (sets > kListedSets) text += cat("; and ", sets - kListedSets, " more");
  std::string partial;
  for (const TensorSpec& input : program.inputs) {
    if (input.partial) partial += cat(partial.empty() ? "" : ", ", printable(input.name));
  }
  if (!partial.empty()) text += cat(". A smaller first dim is allowed for ", partial);
  return Status(Code::kInvalidArgument, std::move(text));
}

}  // namespace

std::span<const int64_t> ProgramSpec::dims(size_t set, size_t t) const noexcept {
  return allowed_shapes.empty() ? tensor(t).dims : allowed_shapes[set][t];
}

size_t ProgramSpec::bytes(size_t set, size_t t) const noexcept {
  size_t bytes = dtype_bytes(tensor(t).dtype);
  for (const int64_t dim : dims(set, t)) bytes *= static_cast<size_t>(dim);
  return bytes;
}

size_t ProgramSpec::default_shape_set() const noexcept {
  for (size_t set = 0; set < allowed_shapes.size(); ++set) {
    bool largest = true;
    for (size_t t = 0; largest && t < num_tensors(); ++t) {
      largest = allowed_shapes[set][t] == tensor(t).dims;
    }
    if (largest) return set;
  }
  return 0;
}

Result<RunShape> match_shapes(const ProgramSpec& program, std::span<const Dims> input_dims) {
  for (size_t set = 0; set < program.num_shape_sets(); ++set) {
    bool fits = true;
    for (size_t i = 0; fits && i < input_dims.size(); ++i) {
      fits = same(input_dims[i], program.dims(set, i));
    }
    if (fits) return RunShape{set, 0};
  }
  for (size_t set = 0; set < program.num_shape_sets(); ++set) {
    if (const int64_t rows = rows_of(program, set, input_dims)) return RunShape{set, rows};
  }
  return no_match(program, input_dims);
}

size_t run_bytes(const ProgramSpec& program, const RunShape& shape, size_t t) noexcept {
  const size_t whole = program.bytes(shape.set, t);
  if (!is_cut(program, shape, t)) return whole;
  const auto batch = static_cast<size_t>(program.dims(shape.set, t)[0]);
  return whole / batch * static_cast<size_t>(shape.rows);
}

std::vector<int64_t> run_dims(const ProgramSpec& program, const RunShape& shape, size_t t) {
  const Dims whole = program.dims(shape.set, t);
  std::vector<int64_t> dims(whole.begin(), whole.end());
  if (is_cut(program, shape, t)) dims[0] = shape.rows;
  return dims;
}

}  // namespace qaickit
