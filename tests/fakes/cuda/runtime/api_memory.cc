// Memory, and the operations on it.

#include <cstdlib>
#include <cstring>
#include <string>

#include "runtime/api.h"
#include "runtime/sanitizer.h"

using namespace fakecuda;

namespace {

// Where one end of a copy lies.
struct End {
  BlockRef block;  // null: pageable host memory
  std::byte* contents = nullptr;
  bool device = false;
  bool outside = false;  // of the block that it begins in
};

End end_of(const void* address, size_t bytes) {
  const MemoryMap& memory = Machine::get().memory;
  End end;
  end.contents = memory.contents(address, bytes, &end.block);
  if (!end.contents) {
    const BlockRef begins_in = memory.around(address);
    end.outside = begins_in != nullptr;
    end.contents = static_cast<std::byte*>(const_cast<void*>(address));
  }
  end.device = end.block && end.block->device != kHost;
  return end;
}

bool fits(int kind, const End& to, const End& from) {
  switch (kind) {
    case cudaMemcpyHostToHost: return !to.device && !from.device;
    case cudaMemcpyHostToDevice: return to.device && !from.device;
    case cudaMemcpyDeviceToHost: return !to.device && from.device;
    case cudaMemcpyDeviceToDevice: return to.device && from.device;
    default: return kind == cudaMemcpyDefault;
  }
}

bool out_of_memory(Device& device, size_t bytes) {
  const Machine& machine = Machine::get();
  const uint64_t nth = device.fault_allocations.add();
  const FaultPlan faults = machine.faults();
  if (faults.hits(device.id) && (nth == faults.oom_at || faults.draw(faults.oom, 1, nth) ||
                                 (faults.oom_above && bytes > faults.oom_above))) {
    return true;
  }
  return bytes > machine.config.memory - device.live_bytes.get();
}

int refuse(const char* misuse, int error) {
  Machine::get().misuse(misuse);
  return fail(error);
}

// Ends the page-locking of memory. Nothing is said of that waiting for copies, so a program must
// have.
int release_pinned(const Block& block, const char* call) {
  Machine& machine = Machine::get();
  if (const int error = check_capture()) return error;
  if (block.uses.get() > 0) {
    machine.misuse(std::string(call) + " of memory that a copy under way uses");
  }
  machine.memory.take(block.address);
  machine.live_pinned.sub();
  return fail(machine.devices[static_cast<size_t>(thread().device)]->status());
}

}  // namespace

FAKE_CUDA_EXPORT int cudaMemGetInfo(size_t* free_bytes, size_t* total) {
  Device* device = nullptr;
  if (const int error = use_device(&device)) return error;
  *total = Machine::get().config.memory;
  *free_bytes = *total - device->live_bytes.get();
  return 0;
}

FAKE_CUDA_EXPORT int cudaMalloc(void** memory, size_t bytes) {
  Device* device = nullptr;
  if (const int error = use_device(&device)) return error;
  if (const int error = check_capture()) return error;
  if (!memory) return fail(cudaErrorInvalidValue);
  *memory = nullptr;
  if (bytes == 0) return 0;
  if (out_of_memory(*device, bytes)) return fail(cudaErrorMemoryAllocation);
  BlockRef block = Block::create(device->id, bytes);
  if (!block) return fail(cudaErrorMemoryAllocation);
  *memory = block->address;
  device->allocations.add();
  device->live_allocations.add();
  device->live_bytes.add(bytes);
  Machine::get().memory.add(std::move(block));
  return 0;
}

// Of memory from cudaMalloc it waits for the device (CUDA Runtime API, "Memory management": only
// memory from cudaMallocAsync is freed without an implicit synchronisation).
FAKE_CUDA_EXPORT int cudaFree(void* memory) {
  Machine& machine = Machine::get();
  if (const int error = driver_status()) return fail(error);
  if (!memory) return 0;
  const BlockRef block = machine.memory.at(memory);
  if (!block || block->device == kHost) {
    return refuse("cudaFree of an address that cudaMalloc has not given, or for the second time",
                  cudaErrorInvalidValue);
  }
  Device& device = *machine.devices[static_cast<size_t>(block->device)];
  // A lost device's memory cannot be freed, but whoever tried has done his part.
  if (!device.lost()) {
    if (const int error = check_capture()) return error;
    device.synchronize();
  }
  machine.memory.take(memory);
  device.live_allocations.sub();
  device.live_bytes.sub(block->bytes);
  return fail(device.status());
}

FAKE_CUDA_EXPORT int cudaHostAlloc(void** memory, size_t bytes, unsigned flags) {
  Machine& machine = Machine::get();
  Device* device = nullptr;
  if (const int error = use_device(&device)) return error;
  if (const int error = check_capture()) return error;
  constexpr unsigned kKnownFlags = 7;  // portable, mapped, write-combined
  if (!memory || flags > kKnownFlags) return fail(cudaErrorInvalidValue);
  *memory = nullptr;
  if (bytes == 0) return 0;
  const uint64_t nth = machine.fault_pinned.add();
  BlockRef block = nth == machine.faults().pinned_oom_at ? nullptr : Block::create(kHost, bytes);
  if (!block) return fail(cudaErrorMemoryAllocation);
  *memory = block->address;
  machine.pinned_allocations.add();
  machine.live_pinned.add();
  machine.memory.add(std::move(block));
  return 0;
}

// cudaHostRegister: "cudaErrorHostMemoryAlreadyRegistered", where a part of the range is.
FAKE_CUDA_EXPORT int cudaHostRegister(void* memory, size_t bytes, unsigned flags) {
  Machine& machine = Machine::get();
  Device* device = nullptr;
  if (const int error = use_device(&device)) return error;
  if (const int error = check_capture()) return error;
  constexpr unsigned kKnownFlags = 15;  // portable, mapped, IO memory, read-only
  if (!memory || bytes == 0 || flags > kKnownFlags) return fail(cudaErrorInvalidValue);
  if (machine.memory.overlaps(memory, bytes)) return fail(cudaErrorHostMemoryAlreadyRegistered);
  const uint64_t nth = machine.fault_pinned.add();
  if (nth == machine.faults().pinned_oom_at) return fail(cudaErrorMemoryAllocation);
  machine.pinned_allocations.add();
  machine.live_pinned.add();
  machine.memory.add(Block::registered(memory, bytes));
  return 0;
}

FAKE_CUDA_EXPORT int cudaHostUnregister(void* memory) {
  const Machine& machine = Machine::get();
  if (const int error = driver_status()) return fail(error);
  const BlockRef block = machine.memory.at(memory);
  if (!block || block->device != kHost || block->owned) {
    return refuse("cudaHostUnregister of memory that is not registered",
                  cudaErrorHostMemoryNotRegistered);
  }
  return release_pinned(*block, "cudaHostUnregister");
}

FAKE_CUDA_EXPORT int cudaFreeHost(void* memory) {
  const Machine& machine = Machine::get();
  if (const int error = driver_status()) return fail(error);
  if (!memory) return 0;
  const BlockRef block = machine.memory.at(memory);
  if (!block || block->device != kHost || !block->owned) {
    return refuse("cudaFreeHost of an address that cudaHostAlloc has not given, or twice",
                  cudaErrorInvalidValue);
  }
  return release_pinned(*block, "cudaFreeHost");
}

// "API synchronization behavior" of the CUDA Runtime API, Asynchronous: what is pageable is staged,
// for which the call may wait for the stream; to pageable memory it returns when the copy is done;
// between host memories it is synchronous.
FAKE_CUDA_EXPORT int cudaMemcpyAsync(void* to, const void* from, size_t bytes, int kind,
                                     cudaStream_t handle) {
  Machine& machine = Machine::get();
  std::shared_ptr<Stream> stream;
  if (const int error = use_stream(handle, &stream)) return error;
  if (const int error = check_capture(*stream)) return error;
  if (bytes == 0) return 0;
  Device& device = stream->device();
  Operation copy;
  bool pageable = false;
  bool host_only = false;
  {
    const Hidden hidden;
    End target = end_of(to, bytes);
    End source = end_of(from, bytes);
    if (target.outside || source.outside) {
      machine.misuse("cudaMemcpyAsync beyond the end of an allocation");
      return fail(cudaErrorInvalidValue);
    }
    if (!fits(kind, target, source)) {
      machine.misuse("cudaMemcpyAsync with a kind that does not fit its addresses");
      return fail(cudaErrorInvalidMemcpyDirection);
    }
    pageable = !target.block || !source.block;
    host_only = !target.device && !source.device;
    copy.kind = Operation::Kind::kCopy;
    copy.to = target.contents;
    copy.from = source.contents;
    copy.bytes = bytes;
    copy.duration_us = machine.config.copy_us;
    for (const BlockRef& block : {target.block, source.block}) {
      if (block) block->uses.add();
    }
    copy.to_block = std::move(target.block);
    copy.from_block = std::move(source.block);
  }
  device.copies.add();
  if (pageable) device.pageable_copies.add();
  const FaultPlan faults = machine.faults();
  copy.loses = device.fault_copies.add() == faults.lost_at_copy && faults.hits(device.id);
  const Position position = device.issue(*stream, std::move(copy));
  if (!pageable && !host_only) return 0;
  position.stream->wait(position.count);
  return fail(device.status());
}

FAKE_CUDA_EXPORT int cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t handle) {
  Machine& machine = Machine::get();
  std::shared_ptr<Stream> stream;
  if (const int error = use_stream(handle, &stream)) return error;
  if (const int error = check_capture(*stream)) return error;
  if (bytes == 0) return 0;
  Operation fill;
  {
    const Hidden hidden;
    End target = end_of(memory, bytes);
    if (!target.block || target.outside) {
      machine.misuse("cudaMemsetAsync outside of what CUDA has allocated");
      return fail(cudaErrorInvalidValue);
    }
    fill.kind = Operation::Kind::kFill;
    fill.to = target.contents;
    fill.value = value;
    fill.bytes = bytes;
    target.block->uses.add();
    fill.to_block = std::move(target.block);
  }
  stream->device().fills.add();
  stream->device().issue(*stream, std::move(fill));
  return 0;
}
