#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

// The real ONNX Runtime's table.
namespace fakeort {

struct OrtStatus;
struct OrtEnv;
struct OrtSession;
struct OrtSessionOptions;
struct OrtRunOptions;
struct OrtValue;
struct OrtMemoryInfo;
struct OrtIoBinding;
struct OrtAllocator;

// Entries of the table of API version 23, which is all that is given on.
constexpr size_t kSlots = 390;
constexpr uint32_t kApiVersion = 23;
using Slot = const void*;

enum ErrorCode : int { kFail = 1, kInvalidArgument = 2, kRuntimeException = 6, kEpFail = 11 };

struct RealApi {
#define FAKEORT_REAL(slot, name, result, arguments) result(*name) arguments = nullptr;
#include "onnxruntime/real_functions.inc"
#undef FAKEORT_REAL
  Slot table[kSlots] = {};
  std::string version;
};

// Opens it at the first call; the process ends with a message where that is not possible.
const RealApi& real();

OrtStatus* error(ErrorCode code, const std::string& message);

}  // namespace fakeort
