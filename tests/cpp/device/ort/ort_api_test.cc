// Proves the slots of ort_functions.inc against the library that is installed: a real run through
// them, and the errors of a library that is missing, foreign or too old.

#include "device/ort/ort_api.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <numeric>

#include "qaickit/device.h"
#include "support/onnx_bytes.h"
#include "support/result.h"

namespace qaickit::ort {
namespace {

const Api* api_or_null() {
  auto api = load_api();
  return api.ok() ? *api : nullptr;
}

// What load_api() says when told to use `path`. Each test is a process of its own under ctest.
Status status_with_library(const char* path) {
  setenv("QAICKIT_ONNXRUNTIME_LIB", path, 1);
  return load_api().status();
}

#define REQUIRE_API(api)                \
  const Api* const api = api_or_null(); \
  if (!api) GTEST_SKIP() << load_api().status().to_string()
#define EXPECT_ORT_OK(call) EXPECT_TRUE(to_status(*api, (call), #call).ok())

TEST(OrtApi, IsNewEnoughAndSaysWhereItIsFrom) {
  REQUIRE_API(api);
  EXPECT_GE(std::atoi(api->version.substr(api->version.find('.') + 1).c_str()), int{kApiVersion});
  EXPECT_NE(api->path.find("onnxruntime"), std::string::npos);
}

TEST(OrtApi, EverySlotIsFilled) {
  REQUIRE_API(api);
  const int minor = std::atoi(api->version.substr(api->version.find('.') + 1).c_str());
#define ORT_FUNCTION(slot, name, result, arguments) EXPECT_NE(api->name, nullptr) << #name;
#define ORT_FUNCTION_SINCE(since, slot, name, result, arguments) \
  EXPECT_EQ(api->name != nullptr, minor >= (since)) << #name;
#include "device/ort/ort_functions.inc"
#undef ORT_FUNCTION
}

TEST(OrtApi, ARealRunGoesThroughTheSlots) {
  REQUIRE_API(api);
  OrtEnv* env = nullptr;
  EXPECT_ORT_OK(api->CreateEnv(kLogError, "test", &env));
  EXPECT_ORT_OK(api->DisableTelemetryEvents(env));
  OrtSessionOptions* options = nullptr;
  EXPECT_ORT_OK(api->CreateSessionOptions(&options));
  EXPECT_ORT_OK(api->SetSessionLogSeverityLevel(options, kLogError));
  EXPECT_ORT_OK(api->SetSessionGraphOptimizationLevel(options, kOptimizeAll));
  EXPECT_ORT_OK(api->SetIntraOpNumThreads(options, 1));
  EXPECT_ORT_OK(api->SetInterOpNumThreads(options, 1));
  EXPECT_ORT_OK(api->AddSessionConfigEntry(options, "session.intra_op.allow_spinning", "0"));
  const std::string model = test::doubling_model({2, 3});
  OrtSession* session = nullptr;
  ASSERT_TRUE(
      to_status(*api,
                api->CreateSessionFromArray(env, model.data(), model.size(), options, &session),
                "CreateSessionFromArray")
          .ok());

  size_t inputs = 0;
  size_t outputs = 0;
  EXPECT_ORT_OK(api->SessionGetInputCount(session, &inputs));
  EXPECT_ORT_OK(api->SessionGetOutputCount(session, &outputs));
  EXPECT_EQ(inputs, 1u);
  EXPECT_EQ(outputs, 1u);
  OrtAllocator* allocator = nullptr;
  EXPECT_ORT_OK(api->GetAllocatorWithDefaultOptions(&allocator));
  for (const auto& [get, expected] :
       {std::pair{api->SessionGetInputName, "x"}, std::pair{api->SessionGetOutputName, "y"}}) {
    char* name = nullptr;
    EXPECT_ORT_OK(get(session, 0, allocator, &name));
    EXPECT_STREQ(name, expected);
    EXPECT_ORT_OK(api->AllocatorFree(allocator, name));
  }
  for (const auto get : {api->SessionGetInputTypeInfo, api->SessionGetOutputTypeInfo}) {
    OrtTypeInfo* type = nullptr;
    EXPECT_ORT_OK(get(session, 0, &type));
    const OrtTensorTypeAndShapeInfo* tensor = nullptr;
    EXPECT_ORT_OK(api->CastTypeInfoToTensorInfo(type, &tensor));
    ONNXTensorElementDataType element{};
    EXPECT_ORT_OK(api->GetTensorElementType(tensor, &element));
    EXPECT_EQ(test::value_of(dtype_of(element)), DType::kFloat32);
    size_t rank = 0;
    EXPECT_ORT_OK(api->GetDimensionsCount(tensor, &rank));
    ASSERT_EQ(rank, 2u);
    std::array<int64_t, 2> dims{};
    EXPECT_ORT_OK(api->GetDimensions(tensor, dims.data(), rank));
    EXPECT_EQ(dims, (std::array<int64_t, 2>{2, 3}));
    api->ReleaseTypeInfo(type);
  }

  OrtMemoryInfo* gpu_memory = nullptr;
  EXPECT_ORT_OK(api->CreateMemoryInfo("Cuda", kDeviceAllocator, 1, kMemTypeCpuOutput, &gpu_memory));
  OrtDeviceType device{};
  OrtMemType memory_type{};
  api->MemoryInfoGetDeviceType(gpu_memory, &device);
  EXPECT_ORT_OK(api->MemoryInfoGetMemType(gpu_memory, &memory_type));
  EXPECT_NE(device, kDeviceTypeCpu);
  EXPECT_EQ(memory_type, kMemTypeCpuOutput);
  api->ReleaseMemoryInfo(gpu_memory);
  for (const auto get : {api->SessionGetMemoryInfoForInputs, api->SessionGetMemoryInfoForOutputs}) {
    if (!get) continue;  // before 1.23
    const OrtMemoryInfo* place = nullptr;
    EXPECT_ORT_OK(get(session, &place, 1));
    api->MemoryInfoGetDeviceType(place, &device);
    EXPECT_EQ(device, kDeviceTypeCpu);
  }

  OrtMemoryInfo* memory = nullptr;
  EXPECT_ORT_OK(api->CreateCpuMemoryInfo(kDeviceAllocator, kMemTypeDefault, &memory));
  std::array<float, 6> x;
  std::iota(x.begin(), x.end(), 1.0f);
  std::array<float, 6> y{};
  const std::array<int64_t, 2> dims{2, 3};
  std::array<OrtValue*, 2> values{};
  for (size_t i = 0; i < 2; ++i) {
    float* const data = i == 0 ? x.data() : y.data();
    EXPECT_ORT_OK(api->CreateTensorWithDataAsOrtValue(memory, data, sizeof x, dims.data(), 2,
                                                      element_type(DType::kFloat32), &values[i]));
  }
  OrtRunOptions* run_options = nullptr;
  EXPECT_ORT_OK(api->CreateRunOptions(&run_options));
  const char* const input_name = "x";
  const char* const output_name = "y";
  auto run = [&] {
    return to_status(
        *api,
        api->Run(session, run_options, &input_name, &values[0], 1, &output_name, 1, &values[1]),
        "Run");
  };
  EXPECT_TRUE(run().ok());
  EXPECT_EQ(y, (std::array<float, 6>{2, 4, 6, 8, 10, 12}));  // in our memory: no copy
  EXPECT_ORT_OK(api->RunOptionsSetTerminate(run_options));
  EXPECT_FALSE(run().ok());
  EXPECT_ORT_OK(api->RunOptionsUnsetTerminate(run_options));
  EXPECT_TRUE(run().ok());

  for (OrtValue* value : values) api->ReleaseValue(value);
  api->ReleaseRunOptions(run_options);
  api->ReleaseMemoryInfo(memory);
  api->ReleaseSession(session);
  api->ReleaseSessionOptions(options);
}

TEST(OrtApi, AnErrorOfTheLibraryBecomesOurs) {
  REQUIRE_API(api);
  OrtEnv* env = nullptr;
  EXPECT_ORT_OK(api->CreateEnv(kLogError, "test", &env));
  OrtSessionOptions* options = nullptr;
  EXPECT_ORT_OK(api->CreateSessionOptions(&options));
  OrtSession* session = nullptr;
  const Status status = to_status(
      *api, api->CreateSessionFromArray(env, "nonsense", 8, options, &session), "loading");
  EXPECT_TRUE(test::is_error(status, Code::kDeviceError, "loading"));
  api->ReleaseSessionOptions(options);
}

TEST(OrtApi, AMissingLibraryIsReportedWithItsPathAndAdvice) {
  const Status status = status_with_library("/nonexistent/libonnxruntime.so");
  if (status.ok()) GTEST_SKIP() << "loaded by an earlier test of this process";
  EXPECT_TRUE(test::is_error(status, Code::kUnavailable, "/nonexistent/libonnxruntime.so",
                             "pip install onnxruntime", "QAICKIT_ONNXRUNTIME_LIB"));
}

TEST(OrtApi, AForeignLibraryIsRefused) {
  const Status status = status_with_library("libm.so.6");
  if (status.ok()) GTEST_SKIP() << "loaded by an earlier test of this process";
  EXPECT_TRUE(test::is_error(status, Code::kUnavailable, "OrtGetApiBase"));
}

// As pip leaves it: onnxruntime's own library is newer than that of onnxruntime-gpu.
TEST(OrtApi, OfTwoVersionsInOneDirectoryTheGpusIsTaken) {
  const char* const real = std::getenv("QAICKIT_ONNXRUNTIME_LIB");
  if (!real) GTEST_SKIP() << "no onnxruntime here";
  namespace fs = std::filesystem;
  const fs::path site = fs::path(testing::TempDir()) / ("site-" + std::to_string(getpid()));
  const fs::path capi = site / "onnxruntime" / "capi";
  fs::create_directories(capi);
  fs::create_directories(site / "onnxruntime_gpu-1.31.1.dist-info");
  fs::create_symlink(real, capi / "libonnxruntime.so.1.31.1");
  fs::create_symlink(QAICKIT_FAKE_OLD_ONNXRUNTIME, capi / "libonnxruntime.so.1.32.0");
  unsetenv("QAICKIT_ONNXRUNTIME_LIB");
  add_package_dir(site.string());
  const auto api = load_api();
  const bool is_real = api.ok() && (*api)->path.ends_with("1.31.1");
  fs::remove_all(site);
  EXPECT_TRUE(is_real) << (api.ok() ? (*api)->path : api.status().to_string());
}

TEST(OrtApi, ATooOldLibraryIsRefusedWithItsVersion) {
  const Status status = status_with_library(QAICKIT_FAKE_OLD_ONNXRUNTIME);
  if (status.ok()) GTEST_SKIP() << "loaded by an earlier test of this process";
  EXPECT_TRUE(test::is_error(status, Code::kUnavailable, "1.10.0", "1.22"));
}

}  // namespace
}  // namespace qaickit::ort
