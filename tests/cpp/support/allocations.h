#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

// Counts what the whole program allocates: allocations.cc replaces malloc and its kin, so it cannot
// be linked together with a sanitizer.
namespace qaickit::test {

void start_counting_allocations();
uint64_t stop_counting_allocations();

template <class Work>
uint64_t allocations_during(Work&& work) {
  start_counting_allocations();
  std::forward<Work>(work)();
  return stop_counting_allocations();
}

}  // namespace qaickit::test
