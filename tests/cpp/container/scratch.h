#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "qpc_bytes.h"

namespace qaickit::test {

// A directory of a test's own, open to all users, removed with what is in it.
class Scratch {
 public:
  Scratch() {
    std::string pattern = ::testing::TempDir() + "qaickit-XXXXXX";
    directory_ = mkdtemp(pattern.data());
    chmod(directory_.c_str(), 0777);
  }
  ~Scratch() { std::filesystem::remove_all(directory_); }

  std::string path(const std::string& name) const { return directory_ + "/" + name; }

  std::string write(const std::string& name, const ByteVector& bytes) const {
    std::ofstream(path(name), std::ios::binary) << as_text(bytes);
    return path(name);
  }

  // Names of the files in it, hidden ones included.
  size_t count() const {
    const std::filesystem::directory_iterator all(directory_);
    return static_cast<size_t>(std::distance(begin(all), end(all)));
  }

 private:
  std::string directory_;
};

// For the superuser, to whom permissions do not apply: acts as another user while it lives.
class AsNobody {
 public:
  AsNobody() : user_(geteuid()) { EXPECT_EQ(seteuid(user_ == 0 ? 65534 : user_), 0); }
  ~AsNobody() { EXPECT_EQ(seteuid(user_), 0); }

 private:
  uid_t user_;
};

}  // namespace qaickit::test
