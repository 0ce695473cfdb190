#pragma once

#include "objects.h"

// The buffers of exec objects.
namespace qaicsim {

// The io set that a serialised IoDesc selects (null: "default"), with what brings its buffers to
// the host half's. With zero copy it must be what the DMA buffers hold, or null.
QStatus pick_set(QAicExecObj& exec, const QData* io_descriptor);
// Buffers of its own, for the set that was picked.
QStatus make_dma_buffers(QAicExecObj& exec);
// The caller's; dims may be null.
QStatus set_data(QAicExecObj& exec, uint32_t count, const QBuffer* buffers,
                 const QBufferDimensions* dims);

}  // namespace qaicsim
