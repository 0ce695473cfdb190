#pragma once

#include <array>
#include <string_view>

#include "container/network_desc.pb.h"

namespace qaickit {

// A stage of the way between the user's buffers and the device's: the io set named after it holds
// the buffers as they are on the device's side of it.
struct IoStage {
  std::string_view name;
  aicnwdesc::transformKind of_input;
  aicnwdesc::transformKind of_output;
};

// In the order of the sets.
inline constexpr std::array<IoStage, 5> kIoStages{{
    {"quantize", aicnwdesc::QuantizeTransform, aicnwdesc::DequantizeTransform},
    {"transpose", aicnwdesc::TransposeTransform, aicnwdesc::TransposeTransform},
    {"d32convert", aicnwdesc::ConvertToD32Transform, aicnwdesc::ConvertFromD32Transform},
    {"convert", aicnwdesc::ConvertTransform, aicnwdesc::ConvertTransform},
    {"dma", aicnwdesc::CopyDMABufferTransform, aicnwdesc::CopyDMABufferTransform},
}};

// Place of the first step of that kind in the binding's sequence; -1: none.
inline int find_step(const aicnwdesc::IOBinding& binding, aicnwdesc::transformKind kind) {
  for (int i = 0; i < binding.transformseq_size(); ++i) {
    if (binding.transformseq(i).kind() == kind) return i;
  }
  return -1;
}

}  // namespace qaickit
