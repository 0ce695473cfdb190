#include "support/allocations.h"

#include <atomic>

namespace {
std::atomic<bool> counting{false};
std::atomic<uint64_t> allocations{0};

void count_allocation() {
  if (counting.load(std::memory_order_relaxed)) {
    allocations.fetch_add(1, std::memory_order_relaxed);
  }
}
}  // namespace

// The C library's allocator, counted; operator new comes here too.
extern "C" {
void* __libc_malloc(size_t bytes);
void* __libc_calloc(size_t count, size_t bytes);
void* __libc_realloc(void* old, size_t bytes);
void* __libc_memalign(size_t alignment, size_t bytes);

void* malloc(size_t bytes) {
  count_allocation();
  return __libc_malloc(bytes);
}
void* calloc(size_t count, size_t bytes) {
  count_allocation();
  return __libc_calloc(count, bytes);
}
void* realloc(void* old, size_t bytes) {
  count_allocation();
  return __libc_realloc(old, bytes);
}
void* aligned_alloc(size_t alignment, size_t bytes) {
  count_allocation();
  return __libc_memalign(alignment, bytes);
}
}

namespace qaickit::test {

void start_counting_allocations() {
  allocations.store(0);
  counting.store(true);
}

uint64_t stop_counting_allocations() {
  counting.store(false);
  return allocations.load();
}

}  // namespace qaickit::test
