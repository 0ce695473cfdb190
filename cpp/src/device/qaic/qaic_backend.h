#pragma once

#include "qaickit/device.h"

namespace qaickit {

// Cloud AI 100 cards, through the vendor's library; asynchronous. Settings:
//   threads_per_queue        of the library, for each activation (4)
//   submit_num_retries       of a run that has no room: by the library, where the card has none for
//                            it, and here, where the library has none (5)
//   submit_retry_timeout_ms  of each try by the library; of all together here (0: 5000, as the
//                            kernel's own)
//   skip_stage               name of an io set ("quantize", "transpose", "d32convert", "convert",
//                            "dma"), or a part of it: inputs and outputs (Program::io) are as they
//                            are on the card's side of that step of pre- and post-processing. Where
//                            no step but the copy is left they lie in the driver's DMA buffers
//                            (copy nothing), else in host buffers. Empty: as the program says
//                            Of several allowed shapes only the full one is left: the vendor's
//                            format lists them for the user's buffers alone. Tiled layouts are
//                            handed over as the card has them (bytes: they are not public), which
//                            the simulator refuses, since it cannot undo them
//   dev_mapping              "0:1:2": the program runs over those cards, of which the one it is
//                            loaded on must be one; each gives as many NSPs as the program was
//                            compiled for. Empty: on one card
// State (Program::keeps_state) stays on the card, unless a stage is skipped.
// An activation keeps `set_size` ExecObjs; a run whose completion never comes is given up by
// ExecObj::cancel(), which goes on with a new exec object of the library's.
Result<std::vector<DeviceInfo>> enumerate_qaic();
Result<std::shared_ptr<Device>> create_qaic(int id);
std::vector<std::pair<std::string, std::string>> qaic_details();

constexpr Backend qaic_backend() {
  return {"qaic", "Cloud AI 100 cards, through libQAic.so", enumerate_qaic, create_qaic,
          qaic_details};
}

}  // namespace qaickit
