#include <array>

#include "base/cat.h"
#include "device/cuda/cuda_backend.h"
#include "device/cuda/cuda_exec_obj.h"
#include "device/cuda/cuda_libraries.h"
#include "device/cuda/cuda_pin.h"
#include "device/cuda/cuda_session.h"

namespace qaickit {
namespace cuda {
namespace {

constexpr std::string_view kProviderName = "CUDAExecutionProvider";
constexpr const char* kWheelAdvice =
    "uninstall onnxruntime, then: pip install onnxruntime-gpu[cuda,cudnn]; or name a library that "
    "has it in QAICKIT_ONNXRUNTIME_LIB";

// What was opened, and where the CUDA provider lies ("" where there is no file to be seen).
struct Libraries {
  const ort::Api* ort;
  const Api* cuda;
  std::string provider;
};

Status check_provider(const ort::Api& api) {
  char** names = nullptr;
  int count = 0;
  ORT_RETURN_IF_ERROR(api, api.GetAvailableProviders(&names, &count), "GetAvailableProviders");
  bool found = false;
  for (int i = 0; i < count; ++i) found |= names[i] == kProviderName;
  ORT_RETURN_IF_ERROR(api, api.ReleaseAvailableProviders(names, count), "providers");
  const std::string library = cat(api.path, " (ONNX Runtime ", api.version, ")");
  if (!found) {
    return Status(Code::kUnavailable, cat(library, " has no CUDA provider; ", kWheelAdvice));
  }
  if (api.SessionGetMemoryInfoForInputs) return {};
  return Status(Code::kUnavailable,
                cat(library,
                    " does not tell where it uses inputs; the cuda device needs 1.23 or "
                    "later: pip install -U onnxruntime-gpu[cuda,cudnn]"));
}

Result<Libraries> open_libraries() {
  QAICKIT_ASSIGN_OR_RETURN(const ort::Api* ort, ort::load_api());
  QAICKIT_RETURN_IF_ERROR(check_provider(*ort));
  std::string provider = find_provider(ort->path);
  QAICKIT_ASSIGN_OR_RETURN(const Api* cuda, load_api(provider));
  return Libraries{ort, cuda, std::move(provider)};
}

Result<int> count_gpus(const Api& api) {
  int count = 0;
  const int error = api.cudaGetDeviceCount(&count);
  (void)api.cudaGetLastError();
  if (error == kSuccess && count > 0) return count;
  const std::string what =
      error == kSuccess ? "there is no GPU" : cat("cudaGetDeviceCount: ", error_text(api, error));
  return Status(
      Code::kUnavailable,
      cat(what, " (driver for CUDA ", version_text(api.driver_version), " at ", api.driver_path,
          ", runtime CUDA ", version_text(api.runtime_version), " at ", api.runtime_path,
          "); look at nvidia-smi, and at CUDA_VISIBLE_DEVICES if that is set"));
}

std::string gpu_name(const Api& api, int id) {
  std::array<char, 256> name{};
  int device = 0;
  size_t bytes = 0;
  if (api.cuInit(0) != kSuccess || api.cuDeviceGet(&device, id) != kSuccess ||
      api.cuDeviceGetName(name.data(), name.size() - 1, device) != kSuccess ||
      api.cuDeviceTotalMem_v2(&bytes, device) != kSuccess) {
    return "NVIDIA GPU";
  }
  return cat(name.data(), ", ", bytes >> 20, " MiB");
}

DeviceInfo describe(const Libraries& libraries, int id) {
  return {
      "cuda", id,
      cat(gpu_name(*libraries.cuda, id), ", CUDA ", version_text(libraries.cuda->runtime_version),
          ", ONNX Runtime ", libraries.ort->version)};
}

std::string details_of(const Api& api, int id) {
  int major = 0;
  int minor = 0;
  std::array<char, 32> bus{};
  (void)api.cudaDeviceGetAttribute(&major, kComputeCapabilityMajor, id);
  (void)api.cudaDeviceGetAttribute(&minor, kComputeCapabilityMinor, id);
  (void)api.cudaDeviceGetPCIBusId(bus.data(), bus.size(), id);
  return cat(gpu_name(api, id), ", compute capability ", major, ".", minor, ", PCI ", bus.data());
}

class CudaActivation final : public Activation {
 public:
  explicit CudaActivation(std::shared_ptr<Lane> lane) : lane_(std::move(lane)) {}
  Result<std::unique_ptr<ExecObj>> create_exec_obj() override {
    return cuda::create_exec_obj(lane_);
  }

 private:
  const std::shared_ptr<Lane> lane_;
};

class CudaProgram final : public Program {
 public:
  CudaProgram(std::shared_ptr<Lane> lane, const Settings& settings, DeviceInfo info)
      : lane_(std::move(lane)), settings_(settings), info_(std::move(info)) {
    // What was left to what is possible is told, wherever the device is.
    info_.name += lane_->state().loaded.graphs ? ", CUDA graphs" : ", no CUDA graphs";
  }
  Result<std::unique_ptr<Activation>> activate() override {
    return std::unique_ptr<Activation>(new CudaActivation(lane_));
  }
  std::string precision() const override {
    const LaneState& lane = lane_->state();
    return precision_of(*lane.loaded.qpc, settings_.tf32 && lane.gpu->has_tf32(),
                        settings_.tensorrt);
  }
  Result<std::shared_ptr<void>> pin(std::span<std::byte> memory) override {
    return pin_memory(lane_->state().gpu, memory);
  }
  bool async() const noexcept override { return true; }
  const DeviceInfo* info() const noexcept override { return &info_; }

 private:
  const std::shared_ptr<Lane> lane_;
  const Settings settings_;
  DeviceInfo info_;
};

class CudaDevice final : public Device {
 public:
  CudaDevice(std::shared_ptr<Gpu> gpu, DeviceInfo info)
      : gpu_(std::move(gpu)), info_(std::move(info)) {}
  const DeviceInfo& info() const noexcept override { return info_; }

  Result<std::shared_ptr<Program>> load(std::shared_ptr<const Qpc> qpc,
                                        const ProgramOptions& options) override {
    QAICKIT_ASSIGN_OR_RETURN(const Settings settings, read_settings(options.settings));
    const bool graphs = settings.graphs != Graphs::kNever;
    auto lane = make_lane(qpc, options, settings, graphs);
    // Whether a program can be captured, only trying tells. What no capture is to blame for fails
    // again, with its own words.
    if (lane.status().code() == Code::kDeviceError && settings.graphs == Graphs::kWherePossible &&
        !gpu_->lost()) {
      lane = make_lane(qpc, options, settings, false);
    }
    if (!lane.ok()) return lane.status();
    return std::shared_ptr<Program>(
        std::make_shared<CudaProgram>(std::move(lane).value(), settings, info_));
  }

 private:
  // With its first slot made and warmed up, which the first ExecObj takes.
  Result<std::shared_ptr<Lane>> make_lane(const std::shared_ptr<const Qpc>& qpc,
                                          const ProgramOptions& options, const Settings& settings,
                                          bool graphs) const {
    auto state = std::make_shared<LaneState>(gpu_);
    {
      const CurrentGpu current(*gpu_);
      QAICKIT_ASSIGN_OR_RETURN(const auto setup, lock_setup());
      QAICKIT_RETURN_IF_ERROR(state->make_streams());
      QAICKIT_ASSIGN_OR_RETURN(state->loaded,
                               load_session(*gpu_, state->compute, qpc, options, settings, graphs));
    }
    auto lane = std::make_shared<Lane>(std::move(state));
    const size_t set = qpc->program().default_shape_set();
    QAICKIT_ASSIGN_OR_RETURN(Slot * slot, lane->acquire(set));
    lane->give_back(*slot);
    return lane;
  }

  const std::shared_ptr<Gpu> gpu_;
  const DeviceInfo info_;
};

}  // namespace
}  // namespace cuda

Result<std::vector<DeviceInfo>> enumerate_cuda() {
  QAICKIT_ASSIGN_OR_RETURN(const cuda::Libraries libraries, cuda::open_libraries());
  QAICKIT_ASSIGN_OR_RETURN(const int count, cuda::count_gpus(*libraries.cuda));
  QAICKIT_RETURN_IF_ERROR(cuda::load_libraries(libraries.provider));
  std::vector<DeviceInfo> infos;
  for (int id = 0; id < count; ++id) infos.push_back(cuda::describe(libraries, id));
  return infos;
}

Result<std::shared_ptr<Device>> create_cuda(int id) {
  QAICKIT_ASSIGN_OR_RETURN(const cuda::Libraries libraries, cuda::open_libraries());
  QAICKIT_ASSIGN_OR_RETURN(const int count, cuda::count_gpus(*libraries.cuda));
  if (id < 0 || id >= count) {
    return Status(Code::kNotFound,
                  cat("cuda device ", id, " does not exist; there are 0 to ", count - 1));
  }
  QAICKIT_RETURN_IF_ERROR(cuda::load_libraries(libraries.provider));
  auto gpu = std::make_shared<cuda::Gpu>(*libraries.ort, *libraries.cuda, id);
  return std::shared_ptr<Device>(
      std::make_shared<cuda::CudaDevice>(std::move(gpu), cuda::describe(libraries, id)));
}

std::vector<std::pair<std::string, std::string>> cuda_details() {
  const auto ort = ort::load_api();
  if (!ort.ok()) return {};
  const std::string provider = cuda::find_provider((*ort)->path);
  std::vector<std::pair<std::string, std::string>> details;
  if (!provider.empty()) details.emplace_back("provider", provider);
  for (auto& row : cuda::library_details(provider)) details.push_back(std::move(row));
  const auto loaded = cuda::load_api(provider);
  if (!loaded.ok()) {
    details.emplace_back("driver, runtime", std::string(loaded.status().message()));
    return details;
  }
  const cuda::Api& api = *loaded.value();
  details.emplace_back("driver",
                       cat("CUDA ", cuda::version_text(api.driver_version), ", ", api.driver_path));
  details.emplace_back(
      "runtime", cat("CUDA ", cuda::version_text(api.runtime_version), ", ", api.runtime_path));
  const auto count = cuda::count_gpus(api);
  for (int id = 0; count.ok() && id < count.value(); ++id) {
    details.emplace_back(cat("device ", id), cuda::details_of(api, id));
  }
  return details;
}

}  // namespace qaickit
