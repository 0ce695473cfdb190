#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "container/byte_range.h"
#include "qaickit/qpc.h"
#include "qaickit/status.h"

namespace aicapi {
class IoDesc;
class IoSet;
}  // namespace aicapi

namespace qaickit {

// networkdesc.bin -> aicapi.IoDesc, as the vendor's runtime derives it: a set of bindings for the
// user's buffers ("default", which is selected) and one for each stage of the way to the device's
// that some binding goes through ("quantize", "transpose", "d32convert", "convert", "dma").
// A binding that lacks a set's stage is in it as in "default", with is_valid false.
// Errors: kDataLoss, naming the tensor.
Status derive_io_desc(Bytes network_desc, aicapi::IoDesc* io_desc);
// The same, serialised.
Result<std::vector<std::byte>> encode_io_desc(Bytes network_desc);

// The io set that `name` means: the one of that name, else the first whose name contains it (as
// public programs look for it). Null: none.
const aicapi::IoSet* find_io_set(const aicapi::IoDesc& io_desc, std::string_view name);
// "default, convert, dma"
std::string io_set_names(const aicapi::IoDesc& io_desc);
// The program with types, dims and quantisation of its inputs and outputs as they are in the set.
// Errors: kDataLoss.
Result<ProgramSpec> program_at(ProgramSpec program, const aicapi::IoSet& set);

// A row of the vendor's buffer mappings: the user's buffers, inputs first.
struct BufferMapping {
  std::string name;
  bool is_input = true;
  uint32_t size = 0;
  bool is_partial_allowed = false;
  uint32_t data_type = 0;  // an output's is that of io_initial, though its size is io_transformed's
};
// Errors: as derive_io_desc.
Result<std::vector<BufferMapping>> derive_buffer_mappings(Bytes network_desc);

}  // namespace qaickit
