#include "container/message_io.h"

#include <google/protobuf/message_lite.h>

#include "base/cat.h"
#include "container/qpc_format.h"

namespace qaickit {

Result<std::vector<std::byte>> serialize_message(const google::protobuf::MessageLite& message,
                                                 std::string_view segment) {
  const size_t size = message.ByteSizeLong();
  if (size > kMaxMessageBytes) {
    return Status(Code::kInvalidArgument, cat(segment, " would have ", size, " bytes, at most ",
                                              kMaxMessageBytes, " are possible"));
  }
  std::vector<std::byte> bytes(size);
  if (!message.SerializeToArray(bytes.data(), static_cast<int>(size))) {
    return Status(Code::kInternal, cat(segment, " could not be written"));
  }
  return bytes;
}

Status parse_message(Bytes bytes, std::string_view segment,
                     google::protobuf::MessageLite* message) {
  if (bytes.size() > kMaxMessageBytes) {
    return Status(Code::kDataLoss, cat(segment, ": has ", bytes.size(), " bytes, at most ",
                                       kMaxMessageBytes, " are possible"));
  }
  if (!message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Status(Code::kDataLoss, cat(segment, ": its ", bytes.size(),
                                       " bytes are no protobuf message of its kind"));
  }
  return {};
}

}  // namespace qaickit
