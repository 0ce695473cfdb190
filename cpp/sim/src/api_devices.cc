// The exported functions that tell of the library and its devices.

#include <algorithm>
#include <cstring>

#include "base/cat.h"
#include "handles.h"
#include "machine.h"
#include "text.h"

namespace {

using qaickit::cat;
using qaicsim::Card;
using qaicsim::copy_text;
using qaicsim::guard;
using qaicsim::Machine;

constexpr uint16_t kMajor = LRT_LIB_MAJOR_VERSION;
constexpr uint16_t kMinor = LRT_LIB_MINOR_VERSION;
constexpr const char* kPatch = "qaicsim-1";
constexpr const char* kVariant = "simulated";
constexpr uint64_t kDramKiB = 32u << 20;

QResourceInfo resources_of(Card& card) {
  const std::lock_guard lock(card.mutex);
  QResourceInfo info{};
  info.QResourceReservationID = RESOURCE_GROUP_ID_DEFAULT;
  info.dramTotal = kDramKiB;
  info.dramFree = kDramKiB - std::min(kDramKiB, (card.loaded_bytes + 1023) / 1024);
  info.vcTotal = 16;
  info.vcFree = static_cast<uint8_t>(16 - std::min(16u, card.active));
  info.nspTotal = static_cast<uint8_t>(card.nsp_total);
  info.nspFree = static_cast<uint8_t>(card.nsp_total - card.nsp_used);
  info.mcidTotal = info.mcidFree = 1023;
  info.semTotal = info.semFree = 32 * card.nsp_total;
  info.skuType = 2;
  return info;
}

QPerformanceInfo performance_of() {
  QPerformanceInfo info{};
  info.nspFrequencyHz = 1'400'000'000;
  info.ddrFrequencyHz = 2'131'000'000;
  info.compFrequencyHz = 900'000'000;
  info.memFrequencyHz = 900'000'000;
  info.sysFrequencyHz = 600'000'000;
  return info;
}

QDevInfo describe(Card& card) {
  QDevInfo info{};
  info.devStatus = card.status.load(std::memory_order_relaxed);
  info.qid = card.id;
  copy_text(info.name, cat("qaicsim", card.id, " (simulated)"));
  QPciInfo& pci = info.pciInfo;
  pci.bus = static_cast<uint8_t>(card.id);
  copy_text(pci.classname, "Processing accelerators");
  copy_text(pci.vendorname, "qaickit");
  copy_text(pci.devicename, "Cloud AI 100 (simulated)");
  pci.pciExtInfo = {4, 8, 4, 8, 0, 0};
  QHostApiInfoDevData& dev = info.devData;
  dev.formatVersion = 1;
  dev.fwVersionMajor = 1;
  copy_text(dev.fwQCImageVersionString, "qaicsim (simulated)");
  copy_text(dev.fwOEMImageVersionString, "qaicsim");
  copy_text(dev.fwImageVariantString, "AIC100");
  copy_text(dev.sblImageString, "qaicsim");
  dev.hwVersion = 0x02000000;
  copy_text(dev.serial, cat("SIM", card.id));
  dev.metaVerMaj = 9;
  dev.nncCommandProtocolMajor = 1;
  dev.resourceInfo = resources_of(card);
  dev.performanceInfo = performance_of();
  {
    const std::lock_guard lock(card.mutex);
    dev.numLoadedNWs = static_cast<uint8_t>(std::min(255u, card.loaded));
    dev.numActiveNWs = static_cast<uint8_t>(std::min(255u, card.active));
  }
  QHostApiInfoNspVersion& nsp = info.nspData.nspFwVersion;
  nsp.major = 1;
  copy_text(nsp.qc, "qaicsim (simulated)");
  copy_text(nsp.oem, "qaicsim");
  copy_text(nsp.variant, "AIC100");
  return info;
}

QBoardInfo board_of(Card& card) {
  const QDevInfo info = describe(card);
  const QHostApiInfoDevData& dev = info.devData;
  QBoardInfo board{};
  board.formatVersion = dev.formatVersion;
  board.fwVersionMajor = dev.fwVersionMajor;
  copy_text(board.fwQCImageVersionString, dev.fwQCImageVersionString);
  copy_text(board.fwOEMImageVersionString, dev.fwOEMImageVersionString);
  copy_text(board.fwImageVariantString, dev.fwImageVariantString);
  copy_text(board.sblImageString, dev.sblImageString);
  board.hwVersion = dev.hwVersion;
  copy_text(board.serial, dev.serial);
  copy_text(board.boardSerial, cat("SIMBOARD", card.id));
  return board;
}

QTelemetryInfo telemetry_of(Card& card) {
  constexpr uint32_t kIdleCelsius = 35;
  constexpr uint32_t kIdleWatts = 15;
  constexpr uint32_t kWattsOfNsp = 3;
  constexpr uint32_t kTdpWatts = 75;
  const std::lock_guard lock(card.mutex);
  return {kIdleCelsius + 2 * card.nsp_used,
          std::min(kIdleWatts + kWattsOfNsp * card.nsp_used, kTdpWatts), kTdpWatts};
}

}  // namespace

extern "C" {

QStatus qaicGetAicVersion(uint16_t* major, uint16_t* minor, const char** patch,
                          const char** variant) {
  if (!major || !minor || !patch || !variant) return QS_INVAL;
  *major = kMajor;
  *minor = kMinor;
  *patch = kPatch;
  *variant = kVariant;
  return QS_SUCCESS;
}

QStatus qaicGetDeviceIds(uint32_t* count, QID* ids) {
  if (!count) return QS_INVAL;
  return guard([&] {
    const std::vector<QID> all = Machine::get().ids();
    const uint32_t room = ids ? *count : 0;
    std::copy_n(all.begin(), std::min<size_t>(room, all.size()), ids);
    *count = static_cast<uint32_t>(all.size());
    return QS_SUCCESS;
  });
}

QStatus qaicGetDeviceInfo(QID device, QDevInfo* info) {
  if (!info) return QS_INVAL;
  return guard([&] {
    Card* const card = Machine::get().card(device);
    if (!card) return QS_NODEV;
    *info = describe(*card);
    return QS_SUCCESS;
  });
}

QStatus qaicGetResourceInfo(QID device, QResourceInfo* info) {
  if (!info) return QS_INVAL;
  return guard([&] {
    Card* const card = Machine::get().card(device);
    if (!card) return QS_NODEV;
    *info = resources_of(*card);
    return QS_SUCCESS;
  });
}

QStatus qaicGetPerformanceInfo(QID device, QPerformanceInfo* info) {
  if (!info) return QS_INVAL;
  return guard([&] {
    if (!Machine::get().card(device)) return QS_NODEV;
    *info = performance_of();
    return QS_SUCCESS;
  });
}

QStatus qaicsimGetBoardInfo(QID device, QBoardInfo* info) {
  if (!info) return QS_INVAL;
  return guard([&] {
    Card* const card = Machine::get().card(device);
    if (!card) return QS_NODEV;
    *info = board_of(*card);
    return QS_SUCCESS;
  });
}

QStatus qaicsimGetTelemetry(QID device, QTelemetryInfo* info) {
  if (!info) return QS_INVAL;
  return guard([&] {
    Card* const card = Machine::get().card(device);
    if (!card) return QS_NODEV;
    *info = telemetry_of(*card);
    return QS_SUCCESS;
  });
}

}  // extern "C"
