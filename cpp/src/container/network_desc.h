#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "container/byte_range.h"
#include "qaickit/qpc.h"

// networkdesc.bin <-> ProgramSpec.
namespace qaickit {

// What a reader of networkdesc.bin alone sees of a host dtype: bool comes back as int8, the other
// ones as they are. Nothing for a dtype that the descriptor has no type for.
std::optional<DType> vendor_dtype(DType dtype) noexcept;

// What a data type of the descriptor (its number, which IoDesc shares) is on a host.
std::optional<DType> dtype_of_vendor_type(int type) noexcept;

// Errors: kInvalidArgument, naming the tensor and what would be possible.
Result<std::vector<std::byte>> encode_network_desc(const ProgramSpec& program);

// The vendor's runtime sizes a buffer by its non-zero dims, so a zero dim read as "no elements"
// would disagree with a card; only files of ours use it in that sense.
enum class ZeroDims { kRefuse, kAllow };

// Inputs come from io_initial, outputs from io_transformed. Types are vendor_dtype()s. A batch size
// of 0 (not set) is read as 1, a scale of 0 (not set) as 1. Errors: kDataLoss.
Result<ProgramSpec> decode_network_desc(Bytes segment, ZeroDims zero_dims);

}  // namespace qaickit
