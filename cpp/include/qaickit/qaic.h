#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "qaickit/export.h"
#include "qaickit/status.h"

// What the vendor's library says about itself and about the cards, as its query tool shows it.
namespace qaickit {

struct QaicLibrary {
  std::string path;
  uint16_t major = 0;
  uint16_t minor = 0;
  std::string patch;
  std::string variant;
  bool simulated = false;
};

enum class QaicDeviceStatus : uint8_t { kInitializing = 0, kReady = 1, kError = 2, kUnknown = 3 };

struct QaicResources {
  uint64_t dram_total_kib = 0;
  uint64_t dram_free_kib = 0;
  uint32_t vc_total = 0;
  uint32_t vc_free = 0;
  uint32_t pc_total = 0;
  uint32_t pc_reserved = 0;
  uint32_t nsp_total = 0;
  uint32_t nsp_free = 0;
  uint32_t mcid_total = 0;
  uint32_t mcid_free = 0;
  uint32_t sem_total = 0;
  uint32_t sem_free = 0;
  uint32_t sku_type = 0;
};

struct QaicPerformance {
  uint32_t nsp_hz = 0;
  uint32_t ddr_hz = 0;
  uint32_t comp_hz = 0;
  uint32_t mem_hz = 0;
  uint32_t sys_hz = 0;
  float peak_compute = 0;
  float dram_bw = 0;
};

struct QaicPci {
  uint32_t domain = 0;
  uint32_t bus = 0;
  uint32_t device = 0;
  uint32_t function = 0;
  std::string class_name;
  std::string vendor_name;
  std::string device_name;
  uint32_t max_link_speed = 0;
  uint32_t max_link_width = 0;
  uint32_t curr_link_speed = 0;
  uint32_t curr_link_width = 0;
};

// Versions and images of a processor's firmware.
struct QaicFirmware {
  std::array<uint32_t, 4> version{};
  std::string qc_image;
  std::string oem_image;
  std::string variant;
};

struct QaicDevice {
  int32_t id = 0;
  QaicDeviceStatus status = QaicDeviceStatus::kUnknown;
  std::string name;
  QaicPci pci;
  // The rest only when the device is ready.
  uint32_t hw_version = 0;  // four bytes, the highest first
  std::string serial;
  QaicFirmware firmware;
  std::string firmware_features;
  QaicFirmware nsp_firmware;
  std::string sbl_image;
  uint32_t pvs_image_version = 0;
  uint32_t fragmentation = 0;  // hundredths of a percent
  std::array<uint32_t, 2> metadata_version{};
  std::array<uint32_t, 2> command_protocol{};
  uint64_t nsp_defect_mask = 0;
  uint32_t constants_loaded = 0;
  uint32_t constants_in_use = 0;
  uint32_t networks_loaded = 0;
  uint32_t networks_active = 0;
  QaicResources resources;
  QaicPerformance performance;
};

// Errors of all of them: kUnavailable, as for the backend `qaic`.
QAICKIT_API Result<QaicLibrary> qaic_library();
// In ascending order, whatever their status.
QAICKIT_API Result<std::vector<int32_t>> qaic_device_ids();
// Error kNotFound: no such device. Other codes: what the library said.
QAICKIT_API Result<QaicDevice> qaic_device(int32_t id);

}  // namespace qaickit
