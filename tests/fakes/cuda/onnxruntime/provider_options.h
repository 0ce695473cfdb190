#pragma once

#include <map>
#include <string>
#include <string_view>

#include "onnxruntime/real_api.h"

namespace fakeort {

// Options of a provider as they were given, checked as the real one checks them.
class ProviderOptions {
 public:
  explicit ProviderOptions(std::string_view provider) : provider_(provider) {}

  const std::string& provider() const noexcept { return provider_; }
  // Null: all is well.
  OrtStatus* update(const char* const* keys, const char* const* values, size_t count);
  OrtStatus* update(const char* key, void* value);

  const std::string* find(const std::string& key) const;
  bool is_on(const std::string& key) const;
  int device_id() const;
  void* stream() const noexcept { return stream_; }

 private:
  std::string provider_;  // "cuda", "tensorrt"
  std::map<std::string, std::string> values_;
  void* stream_ = nullptr;
};

}  // namespace fakeort
