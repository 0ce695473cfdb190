#include "device/cuda/cuda_pin.h"

#include "device/cuda/cuda_lane.h"

namespace qaickit::cuda {
namespace {

class Pin {
 public:
  Pin(std::shared_ptr<Gpu> gpu, void* memory) : gpu_(std::move(gpu)), memory_(memory) {}
  ~Pin() {
    const CurrentGpu current(*gpu_);
    const auto lock = lock_setup();
    (void)gpu_->cuda.cudaHostUnregister(memory_);
  }
  Pin(const Pin&) = delete;
  Pin& operator=(const Pin&) = delete;

 private:
  const std::shared_ptr<Gpu> gpu_;
  void* const memory_;
};

}  // namespace

Result<std::shared_ptr<void>> pin_memory(std::shared_ptr<Gpu> gpu, std::span<std::byte> memory) {
  if (memory.empty()) return std::shared_ptr<void>();
  const CurrentGpu current(*gpu);
  QAICKIT_ASSIGN_OR_RETURN(const auto lock, lock_setup());
  const int error = gpu->cuda.cudaHostRegister(memory.data(), memory.size(), kHostRegisterPortable);
  if (error == kErrorHostMemoryAlreadyRegistered) {
    (void)gpu->cuda.cudaGetLastError();
    return std::shared_ptr<void>();
  }
  QAICKIT_RETURN_IF_ERROR(gpu->check(error, "cudaHostRegister", memory.size()));
  return std::shared_ptr<void>(std::make_shared<Pin>(std::move(gpu), memory.data()));
}

}  // namespace qaickit::cuda
