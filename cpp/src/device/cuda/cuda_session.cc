#include "device/cuda/cuda_session.h"

#include <algorithm>
#include <vector>

#include "base/cat.h"
#include "device/cuda/cuda_providers.h"
#include "device/ort/tensor_places.h"
#include "device/settings.h"

namespace qaickit::cuda {
namespace {

constexpr double kMostBytes = 0x1p53;  // a double counts to here

}  // namespace

Result<Settings> read_settings(const DeviceSettings& settings) {
  SettingsReader reader(settings);
  Settings s;
  const std::string provider = reader.text("provider", "cuda");
  const std::string graphs = reader.text("cuda_graph", "auto");
  s.tf32 = reader.flag("tf32", true);
  s.gpu_mem_limit = static_cast<uint64_t>(reader.number("gpu_mem_limit", 0, 0, kMostBytes));
  s.engine_cache = reader.text("engine_cache", "");
  QAICKIT_RETURN_IF_ERROR(reader.finish());
  s.tensorrt = provider == "tensorrt";
  if (!s.tensorrt && provider != "cuda") {
    return Status(Code::kInvalidArgument,
                  cat("device setting provider: expected cuda or tensorrt, got '", provider, "'"));
  }
  if (graphs != "auto" && graphs != "0" && graphs != "1") {
    return Status(Code::kInvalidArgument,
                  cat("device setting cuda_graph: expected auto, 0 or 1, got '", graphs, "'"));
  }
  s.graphs = graphs == "auto" ? Graphs::kWherePossible
             : graphs == "1"  ? Graphs::kAlways
                              : Graphs::kNever;
  if (s.tensorrt && s.graphs == Graphs::kAlways) {
    return Status(Code::kInvalidArgument,
                  "device setting cuda_graph: not with provider=tensorrt, which would replay one "
                  "ExecObj's graph for another; leave it out");
  }
  if (s.tensorrt) s.graphs = Graphs::kNever;
  if (!s.tensorrt && !s.engine_cache.empty()) {
    return Status(
        Code::kInvalidArgument,
        "device setting engine_cache: only TensorRT has engines to keep; leave it out, or "
        "set provider=tensorrt");
  }
  if (s.tensorrt && !s.tf32) {
    return Status(Code::kInvalidArgument,
                  "device setting tf32: ONNX Runtime cannot forbid TensorRT to use it; set "
                  "NVIDIA_TF32_OVERRIDE=0 in the environment instead");
  }
  return s;
}

Result<Loaded> load_session(Gpu& gpu, CudaStream stream, std::shared_ptr<const Qpc> qpc,
                            const ProgramOptions& options, const Settings& settings, bool graphs) {
  QAICKIT_ASSIGN_OR_RETURN(const auto fp32, ort::graph_of(*qpc, kModelSegment));
  const auto fp16 = qpc->find(kFp16ModelSegment);
  // Threads for what the providers leave to the CPU; they wait for the GPU most of the time.
  QAICKIT_ASSIGN_OR_RETURN(auto ort_options,
                           ort::make_options(gpu.ort, options.threads_per_activation, false));
  const std::string policy = qpc->manifest()->precision;
  // Types of the graph in fp16 are for TensorRT to take as well, whatever the policy.
  const ProviderWishes wishes{stream, graphs, fp16 || policy == "fp16", policy == "int8"};
  if (settings.tensorrt) {
    QAICKIT_RETURN_IF_ERROR(
        gpu.failure(add_tensorrt(gpu, settings, wishes, *qpc, ort_options.get())));
  }
  QAICKIT_RETURN_IF_ERROR(gpu.failure(add_cuda(gpu, settings, wishes, ort_options.get())));
  if (!settings.tensorrt) {
    // The CUDA provider computes a QDQ graph in floating point anyway, and dequantises no int32:
    // without this, biases would be dequantised on the CPU in each run, which also forbids graphs.
    // With it, weights and biases are dequantised once, when the session is made.
    ORT_RETURN_IF_ERROR(
        gpu.ort, gpu.ort.AddSessionConfigEntry(ort_options.get(), "session.disable_quant_qdq", "1"),
        "QDQ graphs");
  }
  if (graphs && settings.graphs == Graphs::kWherePossible) {
    // What cannot be captured is no error then, but it would be logged as one.
    ORT_RETURN_IF_ERROR(gpu.ort,
                        gpu.ort.SetSessionLogSeverityLevel(ort_options.get(), ort::kLogFatal),
                        "log level");
  }
  Loaded loaded;
  loaded.qpc = qpc;
  loaded.graphs = graphs;
  ort::OrtMemoryInfo* memory = nullptr;
  ORT_RETURN_IF_ERROR(gpu.ort,
                      gpu.ort.CreateMemoryInfo("Cuda", ort::kDeviceAllocator, gpu.id,
                                               ort::kMemTypeDefault, &memory),
                      "memory info");
  loaded.device_memory = {memory, {gpu.ort.ReleaseMemoryInfo}};
  auto session = ort::make_session(gpu.ort, *qpc, fp16 ? *fp16 : fp32, std::move(ort_options));
  if (!session.ok()) return gpu.failure(session.status());
  loaded.session = std::move(session).value();
  const ProgramSpec& program = qpc->program();
  QAICKIT_ASSIGN_OR_RETURN(loaded.host_memory, ort::cpu_memory(gpu.ort));
  QAICKIT_ASSIGN_OR_RETURN(loaded.on_host,
                           ort::tensors_on_host(gpu.ort, loaded.session.get(), program));
  if (const auto t = std::ranges::find(loaded.on_host, char{true});
      graphs && t != loaded.on_host.end()) {
    return Status(Code::kDeviceError,
                  cat(gpu.name(), ": no CUDA graph, since a node on the CPU uses '",
                      program.tensor(t - loaded.on_host.begin()).name,
                      "', at which a replay would not look again; leave out cuda_graph=1"));
  }
  return loaded;
}

std::string precision_of(const Qpc& qpc, bool tf32, bool tensorrt) {
  const HostManifest manifest = *qpc.manifest();
  const bool has_fp16 = qpc.find(kFp16ModelSegment).has_value();
  const std::string fp32 = tf32 ? "fp32 (TF32)" : "fp32";
  if (manifest.precision == "int8") {
    // The CUDA provider has no kernels for quantised convolutions and products of QDQ graphs: it
    // runs their DequantizeLinear nodes and computes in float. TensorRT takes QDQ as int8.
    const std::string integers = tensorrt ? "int8" : cat("int8 computed in ", fp32);
    return has_fp16 ? cat(integers, ", other nodes in fp16") : integers;
  }
  if (manifest.precision == "fp16") {
    // Without a graph in fp16 beside it, the model's own is in fp16, or none of its nodes can be.
    const bool converted = manifest.options.contains("convert_to_fp16");
    return has_fp16 || !converted ? "fp16" : fp32;
  }
  return has_fp16 ? cat(fp32, ", some nodes in fp16") : fp32;
}

}  // namespace qaickit::cuda
