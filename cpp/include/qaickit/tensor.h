#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "qaickit/export.h"
#include "qaickit/status.h"

namespace qaickit {

// Element types a program's inputs and outputs can have on a host.
enum class DType : uint8_t {
  kFloat32,
  kFloat16,
  kBFloat16,
  kFloat64,
  kInt8,
  kUInt8,
  kInt16,
  kUInt16,
  kInt32,
  kUInt32,
  kInt64,
  kUInt64,
  kBool,
};

QAICKIT_API size_t dtype_bytes(DType dtype) noexcept;
// numpy's name ("float32"); "bfloat16" for the one that numpy lacks.
QAICKIT_API std::string_view dtype_name(DType dtype) noexcept;
QAICKIT_API std::optional<DType> dtype_from_name(std::string_view name) noexcept;

// Product of dims times `element_bytes`. No dims is a scalar: one element. A negative dim or an
// overflow of 64 bits is an error.
QAICKIT_API Result<size_t> checked_bytes(std::span<const int64_t> dims, size_t element_bytes);

// "[1, 3, 224, 224]"
QAICKIT_API std::string dims_to_string(std::span<const int64_t> dims);

// One input or output of a program: what it is called and what it holds. All dims are fixed; where
// a program allows several shapes they are those of the largest.
struct TensorSpec {
  std::string name;
  DType dtype = DType::kFloat32;
  std::vector<int64_t> dims;
  float scale = 1.0f;  // of a quantised tensor: real = scale * (stored - offset)
  int32_t offset = 0;
  bool partial = false;  // an input of which a run may give less: a smaller first dim

  // Bytes of the tensor; 0 when dims are not valid (readers check them once with checked_bytes).
  QAICKIT_API size_t bytes() const noexcept;
};

// Names of the specs, quoted and separated by commas, for error messages.
QAICKIT_API std::string names_of(std::span<const TensorSpec> specs);

}  // namespace qaickit
