#include "transform.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <type_traits>

#include "base/cat.h"

namespace qaicsim {
namespace {

using qaickit::cat;
using qaickit::Code;
using qaickit::DType;
using qaickit::IoFormat;
using qaickit::IoStep;
using qaickit::Result;
using qaickit::Status;

constexpr size_t kMaxElements = size_t{1} << 32;

// IEEE 754 binary16, which C++20 has no type for.
struct Half {
  uint16_t bits;
};

double to_double(Half half) {
  const int exponent = (half.bits >> 10) & 0x1f;
  const int fraction = half.bits & 0x3ff;
  double value = 0;
  if (exponent == 0x1f) {
    value = fraction == 0 ? std::numeric_limits<double>::infinity()
                          : std::numeric_limits<double>::quiet_NaN();
  } else if (exponent == 0) {
    value = std::ldexp(fraction, -24);
  } else {
    value = std::ldexp(fraction + 0x400, exponent - 25);
  }
  return (half.bits & 0x8000) != 0 ? -value : value;
}

// Rounds to nearest, ties to even; what is too large becomes infinity.
Half to_half(double value) {
  const auto sign = static_cast<uint16_t>(std::signbit(value) ? 0x8000 : 0);
  const double size = std::fabs(value);
  if (std::isnan(value)) return {static_cast<uint16_t>(sign | 0x7e00)};
  if (size >= 65520.0) return {static_cast<uint16_t>(sign | 0x7c00)};
  if (size < 0x1p-24 / 2) return {sign};
  // Of the last place of its binade; below 2^-14 all are 2^-24.
  const int exponent = std::max(std::ilogb(size), -14);
  const auto places = static_cast<uint32_t>(std::nearbyint(std::ldexp(size, 10 - exponent)));
  // A carry out of the fraction goes on into the exponent, where it belongs.
  const uint32_t bits = (static_cast<uint32_t>(exponent + 14) << 10) + places;
  return {static_cast<uint16_t>(sign | bits)};
}

template <class T>
double number_of(T stored) {
  if constexpr (std::is_same_v<T, Half>) {
    return to_double(stored);
  } else {
    return static_cast<double>(stored);
  }
}

// Integers are rounded, ties to even, and stop at their bounds.
template <class T>
T stored_from(double number) {
  if constexpr (std::is_same_v<T, Half>) {
    return to_half(number);
  } else if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(number);
  } else {
    if (std::isnan(number)) return 0;
    const double whole = std::nearbyint(number);
    // The bounds as doubles may lie outside of T, so the ends are compared and not converted.
    if (whole <= static_cast<double>(std::numeric_limits<T>::min())) {
      return std::numeric_limits<T>::min();
    }
    if (whole >= static_cast<double>(std::numeric_limits<T>::max())) {
      return std::numeric_limits<T>::max();
    }
    return static_cast<T>(whole);
  }
}

template <class T>
void read_numbers(const std::byte* from, size_t count, const IoFormat& format, double* to) {
  for (size_t i = 0; i < count; ++i) {
    T stored;
    std::memcpy(&stored, from + i * sizeof(T), sizeof(T));
    to[i] = number_of(stored);
    if (format.quantised) to[i] = format.scale * (to[i] - format.offset);
  }
}

template <class T>
void write_numbers(const double* from, size_t count, const IoFormat& format, std::byte* to) {
  for (size_t i = 0; i < count; ++i) {
    // As ONNX's QuantizeLinear: rounded before the offset.
    const double number =
        format.quantised ? std::nearbyint(from[i] / format.scale) + format.offset : from[i];
    const T stored = stored_from<T>(number);
    std::memcpy(to + i * sizeof(T), &stored, sizeof(T));
  }
}

struct Codec {
  DType dtype;
  void (*read)(const std::byte*, size_t, const IoFormat&, double*);
  void (*write)(const double*, size_t, const IoFormat&, std::byte*);
};

constexpr Codec kCodecs[] = {
    {DType::kFloat32, read_numbers<float>, write_numbers<float>},
    {DType::kFloat16, read_numbers<Half>, write_numbers<Half>},
    {DType::kInt8, read_numbers<int8_t>, write_numbers<int8_t>},
    {DType::kUInt8, read_numbers<uint8_t>, write_numbers<uint8_t>},
    {DType::kInt16, read_numbers<int16_t>, write_numbers<int16_t>},
    {DType::kInt32, read_numbers<int32_t>, write_numbers<int32_t>},
    {DType::kInt64, read_numbers<int64_t>, write_numbers<int64_t>},
};

const Codec* codec_of(DType dtype) {
  const auto* found = std::ranges::find(kCodecs, dtype, &Codec::dtype);
  return found != std::end(kCodecs) ? found : nullptr;
}

bool same_numbers(const IoFormat& a, const IoFormat& b) {
  if (a.dtype != b.dtype || a.quantised != b.quantised) return false;
  return !a.quantised || (a.scale == b.scale && a.offset == b.offset);
}

// Elements by the vendor's rule, that zero dims do not count.
std::optional<size_t> elements_of(const IoFormat& format) {
  size_t count = 1;
  for (const int32_t dim : format.dims) {
    if (dim < 0) return std::nullopt;
    if (dim > 0 && __builtin_mul_overflow(count, static_cast<size_t>(dim), &count)) {
      return std::nullopt;
    }
    if (count > kMaxElements) return std::nullopt;
  }
  return count;
}

Status damaged(const std::string& why) {
  return Status(Code::kDataLoss, cat("the steps of the pre- and post-processing: ", why));
}

// An integer between integers keeps all its bits, which a double has not room for.
template <class From, class To>
void convert_whole(const std::byte* from, size_t count, std::byte* to) {
  for (size_t i = 0; i < count; ++i) {
    From stored;
    std::memcpy(&stored, from + i * sizeof(From), sizeof(From));
    using Limits = std::numeric_limits<To>;
    const auto wide = static_cast<int64_t>(stored);
    const auto kept = static_cast<To>(std::clamp<int64_t>(wide, static_cast<int64_t>(Limits::min()),
                                                          static_cast<int64_t>(Limits::max())));
    std::memcpy(to + i * sizeof(To), &kept, sizeof(To));
  }
}

constexpr size_t kBlock = 256;  // elements converted at a time

using Op = std::function<void(const std::byte* from, std::byte* to)>;

// An empty function where nothing is to be done.
Result<Op> convert(const IoFormat& from, const IoFormat& to, size_t count) {
  if (same_numbers(from, to)) return Op();
  if (!from.quantised && !to.quantised) {
    if (from.dtype == DType::kInt64 && to.dtype == DType::kInt32) {
      return Op([count](const std::byte* in, std::byte* out) {
        convert_whole<int64_t, int32_t>(in, count, out);
      });
    }
    if (from.dtype == DType::kInt32 && to.dtype == DType::kInt64) {
      return Op([count](const std::byte* in, std::byte* out) {
        convert_whole<int32_t, int64_t>(in, count, out);
      });
    }
  }
  const Codec* reader = codec_of(from.dtype);
  const Codec* writer = codec_of(to.dtype);
  if (!reader || !writer) return damaged("a type that cannot be converted");
  return Op([=](const std::byte* in, std::byte* out) {
    const size_t in_bytes = qaickit::dtype_bytes(from.dtype);
    const size_t out_bytes = qaickit::dtype_bytes(to.dtype);
    double numbers[kBlock];
    for (size_t at = 0; at < count; at += kBlock) {
      const size_t some = std::min(kBlock, count - at);
      reader->read(in + at * in_bytes, some, from, numbers);
      writer->write(numbers, some, to, out + at * out_bytes);
    }
  });
}

// Dim i of `from` is dim shuffle[i] of `to`.
Result<Op> permute(const IoFormat& from, const IoFormat& to, const std::vector<int32_t>& shuffle,
                   size_t count) {
  const size_t rank = to.dims.size();
  if (from.dtype != to.dtype) return damaged("a transposition changes the type");
  if (from.dims.size() != rank || shuffle.size() != rank) {
    return damaged("a transposition does not say which dim goes where");
  }
  // In `to`, from one element to the next along each of its dims.
  std::vector<size_t> strides(rank, 1);
  for (size_t d = rank; d-- > 1;) {
    strides[d - 1] = strides[d] * static_cast<size_t>(std::max(to.dims[d], 1));
  }
  std::vector<size_t> dims;
  std::vector<size_t> jumps;  // in `to`, along the dims of `from`
  std::vector<bool> taken(rank, false);
  for (size_t d = 0; d < rank; ++d) {
    const auto source = static_cast<size_t>(shuffle[d]);  // a negative one becomes a large one
    if (source >= rank || taken[source] || to.dims[source] != from.dims[d]) {
      return damaged("a transposition does not fit its dims");
    }
    taken[source] = true;
    dims.push_back(static_cast<size_t>(std::max(from.dims[d], 1)));
    jumps.push_back(strides[source]);
  }
  const size_t width = qaickit::dtype_bytes(from.dtype);
  return Op([=](const std::byte* in, std::byte* out) {
    std::vector<size_t> index(dims.size(), 0);
    size_t place = 0;
    for (size_t i = 0; i < count; ++i) {
      std::memcpy(out + place * width, in + i * width, width);
      for (size_t d = dims.size(); d-- > 0;) {
        place += jumps[d];
        if (++index[d] < dims[d]) break;
        place -= jumps[d] * dims[d];
        index[d] = 0;
      }
    }
  });
}

Status tiled() {
  return Status(Code::kUnsupported, "tiled (D32) layouts are not public, so not simulated");
}

Result<Op> undo_step(const IoStep& step, size_t count) {
  switch (step.kind) {
    case IoStep::Kind::kCopy: return Op();  // where a buffer lies is the exec object's business
    case IoStep::Kind::kConvert: return convert(step.after, step.before, count);
    case IoStep::Kind::kTranspose: return permute(step.after, step.before, step.shuffle, count);
    case IoStep::Kind::kRetile: break;
  }
  return tiled();
}

}  // namespace

Result<Transform> Transform::undo(std::span<const IoStep> steps) {
  Transform transform;
  for (size_t i = steps.size(); i-- > 0;) {
    const IoStep& step = steps[i];
    if (step.kind == IoStep::Kind::kRetile || !step.after.flat || !step.before.flat) return tiled();
    const auto count = elements_of(step.after);
    if (!count || count != elements_of(step.before)) return damaged("dims that do not follow");
    const size_t bytes = *count * qaickit::dtype_bytes(step.after.dtype);
    if (i + 1 == steps.size()) {
      transform.from_bytes_ = bytes;
    } else if (bytes != transform.to_bytes_) {
      return damaged("sizes that do not follow");
    }
    transform.to_bytes_ = *count * qaickit::dtype_bytes(step.before.dtype);
    QAICKIT_ASSIGN_OR_RETURN(Op op, undo_step(step, *count));
    if (!op) continue;
    if (!transform.ops_.empty()) transform.between_.emplace_back(bytes);
    transform.ops_.push_back(std::move(op));
  }
  return transform;
}

void Transform::apply(const std::byte* from, size_t given, std::byte* to) {
  if (given < from_bytes_) {
    if (padded_.size() == 0) padded_ = qaickit::AlignedBuffer(from_bytes_);
    if (given > 0) std::memcpy(padded_.data(), from, given);
    std::memset(padded_.data() + given, 0, from_bytes_ - given);
    from = padded_.data();
  }
  for (size_t op = 0; op < ops_.size(); ++op) {
    std::byte* const target = op + 1 < ops_.size() ? between_[op].data() : to;
    ops_[op](from, target);
    from = target;
  }
}

}  // namespace qaicsim
