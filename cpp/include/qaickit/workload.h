#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "qaickit/batch.h"
#include "qaickit/export.h"
#include "qaickit/qpc.h"

namespace qaickit {

// One answer. `data` is valid until respond() returns.
struct Response {
  uint64_t id;
  const void* data;
  size_t bytes;
};

// Where answers go. Called from several threads, for different slots at once; must not block.
class ResponseSink {
 public:
  // Before anything else: scratch for `slots` calls of up to `max_batch` responses at once.
  virtual Status prepare(uint32_t slots, uint32_t max_batch) = 0;
  // The answers of one batch.
  virtual void respond(uint32_t slot, std::span<const Response> responses) noexcept = 0;
  virtual void fail(std::span<const Sample> samples, const Status& why) noexcept = 0;

 protected:
  ~ResponseSink() = default;
};

// All samples of a data set for one input: `count` of them, `sample_bytes` each, contiguous.
struct SampleArray {
  const void* data;
  size_t bytes;
};

// Gets loaded samples ready to be bound (Session::pin); they outlive what it returns. Null: they
// are used as they are.
using PinMemory = std::function<std::shared_ptr<void>(std::span<std::byte> memory)>;

// Turns sample indices into inputs and outputs into responses. Built in: "classification" (the
// response is the index of the largest element of output 0, as float32) and "raw" (the response
// is the sample's rows of all outputs, one after the other).
class QAICKIT_API Workload : public BatchHandler {
 public:
  // `arrays`: one for each input of the program, all with the same number of samples; borrowed
  // until the workload dies. Errors: kInvalidArgument when the program does not suit the workload.
  static Result<std::unique_ptr<Workload>> create(std::string_view kind, const ProgramSpec& program,
                                                  std::vector<SampleArray> arrays,
                                                  ResponseSink& sink);
  // Names of the kinds, for messages and command lines.
  static std::span<const std::string_view> kinds() noexcept;

  virtual uint64_t total_samples() const noexcept = 0;
  // For the loads to come.
  virtual void pin_with(PinMemory pin) = 0;
  // Copies these samples into aligned memory, in this order. Not while samples are in flight.
  virtual Status load(std::span<const uint64_t> indices) = 0;
  virtual void unload(std::span<const uint64_t> indices) noexcept = 0;
};

}  // namespace qaickit
