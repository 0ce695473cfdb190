#include "qpc_state.h"

#include <algorithm>
#include <limits>

#include "base/cat.h"
#include "report.h"
#include "text.h"

namespace qaicsim {

using qaickit::cat;

QStatus make_qpc(qaickit::Result<std::shared_ptr<const qaickit::Qpc>> opened,
                 std::unique_ptr<QAicQpcObj>* out) {
  const auto refuse = [](const qaickit::Status& status) {
    log(nullptr, QL_ERROR, cat("not a QPC that can be opened: ", status.message()));
    return QS_ERROR;
  };
  if (!opened.ok()) return refuse(opened.status());
  auto state = std::make_shared<QpcState>();
  state->qpc = *opened;
  const std::span<const std::byte> network = *state->qpc->find(qaickit::kNetworkDescSegment);
  if (const auto status = qaickit::derive_io_desc(network, &state->io_desc); !status.ok()) {
    return refuse(status);
  }
  auto bytes = qaickit::encode_io_desc(network);
  if (!bytes.ok()) return refuse(bytes.status());
  state->io_desc_bytes = std::move(bytes).value();
  auto mappings = qaickit::derive_buffer_mappings(network);
  if (!mappings.ok()) return refuse(mappings.status());
  state->mappings = std::move(mappings).value();
  for (size_t i = 0; i < state->mappings.size(); ++i) {
    qaickit::BufferMapping& row = state->mappings[i];
    state->user_rows.push_back({row.name.data(), static_cast<uint32_t>(i),
                                row.is_input ? BUFFER_IO_TYPE_INPUT : BUFFER_IO_TYPE_OUTPUT,
                                row.size, row.is_partial_allowed,
                                static_cast<QAicBufferDataTypeEnum>(row.data_type)});
  }
  static char no_name[] = "noname";
  for (const aicapi::DmaBuf& buffer : state->io_desc.dma_buf()) {
    const bool is_input = buffer.dir() == aicapi::BUFFER_IO_TYPE_INPUT;
    state->dma_rows.push_back({no_name, buffer.index(),
                               is_input ? BUFFER_IO_TYPE_INPUT : BUFFER_IO_TYPE_OUTPUT,
                               buffer.size(), false, BUFFER_DATA_TYPE_INVAL});
  }

  auto object = std::make_unique<QAicQpcObj>();
  const qaickit::ProgramSpec& spec = state->qpc->program();
  copy_text(object->program.name, spec.name);
  object->program.numCores = spec.num_cores;
  object->program.ioBufferInfo = {static_cast<uint32_t>(state->user_rows.size()),
                                  state->user_rows.data()};
  object->program.ioBufferInfoDma = {static_cast<uint32_t>(state->dma_rows.size()),
                                     state->dma_rows.data()};
  object->program.batchSize = spec.batch_size;
  for (const std::string_view name : {qaickit::kConstantsSegment, qaickit::kConstantsDescSegment}) {
    const auto segment = state->qpc->find(name);
    if (!segment) continue;
    QAicQpcConstantsInfo info{};
    copy_text(info.name, name);
    info.constantsIndex = static_cast<uint32_t>(object->constants.size());
    info.size = static_cast<uint32_t>(
        std::min<size_t>(segment->size(), std::numeric_limits<uint32_t>::max()));
    object->constants.push_back(info);
  }
  object->info = {1, &object->program, static_cast<uint32_t>(object->constants.size()),
                  object->constants.data()};
  object->state = std::move(state);
  *out = std::move(object);
  return QS_SUCCESS;
}

}  // namespace qaicsim
