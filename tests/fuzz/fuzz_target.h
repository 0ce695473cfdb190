#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

// What a fuzz target gives to standalone_main.cc. With libFuzzer instead, only the first is used.

// Returns 0; a defect ends the process.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

// Valid inputs to start from.
std::vector<std::vector<uint8_t>> fuzz_seeds();
