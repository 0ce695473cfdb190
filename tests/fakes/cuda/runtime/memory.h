#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "runtime/counter.h"

namespace fakecuda {

constexpr int kHost = -1;

// One allocation. Lives as long as an operation that uses it.
class Block {
 public:
  // Device memory: `address` is a range without access, and the contents lie elsewhere. Page-locked
  // memory (device kHost): they are the same. Filled with a pattern, since CUDA says nothing of
  // what is in new memory. Null: this machine has not so much.
  static std::shared_ptr<Block> create(int device, size_t bytes);
  // Page-locked memory that is somebody else's.
  static std::shared_ptr<Block> registered(void* address, size_t bytes);
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  const int device;
  const size_t bytes;
  bool owned = true;
  std::byte* address = nullptr;
  std::byte* contents = nullptr;
  Counter uses;  // operations that are not finished

 private:
  Block(int device, size_t bytes) : device(device), bytes(bytes) {}
};
using BlockRef = std::shared_ptr<Block>;

// All blocks of the machine by address. Any thread.
class MemoryMap {
 public:
  void add(BlockRef block);
  // The block that begins at the address, which is then not in the map any more.
  BlockRef take(const void* address);
  // The block that begins at the address.
  BlockRef at(const void* address) const;
  // The block that holds the address.
  BlockRef around(const void* address) const;
  // Whether any byte of the range is in a block.
  bool overlaps(const void* address, size_t bytes) const;
  // The contents of a range; null when no block holds the whole of it.
  std::byte* contents(const void* address, size_t bytes, BlockRef* block) const;

 private:
  mutable std::mutex mutex_;
  std::map<uintptr_t, BlockRef> blocks_;
};

}  // namespace fakecuda
