#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
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

// What sensors of a card say. No public function of the vendor's library tells, so only simulated
// cards have it.
struct QaicTelemetry {
  uint32_t soc_celsius = 0;
  uint32_t board_watts = 0;
  uint32_t tdp_cap_watts = 0;
};

struct QaicDevice {
  int32_t id = 0;
  QaicDeviceStatus status = QaicDeviceStatus::kUnknown;
  std::string name;
  QaicPci pci;
  // The rest only when the device is ready.
  uint32_t hw_version = 0;  // four bytes, the highest first
  std::string serial;
  std::optional<std::string> board_serial;  // as QaicTelemetry
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
  std::optional<QaicTelemetry> telemetry;
};

// Errors of all of them: kUnavailable, as for the backend `qaic`.
QAICKIT_API Result<QaicLibrary> qaic_library();
// In ascending order, whatever their status.
QAICKIT_API Result<std::vector<int32_t>> qaic_device_ids();
// Error kNotFound: no such device. Other codes: what the library said.
QAICKIT_API Result<QaicDevice> qaic_device(int32_t id);
// Everything that runs on the device ends with an error, and its programs are lost. Simulated cards
// only; others: kUnsupported, since the vendor's library has no public function for it.
QAICKIT_API Status qaic_reset_device(int32_t id);

// The same questions with the vendor's own status codes for answers (QStatus; 0 is QS_SUCCESS), for
// programs that were written for them. Any thread may call; it is a view of the one library of the
// process.
class QAICKIT_API QaicUtil {
 public:
  // Error kUnavailable: no library, or one that does not fit.
  static Result<QaicUtil> open();

  const QaicLibrary& library() const noexcept { return library_; }
  // QS_SUCCESS: its major version is the one that is needed, its minor version not lower;
  // else QS_UNSUPPORTED.
  int32_t check_library_version() const noexcept;
  // QS_NODEV: there is none. In ascending order, whatever their status.
  int32_t device_ids(std::vector<int32_t>* ids) const;
  // QS_NODEV: no such device; others as the library says. On an error nothing is written.
  int32_t device(int32_t id, QaicDevice* device) const;
  int32_t resources(int32_t id, QaicResources* resources) const;
  int32_t performance(int32_t id, QaicPerformance* performance) const;
  // Takes (or gives back) the device for this process; nobody is kept from using it without. With
  // `block` waits for whoever has it, else QS_BUSY. QS_UNSUPPORTED unless the environment has
  // QAIC_SERIALIZE_DEVICE=1; QS_NODEV: no such device; QS_INVAL: given back without having it.
  int32_t lock_device(int32_t id, bool lock, bool block) const;

 private:
  explicit QaicUtil(QaicLibrary library) : library_(std::move(library)) {}
  QaicLibrary library_;
};

}  // namespace qaickit
