#include <gtest/gtest.h>

#include <set>

#include "qaickit/device.h"
#include "support/environment.h"
#include "support/result.h"

namespace qaickit {
namespace {

using test::Environment;
using test::is_error;
using test::value_of;

TEST(Registry, NamesAreUniqueAndFoundByName) {
  std::set<std::string_view> names;
  for (const Backend& backend : backends()) {
    EXPECT_TRUE(names.insert(backend.name).second) << backend.name;
    EXPECT_FALSE(backend.summary.empty());
    EXPECT_EQ(value_of(find_backend(backend.name)), &backend);
  }
  EXPECT_TRUE(names.contains("null"));
  EXPECT_TRUE(names.contains("cpu"));
  EXPECT_TRUE(names.contains("cuda"));
}

TEST(Registry, UnknownNameListsTheKnown) {
  EXPECT_TRUE(is_error(find_backend("gpu").status(), Code::kNotFound, "'gpu'", "cpu", "null"));
  EXPECT_TRUE(is_error(find_backend("").status(), Code::kNotFound));
}

// Nothing runs on null unless asked to; the reasons of the others are listed.
TEST(Registry, NullIsNeverADefault) {
  const Environment no_library("QAICKIT_ONNXRUNTIME_LIB", "/nonexistent/libonnxruntime.so");
  EXPECT_TRUE(is_error(default_backend().status(), Code::kUnavailable, "no device is usable",
                       "cpu: ", "/nonexistent/libonnxruntime.so"));
}

TEST(Registry, WhatHasToBeNamed) {
  EXPECT_TRUE(value_of(find_backend("null"))->only_by_name);
  EXPECT_TRUE(value_of(find_backend("cuda"))->only_by_name);
  EXPECT_FALSE(value_of(find_backend("cpu"))->only_by_name);
}

TEST(Registry, EnumeratedDevicesCanBeCreated) {
  for (const Backend& backend : backends()) {
    const auto devices = backend.enumerate();
    if (devices.status().code() == Code::kUnavailable) continue;
    for (const DeviceInfo& info : value_of(devices)) {
      EXPECT_EQ(info.backend, backend.name);
      EXPECT_EQ(value_of(backend.create(info.id))->info().name, info.name);
    }
  }
}

}  // namespace
}  // namespace qaickit
