#pragma once

#include <map>
#include <string>
#include <vector>

#include "qaickit/device.h"

namespace qaickit::test {

// A backend under test: a row of `subjects.cc`.
struct Subject {
  std::string name;  // as tests are called
  std::string backend;
  DeviceSettings settings;  // of every program that is loaded
  // y of y = x + x: what a device that computes gives, or a copy of x where it does not.
  bool computes = true;
  // Name of a test -> why this backend cannot pass it.
  std::map<std::string, std::string> unsupported;
};

const std::vector<Subject>& subjects();

}  // namespace qaickit::test
