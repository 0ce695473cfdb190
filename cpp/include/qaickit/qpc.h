#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "qaickit/export.h"
#include "qaickit/status.h"
#include "qaickit/tensor.h"

// The QPC, one artefact for every device: the vendor's container with the vendor's segments (the
// card half) and, in files compiled here, segments of our own (the host half): the ONNX graph,
// where fp16 was asked for the same graph in fp16, the weights of both and a manifest with digests.
namespace qaickit {

// Names of segments.
inline constexpr std::string_view kNetworkDescSegment = "networkdesc.bin";
inline constexpr std::string_view kNetworkElfSegment = "network.elf";
inline constexpr std::string_view kConstantsDescSegment = "constantsdesc.bin";
inline constexpr std::string_view kConstantsSegment = "constants.bin";
inline constexpr std::string_view kModelSegment = "qaickit.model.onnx";
inline constexpr std::string_view kFp16ModelSegment = "qaickit.model.fp16.onnx";
inline constexpr std::string_view kWeightsSegment = "qaickit.weights.bin";
inline constexpr std::string_view kManifestSegment = "qaickit.manifest.bin";

// One legal combination of shapes: the dims of each input, then of each output, in binding order.
using ShapeSet = std::vector<std::vector<int64_t>>;

// What a program is called and what goes in and out. Names and texts here are UTF-8.
struct ProgramSpec {
  std::string name;
  std::vector<TensorSpec> inputs;   // in binding order
  std::vector<TensorSpec> outputs;  // in binding order
  uint32_t num_cores = 1;           // NSP cores on a card
  int32_t batch_size = 1;           // first dim shared by all inputs and outputs, else 1
  // Empty: a run has the dims of `inputs` and `outputs`. Else it has those of one of these, none
  // of which is larger in bytes than the tensor above.
  std::vector<ShapeSet> allowed_shapes = {};

  // At least 1: without allowed_shapes there is one set, the dims of `inputs` and `outputs`.
  size_t num_shape_sets() const noexcept {
    return allowed_shapes.empty() ? 1 : allowed_shapes.size();
  }
  // Of tensor t (inputs, then outputs) in a set. Requires both to exist.
  QAICKIT_API std::span<const int64_t> dims(size_t set, size_t t) const noexcept;
  QAICKIT_API size_t bytes(size_t set, size_t t) const noexcept;
  // What an ExecObj starts with: the set that has every tensor's own dims, else the first.
  QAICKIT_API size_t default_shape_set() const noexcept;

  const TensorSpec& tensor(size_t t) const noexcept {
    return t < inputs.size() ? inputs[t] : outputs[t - inputs.size()];
  }
  size_t num_tensors() const noexcept { return inputs.size() + outputs.size(); }
};

// The shapes of one run.
struct RunShape {
  static constexpr size_t kBySize = SIZE_MAX;
  size_t set = kBySize;  // of allowed_shapes; kBySize: the first one that the buffers fit
  // Partial batch: samples that partial inputs hold, and outputs of the same first dim. 0: all.
  int64_t rows = 0;
};

// Finds the set that inputs of these dims fit, or the one of whose batch they are a part.
// Error kInvalidArgument: "No matching dimension found", with what came and what is allowed.
QAICKIT_API Result<RunShape> match_shapes(const ProgramSpec& program,
                                          std::span<const std::span<const int64_t>> input_dims);
// Dims and bytes of tensor t in such a run. Requires a set that exists.
QAICKIT_API size_t run_bytes(const ProgramSpec& program, const RunShape& shape, size_t t) noexcept;
QAICKIT_API std::vector<int64_t> run_dims(const ProgramSpec& program, const RunShape& shape,
                                          size_t t);

// An output that is state: "X_RetainedState" (or "X_InternalRetainedState") is what input X of the
// next run starts from. Both as tensors of the program, inputs first.
struct RetainedPair {
  size_t input;
  size_t output;
};
// Of all outputs that are named so and have their input's size.
QAICKIT_API std::vector<RetainedPair> retained_pairs(const ProgramSpec& program);

// The manifest of the host half.
struct HostManifest {
  uint32_t format_version = 1;
  std::string producer;                        // "qaickit 0.1.0"
  std::string precision;                       // policy asked for: "fp32", "fp16", "int8"
  std::map<std::string, std::string> options;  // compile options used
  bool random_weights = false;                 // speed only: answers mean nothing
  // First output of a node -> "fp16", "fp32" or "original" (not quantised), where it is not to
  // follow `precision`.
  std::map<std::string, std::string> node_precision;
  std::map<std::string, std::string> calibration;  // method, samples, ...; empty: none
};

struct SegmentView {
  std::string_view name;
  std::span<const std::byte> data;
  uint64_t offset = 0;  // constants.bin only: bytes of its static part, which comes first
};

// When a host half's weights are checked: by Qpc::open() itself, or, where they are so large that
// it takes time, by whoever uses them.
enum class WeightsCheck { kNow, kLater };

// An opened QPC. Immutable, so it may be read from any thread; views stay valid as long as it
// lives.
class QAICKIT_API Qpc {
 public:
  // Maps and checks the file: structure, bounds, the network descriptor, and for a host half every
  // digest, or the CRCs of the weights (so the whole file is read once). Do not change an open file
  // in place; replacing it by rename, as write_qpc does, is safe. Errors:
  //   kNotFound, kPermissionDenied
  //   kInvalidArgument  the path is a directory or no regular file
  //   kDataLoss         damaged, incomplete or no QPC; says what is wrong and where
  //   kUnsupported      a host half written by a newer qaickit
  //   kResourceExhausted  no memory or file handles left
  // With kLater, check_weights() must be right before anything computed from the weights is used.
  // Session::open and rt::Program::create see to that; whatever reads the file in other ways calls
  // it.
  static Result<std::shared_ptr<const Qpc>> open(const std::string& path,
                                                 WeightsCheck check = WeightsCheck::kNow);
  // The same for a file image in memory; takes the bytes over.
  static Result<std::shared_ptr<const Qpc>> from_bytes(std::vector<std::byte> bytes,
                                                       std::string label);

  virtual ~Qpc() = default;
  virtual const std::string& label() const noexcept = 0;  // path, for messages
  virtual const ProgramSpec& program() const noexcept = 0;
  virtual std::span<const SegmentView> segments() const noexcept = 0;
  virtual std::optional<HostManifest> manifest() const = 0;  // none: no host half
  // Checks every digest of a host half, those of the weights too, which takes a second for each
  // 2 GB. Error kDataLoss, naming the segment.
  virtual Status verify() const = 0;
  // Checks the CRCs of the weights, unless that is done and they were right; 6 GB take a second.
  // Error kDataLoss, as open() has it.
  virtual Status check_weights() const = 0;
  // True when check_weights() has nothing left to do.
  virtual bool weights_checked() const noexcept = 0;
  virtual size_t file_bytes() const noexcept = 0;
  virtual std::span<const std::byte> image() const noexcept = 0;  // the whole file

  // The payload of the first segment of that name, the one that the vendor's reader takes too.
  std::optional<std::span<const std::byte>> find(std::string_view name) const noexcept;
  bool has_host_half() const noexcept { return find(kModelSegment).has_value(); }
  // True when network.elf is more than the placeholder that a host-only compile writes.
  bool has_card_half() const noexcept;
};

// What goes into a new QPC. networkdesc.bin and the manifest are made from the fields; where the
// vendor's segments are not given, constantsdesc.bin and a placeholder network.elf are written.
// An `extra` networkdesc.bin (of the vendor's compiler) is written as it is: its bindings must then
// be those of `program` (names, dims, dtypes), and name, cores, batch, order and allowed shapes are
// its own.
struct QpcContent {
  ProgramSpec program;
  HostManifest manifest;
  std::span<const std::byte> onnx_model;  // borrowed during the call
  // Borrowed during the call. Not empty: the graph for devices that compute in fp16, with the
  // inputs, outputs and weights of `onnx_model`. Becomes kFp16ModelSegment.
  std::span<const std::byte> fp16_model;
  // Borrowed during the call. Becomes kWeightsSegment, in which each starts at the next multiple of
  // 64 bytes; initializers of the graphs refer to it as ONNX's external data of that name. Weights
  // that lie there are mapped from the file when it is opened; those in the graph are copied.
  std::vector<std::span<const std::byte>> weights;
  std::vector<SegmentView> extra;  // borrowed; further segments, by name
  bool host_half = true;           // false: no model, no manifest (both are then not used)
};

// Writes through a temporary file beside it, fsync and a rename, so `path` is either whole or
// untouched. Errors: kInvalidArgument (a dtype a QPC cannot hold, a name twice), kNotFound (no such
// directory), kPermissionDenied, kResourceExhausted (disk full), kInternal.
QAICKIT_API Status write_qpc(const std::string& path, const QpcContent& content);
// The same bytes in memory.
QAICKIT_API Result<std::vector<std::byte>> build_qpc(const QpcContent& content);

}  // namespace qaickit
