#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "container/byte_range.h"
#include "qaickit/status.h"

namespace google::protobuf {
class MessageLite;
}

namespace qaickit {

// Protobuf messages as segments, of at most kMaxMessageBytes; `segment` is the name for errors.

// Errors: kInvalidArgument when the message is too large.
Result<std::vector<std::byte>> serialize_message(const google::protobuf::MessageLite& message,
                                                 std::string_view segment);

// Errors: kDataLoss.
Status parse_message(Bytes bytes, std::string_view segment, google::protobuf::MessageLite* message);

}  // namespace qaickit
