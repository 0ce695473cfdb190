#include "rig.h"

extern "C" {
int cuInit(unsigned flags);
int cuDriverGetVersion(int* version);
int cuDeviceGet(int* device, int ordinal);
int cuDeviceGetName(char* name, int bytes, int device);
int cuDeviceTotalMem_v2(size_t* bytes, int device);
int cuPointerGetAttribute(void* value, int attribute, unsigned long long pointer);
}

namespace qaickit::test {
namespace {

using DriverTest = FakeCudaTest;

TEST_F(DriverTest, KnowsTheDevicesOnceInitialised) {
  configure({{"DEVICES", "2"}, {"MEMORY", "12345"}});
  int device = -1;
  EXPECT_EQ(cuDeviceGet(&device, 0), 3);
  int version = 0;
  EXPECT_EQ(cuDriverGetVersion(&version), 0);
  EXPECT_EQ(version, 12080);
  ASSERT_EQ(cuInit(0), 0);
  EXPECT_EQ(cuInit(1), 1);
  EXPECT_EQ(cuDeviceGet(&device, 1), 0);
  EXPECT_EQ(device, 1);
  EXPECT_EQ(cuDeviceGet(&device, 2), 101);
  char name[64] = "";
  EXPECT_EQ(cuDeviceGetName(name, sizeof name, 1), 0);
  EXPECT_STREQ(name, "Fake GPU");
  size_t bytes = 0;
  EXPECT_EQ(cuDeviceTotalMem_v2(&bytes, 1), 0);
  EXPECT_EQ(bytes, 12345u);
}

TEST_F(DriverTest, FindsNoDeviceWhereThereIsNone) {
  configure({{"DEVICES", "0"}});
  EXPECT_EQ(cuInit(0), 100);
  configure({{"DRIVER", "0"}});
  EXPECT_EQ(cuInit(0), 100);
}

TEST_F(DriverTest, KnowsWhatMemoryIs) {
  ASSERT_EQ(cuInit(0), 0);
  const auto type_of = [](const void* address) {
    unsigned type = 0;
    const int error =
        cuPointerGetAttribute(&type, 2, reinterpret_cast<unsigned long long>(address));
    return error == 0 ? static_cast<int>(type) : -error;
  };
  int here = 0;
  EXPECT_EQ(type_of(&here), -1);
  EXPECT_EQ(type_of(pinned(8) + 7), 1);
  EXPECT_EQ(type_of(device_memory(8)), 2);
  ASSERT_EQ(cudaHostRegister(&here, sizeof here, 1), 0);
  EXPECT_EQ(type_of(&here), 1);
  EXPECT_EQ(cudaHostRegister(&here, 1, 1), cudaErrorHostMemoryAlreadyRegistered);
  EXPECT_EQ(cudaGetLastError(), cudaErrorHostMemoryAlreadyRegistered);
  EXPECT_EQ(cudaHostUnregister(&here), 0);
  EXPECT_EQ(type_of(&here), -1);
}

}  // namespace
}  // namespace qaickit::test
