"""`qaicrt` and `QAicApi_pb2`, used as public programs for the vendor's modules use them."""

from __future__ import annotations

import csv
import gc
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SaveOnnx
from onnx import TensorProto, helper

import qaic
import qaicrt
from qaickit import _core, util
from qaickit.runner import profiles as runner_profiles

aicapi = pytest.importorskip("QAicApi_pb2")

SUCCESS = qaicrt.QStatus.QS_SUCCESS
INVAL = qaicrt.QStatus.QS_INVAL
MANIFEST = {"producer": "tests", "precision": "fp32"}
NUMPY = {
    aicapi.FLOAT_TYPE: np.dtype(np.float32),
    aicapi.INT64_I_TYPE: np.dtype(np.int64),
    aicapi.INT8_TYPE: np.dtype(np.int8),
}
Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True)
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The CPU, unless the environment names another; see the last test."""
    name = os.environ.get("QAICKIT_BACKEND", "cpu")
    monkeypatch.setenv("QAICKIT_BACKEND", name)
    yield name
    gc.collect()


def tensor(name: str, dims: list[int], dtype: str = "float32", **more: Any) -> dict[str, Any]:
    return {"name": name, "dtype": dtype, "dims": dims, **more}


def write(folder: Path, graph: Path, program: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "programqpc.bin"
    _core.write_qpc(str(path), program, MANIFEST, graph.read_bytes(), {})
    return folder


@pytest.fixture
def sum_qpc(save_onnx: SaveOnnx, tmp_path: Path) -> Path:
    """total = x + y and sign = x > 0, for x and y of [2, 4] or [1, 3]."""
    open_dims = ["n", "m"]
    graph = save_onnx(
        [
            helper.make_node("Add", ["x", "y"], ["total"]),
            helper.make_node("Sign", ["x"], ["sign"]),
        ],
        [(name, TensorProto.FLOAT, open_dims) for name in "xy"],
        [(name, TensorProto.FLOAT, open_dims) for name in ("total", "sign")],
    )
    program = {
        "name": "sum",
        "inputs": [tensor("x", [2, 4]), tensor("y", [2, 4])],
        "outputs": [tensor("total", [2, 4]), tensor("sign", [2, 4])],
        "allowed_shapes": [[[2, 4]] * 4, [[1, 3]] * 4],
    }
    return write(tmp_path / "sum", graph, program)


@pytest.fixture
def cache_qpc(save_onnx: SaveOnnx, tmp_path: Path) -> Path:
    """A running sum: past_RetainedState = past + x, out = past_RetainedState * 2."""
    graph = save_onnx(
        [
            helper.make_node("Add", ["past", "x"], ["past_RetainedState"]),
            helper.make_node("Add", ["past_RetainedState", "past_RetainedState"], ["out"]),
        ],
        [(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "past")],
        [(name, TensorProto.FLOAT, [1, 4]) for name in ("out", "past_RetainedState")],
    )
    program = {
        "name": "cache",
        "inputs": [tensor("x", [1, 4]), tensor("past", [1, 4], partial=True)],
        "outputs": [tensor("out", [1, 4]), tensor("past_RetainedState", [1, 4])],
    }
    return write(tmp_path / "cache", graph, program)


class Client:
    """The way of public clients: buffers and dims of all bindings, replaced by name."""

    def __init__(self, path: Path) -> None:
        self.context = qaicrt.Context(qaicrt.QIDList([0]))
        self.queue = qaicrt.Queue(self.context, 0)
        qpc = qaicrt.Qpc(str(path) + "/")
        io_desc = aicapi.IoDesc()
        status, data = qpc.getIoDescriptor()
        assert status == SUCCESS
        io_desc.ParseFromString(bytes(data))
        self.allowed = [
            [(NUMPY[x.type].itemsize, list(x.dims)) for x in shapes.shapes]
            for shapes in io_desc.allowed_shapes
        ]
        self.bindings = io_desc.selected_set.bindings
        self.index = {binding.name: binding.index for binding in self.bindings}
        properties = qaicrt.QAicProgramProperties()
        properties.dataPathTimeoutMs = 60_000
        self.program = qaicrt.Program(self.context, 0, qpc, properties)
        assert self.program.load() == SUCCESS
        assert self.program.activate() == SUCCESS
        self.exec_obj = qaicrt.ExecObj(self.context, self.program)
        self.buffers = [qaicrt.QBuffer(bytes(binding.size)) for binding in self.bindings]
        self.dims = qaicrt.BufferDimensionsVecRef(
            [(NUMPY[binding.type].itemsize, list(binding.dims)) for binding in self.bindings]
        )

    def set(self, **arrays: Array) -> None:
        for name, array in arrays.items():
            self.buffers[self.index[name]] = qaicrt.QBuffer(array.tobytes())
            self.dims[self.index[name]] = (array.itemsize, array.shape or (1,))

    def start(self) -> qaicrt.QStatus:
        assert self.exec_obj.setData(self.buffers, self.dims) == SUCCESS
        assert self.queue.enqueue(self.exec_obj) == SUCCESS
        return self.exec_obj.waitForCompletion()

    def run(self, **arrays: Array) -> dict[str, Array]:
        self.set(**arrays)
        assert self.start() == SUCCESS
        status, made = self.exec_obj.getData()
        assert status == SUCCESS
        outputs = {}
        for binding in self.bindings:
            i = binding.index
            if binding.dir == aicapi.BUFFER_IO_TYPE_OUTPUT and self.buffers[i].size != 0:
                flat = np.frombuffer(bytes(made[i]), NUMPY[binding.type])
                outputs[binding.name] = flat.reshape(self.dims[i][1])
        return outputs

    def close(self) -> None:
        del self.exec_obj
        assert self.program.deactivate() == SUCCESS


def floats(*shape: int, start: float = -3) -> Array:
    return np.arange(start, start + np.prod(shape), dtype=np.float32).reshape(shape)


def test_a_client_runs_each_shape(sum_qpc: Path) -> None:
    client = Client(sum_qpc)
    assert client.allowed == [[(4, [2, 4])] * 4, [(4, [1, 3])] * 4]
    for shape in [(2, 4), (1, 3), (2, 4)]:
        x, y = floats(*shape), floats(*shape, start=10)
        holders = {name: np.zeros(shape, np.float32) for name in ("total", "sign")}
        outputs = client.run(x=x, y=y, **holders)
        np.testing.assert_array_equal(outputs["total"], x + y)
        np.testing.assert_array_equal(outputs["sign"], np.sign(x))
    client.close()


def test_dims_of_no_allowed_shape_fail_the_run(
    sum_qpc: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    client = Client(sum_qpc)
    client.set(x=floats(2, 3), y=floats(2, 3))
    assert client.start() == INVAL
    assert "No matching dimension found" in capfd.readouterr().err
    assert client.exec_obj.getData()[0] == INVAL
    client.close()


def test_what_is_retained_feeds_the_next_run(cache_qpc: Path) -> None:
    client = Client(cache_qpc)
    skipped = np.array([])
    client.set(past=skipped, past_RetainedState=skipped)
    assert client.dims[client.index["past"]][1] == [0]
    expected = np.zeros((1, 4), np.float32)
    for step in range(1, 6):
        x = floats(1, 4, start=step)
        expected = expected + x
        outputs = client.run(x=x)
        assert list(outputs) == ["out"]
        np.testing.assert_array_equal(outputs["out"], expected * 2)
    # Given, it replaces what was kept; asked for, it is handed out.
    outputs = client.run(
        x=np.ones((1, 4), np.float32),
        past=np.full((1, 4), 5, np.float32),
        past_RetainedState=np.zeros((1, 4), np.float32),
    )
    np.testing.assert_array_equal(outputs["past_RetainedState"], np.full((1, 4), 6))
    client.set(past=skipped, past_RetainedState=skipped)
    np.testing.assert_array_equal(client.run(x=np.ones((1, 4), np.float32))["out"], [[14] * 4])
    client.close()


def test_a_program_starts_afresh_when_it_is_activated_again(cache_qpc: Path) -> None:
    client = Client(cache_qpc)
    client.set(past=np.array([]), past_RetainedState=np.array([]))
    ones = np.ones((1, 4), np.float32)
    client.run(x=ones)
    client.close()
    assert client.program.activate() == SUCCESS
    client.exec_obj = qaicrt.ExecObj(client.context, client.program)
    np.testing.assert_array_equal(client.run(x=ones)["out"], [[2] * 4])
    client.close()


def test_arrays_are_read_and_filled_in_place(sum_qpc: Path) -> None:
    client = Client(sum_qpc)
    execs = [qaicrt.ExecObj(client.context, client.program) for _ in range(3)]
    x = floats(2, 4)
    totals = [np.zeros((2, 4), np.float32) for _ in execs]
    for n, (exec_obj, total) in enumerate(zip(execs, totals, strict=True)):
        y = np.full((2, 4), n, np.float32)
        assert exec_obj.setData([(0, x), (1, y), (2, total)]) == SUCCESS
        assert client.queue.enqueue(exec_obj) == SUCCESS
    for n, (exec_obj, total) in enumerate(zip(execs, totals, strict=True)):
        assert exec_obj.waitForCompletion() == SUCCESS
        np.testing.assert_array_equal(total, x + n)
    # Only what is named changes.
    assert execs[0].setData([(1, np.full((2, 4), 9, np.float32))]) == SUCCESS
    assert client.queue.enqueue(execs[0]) == SUCCESS
    assert execs[0].waitForCompletion() == SUCCESS
    np.testing.assert_array_equal(totals[0], x + 9)


def test_arrays_that_cannot_be_used_in_place_are_refused(sum_qpc: Path) -> None:
    exec_obj = Client(sum_qpc).exec_obj
    assert exec_obj.setData([(0, floats(4, 2).T)]) == INVAL
    fixed = floats(2, 4)
    fixed.flags.writeable = False
    assert exec_obj.setData([(0, fixed)]) == SUCCESS
    assert exec_obj.setData([(2, fixed)]) == INVAL
    assert exec_obj.setData([(4, floats(2, 4))]) == INVAL
    assert exec_obj.setData([qaicrt.QBuffer(b"1234")]) == INVAL


def test_each_exec_object_has_an_id(sum_qpc: Path) -> None:
    client = Client(sum_qpc)
    others = [qaicrt.ExecObj(client.context, client.program) for _ in range(3)]
    ids = [exec_obj.getId() for exec_obj in [client.exec_obj, *others]]
    assert len(set(ids)) == 4
    assert ids == [exec_obj.getId() for exec_obj in [client.exec_obj, *others]]


@pytest.mark.skipif(os.environ.get("QAICKIT_BACKEND") != "qaic", reason="CPUs are never full")
def test_a_full_card_says_so_in_the_vendors_word(save_onnx: SaveOnnx, tmp_path: Path) -> None:
    graph = save_onnx(
        [helper.make_node("Neg", ["x"], ["y"])],
        [("x", TensorProto.FLOAT, [4])],
        [("y", TensorProto.FLOAT, [4])],
    )
    program = {"inputs": [tensor("x", [4])], "outputs": [tensor("y", [4])], "num_cores": 10}
    qpc = qaicrt.Qpc(str(write(tmp_path / "big", graph, {"name": "big", **program})))
    context = qaicrt.Context()
    first, second = (qaicrt.Program(context, 0, qpc) for _ in range(2))
    assert first.activate() == SUCCESS
    word = "QAIC_ERROR_NSP_ALLOC_FAILED"
    with pytest.raises(RuntimeError, match=word):
        second.activate()
    with pytest.raises(RuntimeError, match=word):
        qaicrt.ExecObj(context, second)
    with pytest.raises(RuntimeError, match=word):
        qaicrt.InferenceSet(context, qpc, 0, 1, 1)
    bench = qaicrt.InferenceBenchmarkSet(context, qpc, 0, 1, 1)
    assert bench.enable() == qaicrt.QStatus.QS_NOSPC
    assert first.deactivate() == SUCCESS
    assert second.activate() == SUCCESS


@pytest.fixture
def halves(save_onnx: SaveOnnx, tmp_path: Path) -> list[Path]:
    """y = -x and y = |x|, of 10 cores each, of which a card has 16."""
    made = []
    for operator in ("Neg", "Abs"):
        graph = save_onnx(
            [helper.make_node(operator, ["x"], ["y"])],
            [("x", TensorProto.FLOAT, [4])],
            [("y", TensorProto.FLOAT, [4])],
            file_name=f"{operator}.onnx",
        )
        program = {"inputs": [tensor("x", [4])], "outputs": [tensor("y", [4])], "num_cores": 10}
        made.append(write(tmp_path / operator, graph, {"name": operator, **program}))
    return made


def test_programs_of_a_group_share_cores(halves: list[Path]) -> None:
    """As public programs of several models do; each alone fits a card, both together do not."""
    context = qaicrt.Context()
    properties = qaicrt.QAicProgramGroupProperties()
    protocols = qaicrt.QAicProgramGroupPropertiesProtocol
    properties.protocolSelect = protocols.QAIC_PROGRAM_GROUP_PROTOCOL_DATA_PATH
    group = qaicrt.ProgramGroup(context, 0, "both", properties)
    programs = []
    for path in halves:
        status, program = group.addProgram(qaicrt.Qpc(str(path)))
        assert status == SUCCESS
        programs.append(program)
    assert group.enable() == SUCCESS
    execs = [qaicrt.ExecObj(context, program) for program in programs]
    x = floats(4)
    wanted = [-x, np.abs(x)]
    for turn in range(6):
        exec_obj = execs[turn % 2]
        y = np.zeros(4, np.float32)
        assert exec_obj.setData([(0, x), (1, y)]) == SUCCESS
        assert group.enqueue(exec_obj) == SUCCESS
        assert exec_obj.waitForCompletion() == SUCCESS
        np.testing.assert_array_equal(y, wanted[turn % 2])
    # Side by side: each waits for the other's cores, where there are too few.
    results = [np.zeros(4, np.float32) for _ in range(8)]
    many = [qaicrt.ExecObj(context, programs[n % 2]) for n in range(8)]
    for exec_obj, y in zip(many, results, strict=True):
        assert exec_obj.setData([(0, x), (1, y)]) == SUCCESS
        assert group.enqueue(exec_obj) == SUCCESS
    for n, (exec_obj, y) in enumerate(zip(many, results, strict=True)):
        assert exec_obj.waitForCompletion() == SUCCESS
        np.testing.assert_array_equal(y, wanted[n % 2])
    assert group.disable(False, 0) == SUCCESS
    assert group.disable(False, 0) == INVAL
    assert group.enqueue(execs[0]) == INVAL
    # Its cores are free again.
    assert qaicrt.Program(context, 0, qaicrt.Qpc(str(halves[0]))).activate() == SUCCESS


def test_what_a_group_refuses(halves: list[Path], capfd: pytest.CaptureFixture[str]) -> None:
    context = qaicrt.Context()
    group = qaicrt.ProgramGroup(context, 0, "mine")
    _, program = group.addProgram(qaicrt.Qpc(str(halves[0])))
    exec_obj = qaicrt.ExecObj(context, program)
    assert group.enqueue(exec_obj) == INVAL
    assert "program group 'mine' is not enabled; call enable()" in capfd.readouterr().err
    assert group.enable() == SUCCESS
    del exec_obj
    program.deactivate()
    stranger = qaicrt.ExecObj(context, qaicrt.Program(context, 0, qaicrt.Qpc(str(halves[1]))))
    assert group.enqueue(stranger) == INVAL
    assert "not one of program group 'mine'" in capfd.readouterr().err
    with pytest.raises(RuntimeError, match="device 7"):
        qaicrt.ProgramGroup(qaicrt.Context([0]), 7, "elsewhere")


def test_a_program_without_a_device(sum_qpc: Path) -> None:
    """As an older public client makes one, and sets defaults through it."""
    program = qaicrt.Program(qaicrt.Context((0,)), qpcObj=qaicrt.Qpc(str(sum_qpc)))
    assert program.load() == SUCCESS
    properties = qaicrt.QAicProgramProperties()
    properties.SubmitRetryTimeoutMs = 600_000
    program.initProperties(properties)
    assert properties.SubmitRetryTimeoutMs == 0


def test_a_deactivated_program_leaves_the_device_free(halves: list[Path]) -> None:
    context, qpc = qaicrt.Context(), qaicrt.Qpc(str(halves[0]))
    first = qaicrt.Program(context, 0, qpc)
    kept = qaicrt.ExecObj(context, first)
    assert first.deactivate() == SUCCESS
    second = qaicrt.Program(context, 0, qpc)
    assert second.activate() == SUCCESS
    assert kept.run([qaicrt.QBuffer(floats(4)) for _ in range(2)]) == INVAL


def test_data_that_is_no_data(sum_qpc: Path, capfd: pytest.CaptureFixture[str]) -> None:
    exec_obj = Client(sum_qpc).exec_obj
    x = floats(2, 4)
    buffers: Any = [qaicrt.QBuffer(x), x.tobytes(), qaicrt.QBuffer(x), qaicrt.QBuffer(x)]
    with pytest.raises(TypeError, match="buffer 1: expected a QBuffer, got bytes"):
        exec_obj.setData(buffers)
    pairs: list[Any]
    for pairs in ([(0,)], [(0, "x")], [("x", x)], [(0, x), 5]):
        with pytest.raises(TypeError, match=r"expected .binding index, numpy array."):
            exec_obj.setData(pairs)
    assert exec_obj.setData([(-1, x)]) == INVAL
    assert "binding -1 does not exist; there are 4" in capfd.readouterr().err
    for wrong in (x.astype(object), x.astype(">f4"), x.astype(np.float64)):
        assert exec_obj.setData([(0, wrong)]) == INVAL
        assert f"'x': expected float32, got {wrong.dtype}" in capfd.readouterr().err
    with pytest.raises(TypeError, match="array of Python objects"):
        qaicrt.QBuffer(x.astype(object))
    pairs = [[0, x], (np.int64(1), x.view(np.uint8)), (2, np.zeros_like(x))]
    assert exec_obj.setData(pairs) == SUCCESS
    assert exec_obj.setData([(3, np.zeros_like(x))]) == SUCCESS


def test_what_waits_in_vain_says_so(sum_qpc: Path, capfd: pytest.CaptureFixture[str]) -> None:
    client = Client(sum_qpc)
    assert client.exec_obj.waitForCompletion() == INVAL
    assert "no run of this exec object was started" in capfd.readouterr().err


def test_a_handles_exec_object_run_by_hand(sum_qpc: Path) -> None:
    """It neither counts as a submission, nor reaches into a set that is gone."""
    inference_set = qaicrt.InferenceSet(qaicrt.Context(), qaicrt.Qpc(str(sum_qpc)), None, 1, 1)
    _, handle = inference_set.getAvailable()
    exec_obj = handle.execObj()
    buffers = [qaicrt.QBuffer(floats(2, 4)) for _ in range(4)]
    assert exec_obj.run(buffers) == SUCCESS
    assert inference_set.waitForCompletion() == SUCCESS
    assert inference_set.getCompleted() == (qaicrt.QStatus.QS_AGAIN, None)
    assert inference_set.putCompleted(handle) == SUCCESS
    assert handle.setBuffers(buffers) == INVAL
    del handle, inference_set
    gc.collect()
    assert exec_obj.run(buffers) == SUCCESS


def test_a_callback_cannot_end_its_benchmark(sum_qpc: Path) -> None:
    bench = qaicrt.InferenceBenchmarkSet(qaicrt.Context(), qaicrt.Qpc(str(sum_qpc)), None, 1, 1)
    assert bench.enable() == SUCCESS
    told: list[qaicrt.QStatus] = []
    bench.enableExecObjCompletionCallback(lambda *_: told.append(bench.disable()))
    assert bench.run(2) == SUCCESS
    assert told == [INVAL, INVAL]
    assert bench.disable() == SUCCESS


@pytest.mark.parametrize("waits", ["bench.runForDuration(600)", "made.getCompletedId(4711)"])
def test_ctrl_c_ends_a_wait(sum_qpc: Path, waits: str) -> None:
    code = (
        "import qaicrt, signal, sys, threading, time\n"
        f"context, qpc = qaicrt.Context(), qaicrt.Qpc({str(sum_qpc)!r})\n"
        "made = qaicrt.InferenceSet(context, qpc, None, 1, 1)\n"
        "bench = qaicrt.InferenceBenchmarkSet(context, qpc, None, 1, 1)\n"
        "bench.enable()\n"
        "main = threading.get_ident()\n"
        "def press(): time.sleep(0.3); signal.pthread_kill(main, signal.SIGINT)\n"
        # Ignored in a process that a shell has put into the background.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "try:\n"
        "    threading.Thread(target=press).start()\n"
        f"    {waits}\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(0)\n"
        "sys.exit('it came back by itself')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_exit_while_a_benchmark_runs(sum_qpc: Path) -> None:
    code = (
        "import qaicrt, threading, time\n"
        f"context, qpc = qaicrt.Context(), qaicrt.Qpc({str(sum_qpc)!r})\n"
        "bench = qaicrt.InferenceBenchmarkSet(context, qpc, None, 2, 2)\n"
        "bench.enable()\n"
        "bench.enableExecObjCompletionCallback(lambda *_: None)\n"
        "threading.Thread(target=lambda: bench.runForDuration(600), daemon=True).start()\n"
        "made = qaicrt.InferenceSet(context, qpc, None, 1, 1)\n"
        "waiter = threading.Thread(target=lambda: made.getCompletedId(4711), daemon=True)\n"
        "waiter.start()\n"
        "time.sleep(0.3)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_forked_child_refuses_and_ends(sum_qpc: Path) -> None:
    code = (
        "import gc, os, sys, numpy as np, qaicrt\n"
        "ok, wrong = qaicrt.QStatus.QS_SUCCESS, qaicrt.QStatus.QS_INVAL\n"
        f"context, qpc = qaicrt.Context(), qaicrt.Qpc({str(sum_qpc)!r})\n"
        "def made(context):\n"
        "    program = qaicrt.Program(context, 0, qpc)\n"
        "    assert program.activate() == ok\n"
        "    return program, qaicrt.ExecObj(context, program), qaicrt.Queue(context, 0)\n"
        "def runs(exec_obj, queue):\n"
        "    buffers = [qaicrt.QBuffer(np.ones((2, 4), np.float32)) for _ in range(4)]\n"
        "    assert exec_obj.setData(buffers) == ok\n"
        "    assert queue.enqueue(exec_obj) == exec_obj.waitForCompletion() == ok\n"
        "program, exec_obj, queue = made(context)\n"
        "runs(exec_obj, queue)\n"
        "inference_set = qaicrt.InferenceSet(context, qpc, None, 1, 1)\n"
        "assert inference_set.submit(qaicrt.InferenceVector(qpc), 1) == ok\n"
        "_, handle = inference_set.getCompletedId(1)\n"
        "pid = os.fork()\n"
        "if pid:\n"
        "    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n"
        "    runs(exec_obj, queue)\n"
        "    sys.exit(status)\n"
        "assert program.load() == queue.enqueue(exec_obj) == wrong\n"
        "assert exec_obj.waitForCompletion() == inference_set.waitForCompletion() == wrong\n"
        "assert inference_set.getAvailable() == (wrong, None)\n"
        "runs(*made(qaicrt.Context())[1:])\n"
        "del handle, exec_obj, program, context\n"
        "gc.collect()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "make context, program and queue in the child" in done.stderr


def test_moments_that_are_wrong(sum_qpc: Path) -> None:
    client = Client(sum_qpc)
    assert client.exec_obj.waitForCompletion() == INVAL
    assert client.exec_obj.getData() == (INVAL, [])
    buffers = [qaicrt.QBuffer(floats(2, 4)) for _ in range(4)]
    assert client.program.deactivate() == SUCCESS
    assert client.exec_obj.run(buffers) == INVAL
    assert client.program.deactivate() == INVAL


def test_parts_of_larger_arrays_are_read_and_written(sum_qpc: Path) -> None:
    client = Client(sum_qpc)
    rule = {
        "ElemSize": 4,
        "DimSpecs": [{"start": "row"}, {"start": 1}],
    }
    spec = json.dumps({"BufferSpecs": [{"Name": "tot.*", **rule}, {"Name": "x", **rule}]})
    status, handle = client.program.createSlicingSpecHandle(spec)
    assert status == SUCCESS
    x, total = floats(5, 6), np.full((4, 5), -1, np.float32)
    y = np.full((2, 4), 100, np.float32)
    exec_obj = client.exec_obj
    for row in (0, 2):
        pairs = [(0, x), (1, y), (2, total)]
        assert exec_obj.setDataWithSlices(pairs, handle, [("row", row)]) == (SUCCESS, None)
        assert client.queue.enqueue(exec_obj) == SUCCESS
        assert exec_obj.waitForCompletion() == SUCCESS
        np.testing.assert_array_equal(total[row : row + 2, 1:], x[row : row + 2, 1:5] + 100)
        assert exec_obj.getData()[1][2].size == 0
    np.testing.assert_array_equal(total[:, 0], -1)
    # It must lie inside.
    assert exec_obj.setDataWithSlices([(2, total)], handle, [("row", 3)]) == (SUCCESS, None)
    assert client.queue.enqueue(exec_obj) == SUCCESS
    assert exec_obj.waitForCompletion() == INVAL
    assert exec_obj.setDataWithSlices([(2, total)], handle, []) == (INVAL, None)
    assert exec_obj.setDataWithSlices([(2, total.astype(float))], handle, [("row", 0)])[0] == INVAL
    client.close()


def test_what_is_retained_is_also_handed_out_into_a_part(cache_qpc: Path) -> None:
    client = Client(cache_qpc)
    spec = {"Name": "past", "ElemSize": 4, "DimSpecs": [{"start": "slot"}, {"start": 0}]}
    status, handle = client.program.createSlicingSpecHandle(json.dumps({"BufferSpecs": [spec]}))
    assert status == SUCCESS
    cache = np.zeros((3, 4), np.float32)
    out = np.zeros((1, 4), np.float32)
    ones = np.ones((1, 4), np.float32)
    for slot in range(3):
        pairs = [(0, ones), (2, out), (3, cache)]
        assert client.exec_obj.setDataWithSlices(pairs, handle, [("slot", slot)])[0] == SUCCESS
        assert client.queue.enqueue(client.exec_obj) == SUCCESS
        assert client.exec_obj.waitForCompletion() == SUCCESS
    np.testing.assert_array_equal(cache, [[1] * 4, [2] * 4, [3] * 4])
    np.testing.assert_array_equal(out, [[6] * 4])
    client.close()


@pytest.mark.parametrize("spec", ["{", "[]", "{}", '{"BufferSpecs": [{"Name": "("}]}', "3"])
def test_a_slicing_spec_that_is_none_is_refused(cache_qpc: Path, spec: str) -> None:
    assert Client(cache_qpc).program.createSlicingSpecHandle(spec) == (INVAL, None)


def test_a_qpc_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="nowhere"):
        qaicrt.Qpc(str(tmp_path / "nowhere"))


def test_a_mapping_that_is_none_is_an_error(sum_qpc: Path) -> None:
    properties = qaicrt.QAicProgramProperties()
    properties.devMapping = "0:x"
    with pytest.raises(RuntimeError, match="devMapping"):
        qaicrt.Program(qaicrt.Context(), None, qaicrt.Qpc(str(sum_qpc)), properties)


def test_a_program_over_several_cards(
    sum_qpc: Path, backend: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """On cards all of them must be there; a host runs the whole program on the first."""
    properties = qaicrt.QAicProgramProperties()
    properties.devMapping = "0:63"
    expected = qaicrt.QStatus.QS_NODEV if backend == "qaic" else SUCCESS
    for context in (qaicrt.Context(), qaicrt.Context(qaicrt.QIDList([0]))):
        program = qaicrt.Program(context, None, qaicrt.Qpc(str(sum_qpc)), properties)
        assert program.load() == expected
        told = capfd.readouterr().err
        if backend != "qaic":
            assert f"devMapping 0:63 is for cards; {backend} runs the whole program on" in told


def test_submissions_of_a_set_come_back_by_id(sum_qpc: Path) -> None:
    ids = qaicrt.QIDList()
    ids.append(0)
    context = qaicrt.Context(ids)
    qpc = qaicrt.Qpc(str(sum_qpc))
    mappings = qpc.getBufferMappings()
    assert [m.bufferName for m in mappings] == ["x", "y", "total", "sign"]
    inputs = [m for m in mappings if m.ioType == qaicrt.BufferIoTypeEnum.BUFFER_IO_TYPE_INPUT]
    assert [(m.index, m.size) for m in inputs] == [(0, 32), (1, 32)]
    inference_set = qaicrt.InferenceSet(context, qpc, ids[0], 3, 2)
    wrong: list[int] = []

    def collect(number: int) -> None:
        status, handle = inference_set.getCompletedId(number)
        total = np.frombuffer(bytes(handle.getBuffers()[2]), np.float32)
        if status != SUCCESS or total[0] != number - 3:
            wrong.append(number)
        inference_set.putCompleted(handle)

    threads = []
    for number in range(100):
        vector = qaicrt.InferenceVector(mappings)
        vector.getVector()[0] = qaicrt.QBuffer(floats(2, 4))
        vector.getVector()[1] = qaicrt.QBuffer(np.full((2, 4), number, np.float32))
        threads.append(threading.Thread(target=collect, args=(number,)))
        threads[-1].start()
        assert inference_set.submit(vector, number) == SUCCESS
    for thread in threads:
        thread.join()
    assert not wrong
    assert inference_set.waitForCompletion() == SUCCESS
    assert inference_set.getCompleted() == (qaicrt.QStatus.QS_AGAIN, None)


def test_handles_of_a_set(sum_qpc: Path) -> None:
    inference_set = qaicrt.InferenceSet(qaicrt.Context(), qaicrt.Qpc(str(sum_qpc)), None, 1, 1)
    status, handle = inference_set.getAvailable()
    assert status == SUCCESS
    assert inference_set.getAvailable(timeoutUs=1000) == (qaicrt.QStatus.QS_TIMEDOUT, None)
    # Longer than any clock can count is no less than a second.
    threading.Timer(0.2, lambda: inference_set.putCompleted(handle)).start()
    status, handle = inference_set.getAvailable(timeoutUs=2**64 - 1)
    assert status == SUCCESS
    buffers = [qaicrt.QBuffer(floats(2, 4)), qaicrt.QBuffer(np.ones((2, 4), np.float32))]
    assert handle.setBuffers(buffers) == SUCCESS
    assert inference_set.submit(handle, 1) == SUCCESS
    status, done = inference_set.getCompleted()
    assert status == SUCCESS
    total = np.frombuffer(done.getBuffers()[2], np.float32).reshape(2, 4)
    np.testing.assert_array_equal(total, floats(2, 4) + 1)
    assert done.execObj().waitForCompletion() == SUCCESS
    assert inference_set.putCompleted(done) == SUCCESS
    assert inference_set.putCompleted(done) == INVAL
    with pytest.raises(ValueError, match="expected 4 buffers"):
        handle.setBuffers([])


def test_a_set_that_is_profiled(
    sum_qpc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    properties = qaicrt.InferenceSetProperties()
    properties.name = "watched"
    inference_set = qaicrt.InferenceSet(
        qaicrt.Context(), qaicrt.Qpc(str(sum_qpc)), None, 2, 1, properties, enableProfiling=True
    )
    vector = qaicrt.InferenceVector(qaicrt.Qpc(str(sum_qpc)))
    for count in (2, 4):
        for number in range(2):
            assert inference_set.submit(vector, number) == SUCCESS
        for number in range(2):
            inference_set.putCompleted(inference_set.getCompletedId(number)[1])
        assert inference_set.waitForCompletion() == SUCCESS
        (path,) = tmp_path.glob("watched-program-*-latency.txt")
        assert len(rows_of(path)) == count
    path.unlink()
    del inference_set
    gc.collect()
    assert len(rows_of(path)) == 4


def test_queue_properties_make_a_set(sum_qpc: Path) -> None:
    context, qpc = qaicrt.Context(), qaicrt.Qpc(str(sum_qpc))
    properties = qaicrt.InferenceSetProperties()
    properties.queueProperties.numThreadsPerQueue = 0
    with pytest.raises(RuntimeError, match="numThreadsPerQueue: expected 1 to 64, got 0"):
        qaicrt.InferenceSet(context, qpc, None, 2, 1, properties)
    assert qaicrt.InferenceBenchmarkSet(context, qpc, None, 2, 1, [], properties).enable() == INVAL
    properties.queueProperties.numThreadsPerQueue = 2
    # As many are computed side by side: each waits for the other.
    bench = qaicrt.InferenceBenchmarkSet(context, qpc, None, 4, 1, [], properties)
    both = threading.Barrier(2, timeout=60)
    met: list[int] = []

    def told(_: qaicrt.ExecObj, info: qaicrt.ExecObjInfo) -> None:
        both.wait()
        met.append(info.execObjIndex)

    assert bench.enable() == SUCCESS
    bench.enableExecObjCompletionCallback(told)
    assert bench.run(8) == SUCCESS
    assert len(met) == 8
    assert bench.disable() == SUCCESS


def test_queues_belong_to_a_device_and_a_context(
    sum_qpc: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    client = Client(sum_qpc)
    context = qaicrt.Context([0])
    with pytest.raises(RuntimeError, match="device 7 is not one of the context's"):
        qaicrt.Queue(context, 7)
    properties = qaicrt.QAicQueueProperties()
    properties.properties = 3
    with pytest.raises(RuntimeError, match=r"expected 0 .* or 1 .*, got 3"):
        qaicrt.Queue(context, 0, properties)
    with pytest.raises(RuntimeError, match="another context"):
        qaicrt.ExecObj(context, client.program)
    client.set(x=floats(2, 4), y=floats(2, 4))
    assert client.exec_obj.setData(client.buffers, client.dims) == SUCCESS
    assert qaicrt.Queue(context, 0).enqueue(client.exec_obj) == INVAL
    assert "another context" in capfd.readouterr().err
    properties.properties = 0
    queue = qaicrt.Queue(client.context, 0, properties)
    # As public clients call it: on the queue.
    queue.initProperties(properties)
    assert (properties.properties, properties.numThreadsPerQueue) == (1, 4)
    assert queue.enqueue(client.exec_obj) == SUCCESS
    assert client.exec_obj.waitForCompletion() == SUCCESS
    client.close()


def test_elements_of_another_size_are_refused(
    sum_qpc: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    client = Client(sum_qpc)
    client.dims[0] = (8, (2, 4))
    assert client.exec_obj.setData(client.buffers, client.dims) == INVAL
    assert "elements of 'x' have 4 bytes, the dims say 8" in capfd.readouterr().err
    client.close()


def test_results_are_in_the_vector_and_in_buffers_of_the_caller(sum_qpc: Path) -> None:
    qpc = qaicrt.Qpc(str(sum_qpc))
    inference_set = qaicrt.InferenceSet(qaicrt.Context(), qpc, None, 1, 1)
    x, y = floats(2, 4), np.ones((2, 4), np.float32)
    vector = qaicrt.InferenceVector(qpc)
    vector.getVector()[0:2] = [qaicrt.QBuffer(x), qaicrt.QBuffer(y)]
    assert inference_set.submit(vector, 1) == SUCCESS
    status, handle = inference_set.getCompletedId(1)
    total = np.frombuffer(vector.getVector()[2], np.float32)
    assert status == SUCCESS
    np.testing.assert_array_equal(total.reshape(2, 4), x + y)
    # The handle's own are not the vector's.
    buffers = [qaicrt.QBuffer(array) for array in (x, x, np.zeros_like(x), np.zeros_like(x))]
    assert handle.setBuffers(buffers) == SUCCESS
    assert inference_set.submit(handle, 2) == SUCCESS
    status, handle = inference_set.getCompletedId(2)
    assert status == SUCCESS
    doubled = np.frombuffer(buffers[2], np.float32).reshape(2, 4)
    np.testing.assert_array_equal(doubled, x + x)
    np.testing.assert_array_equal(
        np.frombuffer(handle.execObj().getData()[1][2], "f4"), (x + x).ravel()
    )
    np.testing.assert_array_equal(total.reshape(2, 4), x + y)


def test_a_completion_callback_gives_the_next_data(sum_qpc: Path) -> None:
    """As the vendor's page of the class says; its data is one list of buffers."""
    buffers = [qaicrt.QBuffer(np.ones((2, 4), np.float32)) for _ in range(4)]
    context, qpc = qaicrt.Context(), qaicrt.Qpc(str(sum_qpc))
    bench = qaicrt.InferenceBenchmarkSet(context, qpc, None, 1, 1, buffers)
    assert bench.enable() == SUCCESS
    totals: list[float] = []

    def told(exec_obj: qaicrt.ExecObj, _: qaicrt.ExecObjInfo) -> None:
        total = np.frombuffer(exec_obj.getData()[1][2], np.float32).reshape(2, 4).copy()
        totals.append(float(total[0, 0]))
        assert exec_obj.setData([(0, total)]) == SUCCESS

    bench.enableExecObjCompletionCallback(told)
    assert bench.run(4) == SUCCESS
    assert totals == [2, 3, 4, 5]


def test_benchmark_set(sum_qpc: Path) -> None:
    context, qpc = qaicrt.Context(), qaicrt.Qpc(str(sum_qpc))
    vectors = [qaicrt.InferenceVector(qpc) for _ in range(2)]
    bench = qaicrt.InferenceBenchmarkSet(context, qpc, None, 2, 2, vectors)
    assert bench.run(5) == INVAL
    assert bench.enable() == SUCCESS
    seen: list[Any] = []

    def told(exec_obj: qaicrt.ExecObj, info: qaicrt.ExecObjInfo) -> None:
        assert exec_obj.waitForCompletion() == info.status
        assert info.programName == "sum"
        assert info.activationIndex < 2
        seen.append(info.status)

    bench.enableExecObjCompletionCallback(told)
    assert bench.run(40) == SUCCESS
    bench.disableExecObjCompletionCallback()
    assert seen == [SUCCESS] * 40
    assert sum(bench.getInfCompleted()) == 40
    completed, rate, microseconds, batch = bench.getLastRunStats()
    assert (completed, batch) == (40, 1)
    assert rate == pytest.approx(40e6 / microseconds)
    assert bench.runForDuration(0.05) == SUCCESS
    assert bench.getLastRunStats()[2] >= 50_000
    assert bench.disable() == SUCCESS


LATENCY = qaicrt.QAicProfilingTypeEnum.QAIC_PROFILING_INFERENCE_LATENCY_TYPE
TRACE = qaicrt.QAicProfilingTypeEnum.QAIC_PROFILING_INFERENCE_TRACE_TYPE
STAGES = ["wait", "gather", "device", "scatter"]


def rows_of(path: Path) -> list[dict[str, str]]:
    """As public scripts read the table: four lines are skipped."""
    return list(csv.DictReader(path.read_text().splitlines()[4:]))


def check_row(row: dict[str, str]) -> None:
    parts = ("enqTimeUs", "preProcTimeUs", "execTotalUs", "postProcUs")
    total = float(list(row.values())[-3])
    assert total == float(row["totalRoundtripTimeUs"])
    assert sum(float(row[part]) for part in parts) == pytest.approx(total, abs=0.01)
    assert all(float(row[part]) >= 0 for part in parts)
    assert int(row["numInfInQueue"]) == int(row["queueDepth"]) + 1 <= 64


def test_a_profile_of_latencies(sum_qpc: Path, tmp_path: Path) -> None:
    client = Client(sum_qpc)
    client.run(x=floats(2, 4), y=floats(2, 4))
    profile = qaicrt.ProfilingHandle(
        programs=[client.program],
        type=LATENCY,
        fileNamePrefix="mine",
        outputDirectory=str(tmp_path),
    )
    assert profile.stop() == INVAL
    assert profile.start() == SUCCESS
    assert profile.start() == INVAL
    for _ in range(5):
        client.run(x=floats(2, 4), y=floats(2, 4))
    assert profile.stop() == SUCCESS
    client.run(x=floats(2, 4), y=floats(2, 4))
    (path,) = tmp_path.glob("mine-program-*-latency.txt")
    rows = rows_of(path)
    assert tuple(rows[0]) == runner_profiles.COLUMNS
    assert [row["Sample"] for row in rows] == list("01234")
    for row in rows:
        check_row(row)
        assert (row["queueDepth"], row["numInfInQueue"]) == ("0", "1")
    client.close()


def test_a_profile_as_a_trace(sum_qpc: Path, tmp_path: Path) -> None:
    client = Client(sum_qpc)
    profile = qaicrt.ProfilingHandle([client.program], TRACE, "mine", tmp_path)
    assert profile.start() == SUCCESS
    for _ in range(3):
        client.run(x=floats(2, 4), y=floats(2, 4))
    assert profile.stop() == SUCCESS
    (path,) = tmp_path.glob("mine-program-*-trace.json")
    events = [e for e in json.loads(path.read_text())["traceEvents"] if e["ph"] == "X"]
    runs = [event for event in events if event["cat"] == "inference"]
    assert [event["args"]["inference"] for event in runs] == [0, 1, 2]
    for n, run in enumerate(runs):
        stages = events[5 * n + 1 : 5 * n + 5]
        assert [stage["name"] for stage in stages] == STAGES
        assert sum(stage["dur"] for stage in stages) == pytest.approx(run["dur"], abs=0.01)
        assert stages[0]["ts"] == run["ts"]
    client.close()


def test_profiles_that_cannot_be_made(sum_qpc: Path, tmp_path: Path) -> None:
    program = Client(sum_qpc).program
    for name in ("RAW_DEVICE_STATS", "DEV_KPI"):
        kind = getattr(qaicrt.QAicProfilingTypeEnum, f"QAIC_PROFILING_INFERENCE_{name}_TYPE")
        profile = qaicrt.ProfilingHandle([program], kind)
        assert profile.start() == qaicrt.QStatus.QS_UNSUPPORTED
    with pytest.raises(RuntimeError, match="at least one program"):
        qaicrt.ProfilingHandle([])
    with pytest.raises(RuntimeError, match="nowhere"):
        qaicrt.ProfilingHandle([program], outputDirectory=tmp_path / "nowhere")
    with pytest.raises(RuntimeError, match="a/b"):
        qaicrt.ProfilingHandle([program], fileNamePrefix="a/b")


def test_statistics_of_a_benchmark(sum_qpc: Path) -> None:
    formats = qaicrt.QAicOpStatsFormatEnum
    bench = qaicrt.InferenceBenchmarkSet(qaicrt.Context(), qaicrt.Qpc(str(sum_qpc)), None, 1, 1)
    assert bench.enable() == SUCCESS
    for kind in (formats.QAIC_OPSTATS_FORMAT_JSON, formats.QAIC_OPSTATS_FORMAT_ASCII):
        told: list[tuple[Any, ...]] = []
        assert (
            bench.enableOpStatsCallback(lambda *a, told=told: told.append(a), 3, 2, kind) == SUCCESS
        )
        assert bench.run(8) == SUCCESS
        assert [(size, found, sample) for _, size, found, sample, _ in told] == [
            (len(told[0][0]), kind, 3), (len(told[1][0]), kind, 4),
        ]  # fmt: skip
        for data, _, _, _, info in told:
            assert info.status == SUCCESS
            assert bytes(data).decode() == str(data) == "".join(data)
            if kind == formats.QAIC_OPSTATS_FORMAT_JSON:
                events = json.loads(str(data))["traceEvents"]
                assert [e["name"] for e in events if e.get("cat") == "stage"] == STAGES
            else:
                (row,) = csv.DictReader(str(data).splitlines()[4:])
                check_row(row)
    told.clear()
    assert bench.disableOpStatsCallback() == SUCCESS
    assert bench.run(8) == SUCCESS
    assert told == []
    assert bench.enableOpStatsCallback(print, 0, 1, formats(7)) == INVAL


def test_live_levels(sum_qpc: Path) -> None:
    bench = qaicrt.InferenceBenchmarkSet(qaicrt.Context(), qaicrt.Qpc(str(sum_qpc)), None, 1, 1)
    level = qaicrt.LiveReportingLevelEnum.LIVE_REPORTING_SUMMARY
    none = qaicrt.LiveReportingLevelEnum(9)
    failed = qaicrt.QStatus.QS_ERROR
    assert bench.setLiveProfilingLevel(level) == failed
    assert bench.setLiveReporting(none) == failed
    assert bench.setLiveReporting(level) == SUCCESS
    assert bench.setLiveProfilingLevel(none) == failed
    assert bench.setLiveProfilingLevel(level) == SUCCESS
    assert bench.setLiveReporting(level, 0) == SUCCESS
    assert bench.setLiveProfilingLevel(level) == failed


def test_live_reporting_prints_while_it_runs(
    sum_qpc: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bench = qaicrt.InferenceBenchmarkSet(qaicrt.Context(), qaicrt.Qpc(str(sum_qpc)), None, 1, 1)
    assert bench.enable() == SUCCESS
    level = qaicrt.LiveReportingLevelEnum.LIVE_REPORTING_SUMMARY
    assert bench.setLiveReporting(level, reportingPeriodMs=20) == SUCCESS
    assert bench.runForDuration(0.2) == SUCCESS
    assert "inf/s" in capfd.readouterr().out


def test_util(backend: str) -> None:
    util = qaicrt.Util()
    assert util.checkLibraryVersion() == SUCCESS
    status, major, minor, patch, variant = util.getAicVersion()
    assert (status, major, minor) == (SUCCESS, 10, 0)
    assert isinstance(patch, str)
    assert isinstance(variant, str)
    status, ids = util.getDeviceIds()
    assert status == SUCCESS
    assert 0 in set(ids)
    status, info = util.getDeviceInfo(0)
    assert status == SUCCESS
    assert info.devStatus == qaicrt.QDevStatus.QDS_READY
    status, resources = util.getResourceInfo(0)
    assert status == SUCCESS
    assert 0 < info.devData.resourceInfo.nspFree <= resources.nspTotal
    assert util.getPerformanceInfo(0)[0] == SUCCESS
    assert util.getDeviceInfo(4711) == (qaicrt.QStatus.QS_NODEV, None)
    nothing = util.getDeviceIds(qaicrt.QAicDeviceType(99))
    assert (nothing[0], list(nothing[1])) == (INVAL, [])
    assert util.lockDevice(0, True, False) == qaicrt.QStatus.QS_UNSUPPORTED


def test_small_types() -> None:
    ids = qaicrt.QIDList([3, 1])
    ids.append(2)
    assert (list(ids), len(ids), ids[-1]) == ([3, 1, 2], 3, 2)
    buffer = qaicrt.QBuffer(np.arange(6, dtype=np.int16).reshape(2, 3).T)
    assert buffer.size == 12
    assert np.frombuffer(buffer, np.int16).tolist() == [0, 3, 1, 4, 2, 5]
    dims = qaicrt.BufferDimensionsVecRef([(4, [1, 2]), (8, (3,))])
    dims[1] = (2, (0,))
    assert list(dims) == [(4, [1, 2]), (2, [0])]
    with pytest.raises(IndexError):
        dims[2]
    context = qaicrt.Context()
    assert context.setLogLevel(qaicrt.QLogLevel.QL_DEBUG) == SUCCESS
    assert int(qaicrt.QStatus.QS_DEV_ERROR) == 300


def test_messages_have_the_vendors_tags() -> None:
    io_desc = aicapi.IoDesc()
    io_desc.selected_set.bindings.add(name="x", dims=[2, 300], is_valid=True, size=7)
    # Field 2: a set; in it field 2: a binding of name 1, packed dims 7, size 8, is_valid 20.
    expected = bytes.fromhex("120f 120d 0a0178 3a0302ac02 4007 a00101")
    assert io_desc.SerializeToString() == expected
    assert aicapi.bufferIoDataTypeEnum.Name(aicapi.INT64_I_TYPE) == "INT64_I_TYPE"
    assert getattr(aicapi, "BFLOAT16_TYPE", None) == 11


def test_the_io_descriptor_names_the_bindings_in_order(sum_qpc: Path) -> None:
    io_desc = aicapi.IoDesc()
    io_desc.ParseFromString(qaicrt.Qpc(str(sum_qpc)).getIoDescriptor()[1])
    assert io_desc.program_name == "sum"
    assert [b.name for b in io_desc.selected_set.bindings] == ["x", "y", "total", "sign"]


@pytest.mark.skipif("QAICKIT_BACKEND" in os.environ, reason="it is what this test starts")
def test_all_of_it_on_a_simulated_card(tmp_path: Path) -> None:
    # In a process of its own: the library is loaded once for a process.
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__],
        env={**os.environ, "QAICKIT_BACKEND": "qaic", "QAIC_LIB": str(util.sim_path())},
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_the_high_level_package_has_the_documented_classes() -> None:
    assert qaic.Util is qaicrt.Util
    assert qaic.InferenceBenchmarkSet is qaicrt.InferenceBenchmarkSet
    with pytest.raises(AttributeError, match="NoSuchClass"):
        _ = qaic.NoSuchClass
