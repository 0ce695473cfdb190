#include "runtime/memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <iterator>

namespace fakecuda {
namespace {

constexpr size_t kAlignment = 4096;

uintptr_t number(const void* address) { return reinterpret_cast<uintptr_t>(address); }

}  // namespace

BlockRef Block::create(int device, size_t bytes) {
  std::shared_ptr<Block> block(new Block(device, bytes));
  void* contents = nullptr;
  if (posix_memalign(&contents, kAlignment, bytes) != 0) return nullptr;
  block->contents = static_cast<std::byte*>(contents);
  std::memset(contents, 0xcd, bytes);
  if (device == kHost) {
    block->address = block->contents;
    return block;
  }
  void* const range =
      mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (range == MAP_FAILED) return nullptr;
  block->address = static_cast<std::byte*>(range);
  return block;
}

BlockRef Block::registered(void* address, size_t bytes) {
  std::shared_ptr<Block> block(new Block(kHost, bytes));
  block->owned = false;
  block->address = block->contents = static_cast<std::byte*>(address);
  return block;
}

Block::~Block() {
  if (!owned) return;
  if (device != kHost && address) munmap(address, bytes);
  std::free(contents);
}

void MemoryMap::add(BlockRef block) {
  const std::lock_guard lock(mutex_);
  blocks_[number(block->address)] = std::move(block);
}

BlockRef MemoryMap::take(const void* address) {
  const std::lock_guard lock(mutex_);
  const auto found = blocks_.find(number(address));
  if (found == blocks_.end()) return nullptr;
  BlockRef block = std::move(found->second);
  blocks_.erase(found);
  return block;
}

BlockRef MemoryMap::at(const void* address) const {
  const std::lock_guard lock(mutex_);
  const auto found = blocks_.find(number(address));
  return found == blocks_.end() ? nullptr : found->second;
}

BlockRef MemoryMap::around(const void* address) const {
  const std::lock_guard lock(mutex_);
  auto found = blocks_.upper_bound(number(address));
  if (found == blocks_.begin()) return nullptr;
  --found;
  return number(address) - found->first < found->second->bytes ? found->second : nullptr;
}

bool MemoryMap::overlaps(const void* address, size_t bytes) const {
  const std::lock_guard lock(mutex_);
  const auto after = blocks_.lower_bound(number(address) + bytes);
  if (after == blocks_.begin()) return false;
  const auto last = std::prev(after);
  return last->first + last->second->bytes > number(address);
}

std::byte* MemoryMap::contents(const void* address, size_t bytes, BlockRef* block) const {
  BlockRef found = around(address);
  if (!found) return nullptr;
  const size_t offset = number(address) - number(found->address);
  if (bytes > found->bytes - offset) return nullptr;
  std::byte* const contents = found->contents + offset;
  *block = std::move(found);
  return contents;
}

}  // namespace fakecuda
