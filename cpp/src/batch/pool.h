#pragma once

#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "batch/slot_table.h"
#include "qaickit/batch.h"
#include "qaickit/status.h"

namespace qaickit {

struct PoolCore;

// The workers of a session: one for each activation, pulling samples from one queue into batches.
//
//   submit() -> ring (small queries) or board (big ones) -> worker -> Slot -> device -> handler
//
// On an idle synchronous device submit() may run the batch itself, on its caller's thread.
class Pool {
 public:
  // `keep_alive` is held as long as any thread of the pool may still touch `slots` or the device.
  static Result<std::unique_ptr<Pool>> start(std::shared_ptr<SlotTable> slots, bool async_device,
                                             std::shared_ptr<void> keep_alive,
                                             BatchHandler& handler, const BatchPolicy& policy);
  ~Pool();  // stops

  // As Session::submit, flush and stop.
  Status submit(std::span<const Sample> samples) noexcept;
  void flush() noexcept;
  Status stop() noexcept;
  BatchStats stats() const;

 private:
  explicit Pool(std::shared_ptr<PoolCore> core);
  uint32_t abandon_running(const Status& why) noexcept;

  std::shared_ptr<PoolCore> core_;
  std::vector<std::thread> threads_;
  bool stopped_ = false;
};

}  // namespace qaickit
