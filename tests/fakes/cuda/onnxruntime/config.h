#pragma once

#include <string>
#include <string_view>

namespace fakeort {

// The environment; fake_onnxruntime.h says what the variables mean.
struct Config {
  std::string version;
  std::string providers = "tensorrt,cuda";
  std::string broken = "tensorrt";
  bool echo = false;
  bool cpu_nodes = false;
  std::string host_tensors;  // separated by commas
  bool sync_replay = true;

  bool has(std::string_view provider) const {
    return providers.find(provider) != std::string::npos;
  }
  bool is_on_host(std::string_view tensor) const {
    return ("," + host_tensors + ",").find("," + std::string(tensor) + ",") != std::string::npos;
  }
  bool is_broken(std::string_view provider) const {
    return broken.find(provider) != std::string::npos;
  }
};
Config read_config();

}  // namespace fakeort
