"""Every name of the vendor's Python modules that its pages or public programs use is there.

What the names do is tested elsewhere: test_qaicrt.py, test_session.py, test_vendor_patterns.py.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import pytest

import qaic
import qaicrt

aicapi = pytest.importorskip("QAicApi_pb2")

# Class -> methods and fields of its instances.
QAICRT = {
    "Util": "checkLibraryVersion getAicVersion getDeviceIds getDeviceInfo getPerformanceInfo "
    "getResourceInfo lockDevice",
    "QIDList": "append __getitem__ __iter__ __len__",
    "Context": "setLogLevel",
    "Queue": "enqueue initProperties",
    "QAicQueueProperties": "properties numThreadsPerQueue",
    "Qpc": "getIoDescriptor getBufferMappings",
    "BufferMapping": "bufferName index ioType size isPartialBufferAllowed dataType",
    "QAicProgramProperties": "SubmitRetryTimeoutMs SubmitNumRetries dataPathTimeoutMs devMapping",
    "Program": "load unload activate deactivate createSlicingSpecHandle",
    "ExecObj": "setData setDataWithSlices getData run waitForCompletion getId",
    "QBuffer": "size __bytes__",
    "BufferDimensionsVecRef": "__setitem__ __getitem__ __iter__",
    "InferenceVector": "getVector",
    "InferenceSet": "submit getAvailable getCompleted getCompletedId putCompleted "
    "waitForCompletion",
    "InferenceHandle": "setBuffers getBuffers execObj",
    "InferenceSetProperties": "programProperties queueProperties name id",
    "BenchmarkProperties": "programProperties queueProperties name id",
    "InferenceBenchmarkSet": "enable disable run runForDuration getInfCompleted getLastRunStats "
    "setLiveReporting setLiveProfilingLevel enableExecObjCompletionCallback "
    "disableExecObjCompletionCallback enableOpStatsCallback disableOpStatsCallback "
    "initDefaultProperties",
    "ExecObjInfo": "execObjIndex activationIndex programId programName status",
    "ProfilingHandle": "start stop",
    "QDevInfo": "qid devStatus name pciInfo devData nspData",
    "QHostApiInfoDevData": "resourceInfo performanceInfo serial hwVersion fwQCImageVersionString "
    "fwVersionMajor fwVersionMinor fwVersionPatch fwVersionBuild numLoadedNWs numActiveNWs",
    "QHostApiInfoNspData": "nspFwVersion",
    "QHostApiInfoNspVersion": "major minor patch build qc oem variant",
    "QPciInfo": "domain bus device function classname vendorname devicename",
    "QResourceInfo": "dramTotal dramFree vcTotal vcFree nspTotal nspFree mcidTotal mcidFree "
    "semTotal semFree pcTotal pcReserved skuType",
    "QPerformanceInfo": "nspFrequencyHz ddrFrequencyHz compFrequencyHz memFrequencyHz "
    "sysFrequencyHz peakCompute dramBw",
}
# Enum -> its values.
ENUMS = {
    "QStatus": "QS_SUCCESS QS_PERM QS_AGAIN QS_NOMEM QS_BUSY QS_NODEV QS_INVAL QS_NOSPC QS_BADFD "
    "QS_TIMEDOUT QS_PROTOCOL QS_UNSUPPORTED QS_DATA_CRC_ERROR QS_DEV_ERROR QS_ERROR",
    "QLogLevel": "QL_DEBUG QL_INFO QL_WARN QL_ERROR",
    "QDevStatus": "QDS_INITIALIZING QDS_READY QDS_ERROR",
    "QAicDeviceType": "QAIC_DEVICE_TYPE_DEFAULT",
    "BufferIoTypeEnum": "BUFFER_IO_TYPE_INPUT BUFFER_IO_TYPE_OUTPUT",
    "LiveReportingLevelEnum": "LIVE_REPORTING_SUMMARY",
    "QAicProfilingTypeEnum": "QAIC_PROFILING_INFERENCE_LATENCY_TYPE "
    "QAIC_PROFILING_INFERENCE_TRACE_TYPE QAIC_PROFILING_INFERENCE_RAW_DEVICE_STATS_TYPE "
    "QAIC_PROFILING_INFERENCE_DEV_KPI_TYPE",
}
SESSION = (
    "setup reset run run_benchmark model_input_shape_dict model_output_shape_dict backend_options "
    "update_backend_options get_metrics print_metrics print_profile_data profiling_results"
)
MESSAGES = {
    "IoDesc": "io_sets selected_set program_name dma_buf runtime_constants pre_process_skip_stages "
    "post_process_skip_stages allowed_shapes",
    "IoSet": "name bindings",
    "IoBinding": "name index type dir quant_scale quant_offset dims size dma_buf_info "
    "is_partial_buf_allowed is_valid",
    "IoShapes": "shapes",
    "TensorShape": "type dims",
}
AICAPI = (
    "BUFFER_IO_TYPE_INPUT BUFFER_IO_TYPE_OUTPUT FLOAT_TYPE FLOAT_16_TYPE INT8_Q_TYPE UINT8_Q_TYPE "
    "INT16_Q_TYPE INT32_Q_TYPE INT32_I_TYPE INT64_I_TYPE INT8_TYPE BFLOAT16_TYPE"
)


@pytest.mark.parametrize(("name", "members"), [*QAICRT.items(), *ENUMS.items()])
def test_qaicrt_has(name: str, members: str) -> None:
    cls = getattr(qaicrt, name)
    assert [member for member in members.split() if not hasattr(cls, member)] == []


def test_a_session_has_what_is_documented() -> None:
    assert [name for name in SESSION.split() if not hasattr(qaic.Session, name)] == []
    parameters = inspect.signature(qaic.Session.run_benchmark).parameters
    assert list(parameters)[1:4] == ["num_inferences", "inf_time", "input_dict"]


@pytest.mark.parametrize(("name", "fields"), MESSAGES.items())
def test_messages_have(name: str, fields: str) -> None:
    message = getattr(aicapi, name)()
    assert [field for field in fields.split() if not hasattr(message, field)] == []


def test_enum_values_of_the_messages_are_in_the_module() -> None:
    values = [getattr(aicapi, name) for name in AICAPI.split()]
    assert all(isinstance(value, int) for value in values)


def value_of(info: Any, path: str) -> Any:
    return functools.reduce(getattr, path.split("."), info)


def test_what_monitors_read_of_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """As programs that list accelerators do, whatever the device is."""
    monkeypatch.setenv("QAICKIT_BACKEND", "cpu")
    status, ids = qaicrt.Util().getDeviceIds()
    assert status.value == 0
    for id in ids:
        status, info = qaicrt.Util().getDeviceInfo(id)
        assert status.value == 0
        assert info.devStatus.value == 1
        resources = info.devData.resourceInfo
        assert 0 < resources.dramFree <= resources.dramTotal
        assert (resources.nspTotal - resources.nspFree) / resources.nspTotal == 0
        for path in (
            "name", "pciInfo.devicename", "devData.fwQCImageVersionString", "devData.serial",
            "nspData.nspFwVersion.qc",
        ):  # fmt: skip
            assert isinstance(value_of(info, path), str)
        assert info.pciInfo.devicename
        assert value_of(info, "pciInfo.pciExtInfo.maxLinkWidth") == 0
        assert value_of(info, "devData.performanceInfo.nspFrequencyHz") == 0
