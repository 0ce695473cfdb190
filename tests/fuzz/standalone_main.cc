// A plain main for a fuzz target, so that it is built and run with every other test:
//   <target>               runs the target's seeds and a fixed number of mutations of them; the
//   same
//                          ones on every machine
//   <target> PATH...       replays files, and all files below directories (a crash, a corpus)
//
// For a search guided by coverage link the target with -fsanitize=fuzzer instead of this file.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <utility>

#include "fuzz_target.h"

namespace {

constexpr size_t kMutationsPerSeed = 20000;
constexpr size_t kMaxBytes = 4096;

using Input = std::vector<uint8_t>;

class Mutator {
 public:
  Input mutate(Input input) {
    for (size_t rounds = 1 + below(4); rounds > 0; --rounds) mutate_once(input);
    if (input.size() > kMaxBytes) input.resize(kMaxBytes);
    return input;
  }

 private:
  // Not std::uniform_int_distribution, whose numbers differ between standard libraries.
  size_t below(size_t limit) { return random_() % limit; }

  void mutate_once(Input& input) {
    if (input.empty()) input.push_back(0);
    const size_t at = below(input.size());
    switch (below(7)) {
      case 0: input[at] ^= static_cast<uint8_t>(1u << below(8)); break;
      case 1: input[at] = static_cast<uint8_t>(random_()); break;
      case 2: overwrite(input, at / 8 * 8, interesting(input.size())); break;  // a struct's field
      case 3: overwrite(input, at, interesting(input.size())); break;
      case 4: input.resize(at); break;
      case 5: erase(input, at, 1 + below(16)); break;
      case 6: duplicate(input, at, 1 + below(64)); break;
    }
  }

  uint64_t interesting(size_t size) {
    const uint64_t values[] = {0,          1,
                               7,          8,
                               40,         size,
                               size - 1,   size + 1,
                               UINT64_MAX, UINT64_MAX - 7,
                               1ull << 31, 1ull << 32,
                               1ull << 63, random_() % (2 * size)};
    return values[below(std::size(values))];
  }

  static void overwrite(Input& input, size_t at, uint64_t value) {
    std::memcpy(input.data() + at, &value, std::min(sizeof value, input.size() - at));
  }

  static void erase(Input& input, size_t at, size_t count) {
    const auto first = input.begin() + static_cast<std::ptrdiff_t>(at);
    input.erase(first, first + static_cast<std::ptrdiff_t>(std::min(count, input.size() - at)));
  }

  void duplicate(Input& input, size_t at, size_t count) {
    const Input piece(
        input.begin() + static_cast<std::ptrdiff_t>(at),
        input.begin() + static_cast<std::ptrdiff_t>(std::min(at + count, input.size())));
    const size_t where = below(input.size() + 1);
    input.insert(input.begin() + static_cast<std::ptrdiff_t>(where), piece.begin(), piece.end());
  }

  std::mt19937_64 random_{20240229};
};

bool replay_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const Input input{std::istreambuf_iterator<char>(file), {}};
  if (!file) {
    std::fprintf(stderr, "cannot read %s\n", path.c_str());
    return false;
  }
  std::fprintf(stderr, "%s (%zu bytes)\n", path.c_str(), input.size());
  LLVMFuzzerTestOneInput(input.data(), input.size());
  return true;
}

bool replay(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) return replay_file(path);
  bool ok = true;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
    if (entry.is_regular_file()) ok = replay_file(entry.path()) && ok;
  }
  return ok;
}

// The input in work, in a file of the current directory: what ends the process stays there to be
// replayed. Where it cannot be written, the run goes on without.
class LastInput {
 public:
  LastInput() : path_("last-input-" + std::to_string(::getpid()) + ".bin") {
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  }
  ~LastInput() {
    if (fd_ < 0) return;
    ::close(fd_);
    ::unlink(path_.c_str());
  }

  void run(const Input& input) {
    const bool kept =
        fd_ >= 0 && ::ftruncate(fd_, 0) == 0 && ::pwrite(fd_, input.data(), input.size(), 0) >= 0;
    if (!kept && !std::exchange(warned_, true)) std::perror(path_.c_str());
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }

 private:
  std::string path_;
  int fd_;
  bool warned_ = false;
};

size_t run_mutations() {
  Mutator mutator;
  LastInput last;
  size_t runs = 0;
  for (const Input& seed : fuzz_seeds()) {
    last.run(seed);
    for (size_t i = 0; i < kMutationsPerSeed; ++i, ++runs) last.run(mutator.mutate(seed));
  }
  return runs;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::printf("%zu mutations\n", run_mutations());
    return 0;
  }
  bool ok = true;
  for (int i = 1; i < argc; ++i) ok = replay(argv[i]) && ok;
  return ok ? 0 : 1;
}
