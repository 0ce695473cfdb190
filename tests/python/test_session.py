"""`qaic.Session`: right answers, errors that say what to do, threads, resets, forks."""

from __future__ import annotations

import contextlib
import copy
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
import traceback
import weakref
from collections import OrderedDict, UserDict
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnxruntime
import pytest
from conftest import SaveOnnx
from onnx import TensorProto, helper, numpy_helper

import qaic
import qaickit
from qaickit import _core
from qaickit.errors import (
    ClosedError,
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    QaicKitError,
    UnsupportedError,
)
from qaickit.options import OptionWarning

FLOAT, HALF, INT64, BOOL = (
    TensorProto.FLOAT,
    TensorProto.FLOAT16,
    TensorProto.INT64,
    TensorProto.BOOL,
)
Arrays = dict[str, np.ndarray[Any, Any]]


@pytest.fixture
def linear_qpc(linear_onnx: Path, tmp_path: Path) -> Path:
    """The linear model at batch 1, as a QPC."""
    with qaic.Session(
        str(linear_onnx), onnx_define_symbol={"batch": 1}, output_dir=tmp_path / "qpc"
    ) as session:
        return Path(session.qpc_path)


@pytest.fixture
def x() -> Arrays:
    return {"x": np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 16)}


# --- answers -------------------------------------------------------------------------------------


def _random(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


def test_outputs_are_the_callers_own(linear_qpc: Path, x: Arrays) -> None:
    with qaic.Session(linear_qpc) as session:
        first = session.run(x)["y"]
        kept = first.copy()
        second = session.run({"x": -x["x"]})["y"]
        assert not np.shares_memory(first, second)
        np.testing.assert_array_equal(first, kept)
        first[:] = 0  # writable
        assert np.any(second)


def test_output_is_read_as_public_programs_do(linear_qpc: Path, x: Arrays) -> None:
    with qaic.Session(str(linear_qpc)) as session:
        shape, dtype = session.model_output_shape_dict["y"]
        output = session.run(x)["y"]
        again = np.frombuffer(output, dtype=dtype).reshape(shape)
        np.testing.assert_array_equal(again, output)


# --- shapes --------------------------------------------------------------------------------------


def test_shape_dicts_are_attributes_and_calls(linear_qpc: Path) -> None:
    session = qaic.Session(str(linear_qpc))
    shape, dtype = session.model_input_shape_dict["x"]
    assert shape == (1, 16)
    assert dtype == np.float32
    assert str(dtype) == "float32"
    assert np.zeros(shape, dtype).shape == (1, 16)
    assert session.model_input_shape_dict() is session.model_input_shape_dict
    assert dict(session.model_output_shape_dict()) == {"y": ((1, 4), np.dtype("float32"))}
    assert isinstance(session.model_input_shape_dict, dict)


def test_order_is_the_binding_order(save_onnx: SaveOnnx) -> None:
    names = ["z", "a", "m"]
    path = save_onnx(
        [helper.make_node("Neg", [name], [f"{name}_out"]) for name in names],
        [(name, FLOAT, [1]) for name in names],
        [(f"{name}_out", FLOAT, [1]) for name in reversed(names)],
    )
    session = qaic.Session(path)
    assert list(session.model_input_shape_dict) == names
    assert list(session.model_output_shape_dict) == ["m_out", "a_out", "z_out"]


# --- which file ----------------------------------------------------------------------------------


def test_path_kinds(linear_qpc: Path, x: Arrays) -> None:
    directory = linear_qpc.parent
    for path in (linear_qpc, str(linear_qpc), directory, f"{directory}/*.bin", f"{directory}/"):
        with qaic.Session(path) as session:
            assert session.run(x)["y"].shape == (1, 4)
            assert Path(session.qpc_path) == linear_qpc


def test_brackets_in_a_name_are_no_pattern(linear_qpc: Path, tmp_path: Path) -> None:
    path = tmp_path / "a[1].bin"
    shutil.copy(linear_qpc, path)
    assert qaic.Session(path).qpc_path == str(path)


def test_pattern_with_several_matches_lists_them(linear_qpc: Path) -> None:
    shutil.copy(linear_qpc, linear_qpc.with_name("other.bin"))
    with pytest.raises(InvalidArgumentError) as caught:
        qaic.Session(f"{linear_qpc.parent}/*.bin")
    assert "expected one match, got 2" in str(caught.value)
    assert "other.bin" in str(caught.value)
    assert "programqpc.bin" in str(caught.value)


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("nowhere.bin", NotFoundError, "nowhere.bin"),
        ("nowhere/*.bin", NotFoundError, "no file matches"),
        ("", InvalidArgumentError, "model_path"),
        ("a\0b.bin", InvalidArgumentError, "model_path"),
        (None, InvalidArgumentError, "NoneType"),
        (3, InvalidArgumentError, "int"),
        (b"a.bin", InvalidArgumentError, "bytes"),
    ],
)
def test_bad_paths(path: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match="model_path") as caught:
        qaic.Session(path)
    assert message in str(caught.value)


def test_directory_without_a_program_names_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no programqpc\.bin"):
        qaic.Session(tmp_path)
    (tmp_path / "qpc.bin").write_bytes(b"")
    with pytest.raises(NotFoundError, match=r"qpc\.bin', name one"):
        qaic.Session(tmp_path)


def test_other_kinds_of_model(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"PK")
    with pytest.raises(InvalidArgumentError, match=r"got a \.pt file"):
        qaic.Session(path)


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\x7c\xcd\xa1\x00", b"\x00" * 4096, b"\x08\x08\x12\x04test" * 40]
)
def test_foreign_files_as_qpc(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "programqpc.bin"
    path.write_bytes(content)
    with pytest.raises(DataLossError, match=r"programqpc\.bin"):
        qaic.Session(path)


def test_onnx_file_named_bin(linear_onnx: Path, tmp_path: Path) -> None:
    path = tmp_path / "programqpc.bin"
    shutil.copy(linear_onnx, path)
    with pytest.raises(DataLossError):
        qaic.Session(path)


def test_truncated_and_flipped_qpc(linear_qpc: Path, tmp_path: Path) -> None:
    data = linear_qpc.read_bytes()
    path = tmp_path / "damaged.bin"
    for length in range(0, len(data), 37):
        path.write_bytes(data[:length])
        with pytest.raises(DataLossError):
            qaic.Session(path)
    generator = np.random.default_rng(0)
    for at in generator.integers(0, len(data), 40):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        # Padding and version fields may change without harm.
        with contextlib.suppress(DataLossError, UnsupportedError):
            qaic.Session(path).close()


def test_file_replaced_between_construction_and_setup(
    linear_onnx: Path, tmp_path: Path, x: Arrays
) -> None:
    """The session runs what it opened, also after a reset."""
    symbols = {"batch": 1}
    with qaic.Session(linear_onnx, onnx_define_symbol=symbols) as other:
        expected = other.run(x)["y"]
    session = qaic.Session(linear_onnx, onnx_define_symbol=symbols, output_dir=tmp_path / "out")
    qaic.Session(linear_onnx, onnx_define_symbol={"batch": 2}, output_dir=tmp_path / "out")
    np.testing.assert_array_equal(session.run(x)["y"], expected)
    session.reset()
    np.testing.assert_array_equal(session.run(x)["y"], expected)


# --- options -------------------------------------------------------------------------------------


def test_output_dir(linear_onnx: Path, tmp_path: Path, cache_dir: Path) -> None:
    out = tmp_path / "deep" / "out"
    session = qaic.Session(linear_onnx, onnx_define_symbol=[("batch", 1)], output_dir=str(out))
    assert session.qpc_path == str(out / "programqpc.bin")
    assert os.listdir(out) == ["programqpc.bin"]
    assert not cache_dir.exists()


def test_output_dir_that_cannot_be_written(linear_onnx: Path, tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    for place in (blocker / "out", "/proc/none"):
        with pytest.raises(QaicKitError, match=str(place)):
            qaic.Session(linear_onnx, onnx_define_symbol={"batch": 1}, output_dir=place)


def test_yaml_file_serves_onnx_and_qpc(linear_onnx: Path, tmp_path: Path, x: Arrays) -> None:
    """One file with options of both kinds is passed with either model in public programs."""
    yaml = tmp_path / "options.yaml"
    yaml.write_text(
        f"aic_num_cores: 4\nnum_activations: 2\nset-size: 3\nmulticast-weights: true\n"
        f"compile-only: true\nonnx_define_symbol:\n  batch: 1\noutput_dir: {tmp_path / 'out'}\n"
    )
    for path in (linear_onnx, tmp_path / "out" / "programqpc.bin"):
        with qaic.Session(path, options_path=str(yaml)) as session:
            assert session.run(x)["y"].shape == (1, 4)
            assert session.backend_options() == {"dev_id": 0, "num_activations": 2, "set_size": 3}
    qpc = _core.read_qpc(str(tmp_path / "out" / "programqpc.bin"))
    assert qpc["program"]["num_cores"] == 4
    assert qpc["manifest"] is not None
    assert qpc["manifest"]["options"]["multicast_weights"] == "true"


def test_unknown_option_and_refused_options(linear_onnx: Path, linear_qpc: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="did you mean 'num_activations'"):
        qaic.Session(linear_qpc, num_activation=2)
    with pytest.raises(UnsupportedError, match="dynamic_shape_input"):
        qaic.Session(linear_onnx, onnx_define_symbol={"batch": 1}, dynamic_shape_input=["x"])
    qaic.Session(linear_qpc, dynamic_shape_input=["x"])  # no effect on a QPC
    with pytest.raises(InvalidArgumentError, match="exclude each other"):
        qaic.Session(linear_qpc, enable_metrics=True, enable_profiling=True)


def test_missing_symbols_say_what_to_do(linear_onnx: Path) -> None:
    with pytest.raises(ValueError, match=r"onnx_define_symbol=\{'batch': 1\}"):
        qaic.Session(linear_onnx)


def test_precision_that_is_only_recorded_is_told(linear_onnx: Path) -> None:
    with pytest.warns(OptionWarning, match="convert_to_fp16") as caught:
        session = qaic.Session(linear_onnx, onnx_define_symbol={"batch": 1}, convert_to_fp16=True)
    assert caught[0].filename == __file__
    manifest = _core.read_qpc(session.qpc_path)["manifest"]
    assert manifest is not None
    assert manifest["precision"] == "fp16"  # what was asked for
    with session:
        session.setup()
        assert session.precision == "fp32"  # what the CPU does


def test_backend_is_named_or_chosen(linear_qpc: Path, x: Arrays) -> None:
    with qaic.Session(linear_qpc, backend="cpu") as session:
        session.run(x)
        assert session.backend == "cpu"
    with qaic.Session(linear_qpc, backend="aic") as session:
        session.run(x)
        assert session.backend != "null"
    with pytest.raises(QaicKitError, match="cpu"):
        qaic.Session(linear_qpc, backend="abacus").setup()


def test_changing_options(linear_qpc: Path, x: Arrays) -> None:
    session = qaic.Session(linear_qpc, num_activations=1)
    expected = session.run(x)["y"]
    session.update_backend_options(num_activations=2, set_size="4")
    assert session.backend_options() == {"dev_id": 0, "num_activations": 2, "set_size": 4}
    assert session.backend is None  # let go until the next run
    np.testing.assert_array_equal(session.run(x)["y"], expected)
    with pytest.raises(InvalidArgumentError, match="cannot be changed"):
        session.update_backend_options(aic_num_cores=2)
    with pytest.raises(InvalidArgumentError, match="at least 1"):
        session.update_backend_options(num_activations=0)
    assert session.backend_options()["num_activations"] == 2
    session.close()


def test_options_are_changed_by_any_spelling_and_only_where_they_differ(
    linear_qpc: Path, x: Arrays
) -> None:
    with qaic.Session(linear_qpc) as session:
        session.run(x)
        session.update_backend_options(**{"num-activations": "1", "dev_id": 0})
        assert session.backend == "cpu"  # the same as before: nothing was let go
        session.update_backend_options(**{"set-size": 3})
        assert session.backend is None
        assert session.backend_options()["set_size"] == 3
        with pytest.raises(InvalidArgumentError, match="given twice"):
            session.update_backend_options(**{"set-size": 4, "set_size": 5})
        assert session.run(x)["y"].shape == (1, 4)


def test_session_says_what_it_runs_on(linear_qpc: Path, x: Arrays) -> None:
    session = qaic.Session(linear_qpc)
    assert session.backend is None
    assert session.devices == []
    assert session.precision is None
    assert "not set up" in repr(session)
    session.setup()
    assert session.backend == "cpu"
    assert session.devices[0]["backend"] == "cpu"
    assert session.devices[0]["id"] == 0
    assert session.precision == "fp32"
    text = session.describe()
    device = session.devices[0]["name"]
    for part in ("linear", str(linear_qpc), device, "fp32", "x float32 [1, 16]"):
        assert part in text
    session.close()
    assert "closed" in repr(session)


# --- bad inputs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "parts"),
    [
        ({}, ["'x'", "missing"]),
        ({"X": np.zeros((1, 16), np.float32)}, ["'x'", "'X'"]),
        (
            {"x": np.zeros((1, 16), np.float32), "z": np.zeros(1, np.float32)},
            ["'x'", "'z'"],
        ),
        ({"x": np.zeros((1, 16), np.float64)}, ["'x'", "float32", "float64", "astype"]),
        ({"x": np.zeros((1, 16), np.int32)}, ["'x'", "float32", "int32", "astype"]),
        ({"x": np.zeros((16,), np.float32)}, ["'x'", "[1, 16]", "[16]", "reshape"]),
        ({"x": np.zeros((2, 16), np.float32)}, ["'x'", "[1, 16]", "[2, 16]"]),
        ({"x": [0.0] * 16}, ["'x'", "numpy array"]),
        ({"x": None}, ["'x'", "numpy array"]),
    ],
)
def test_bad_inputs_say_what_was_expected(
    linear_qpc: Path, inputs: dict[str, Any], parts: list[str], x: Arrays
) -> None:
    with qaic.Session(linear_qpc) as session:
        for _ in range(2):  # before and after set-up
            with pytest.raises(InvalidArgumentError) as caught:
                session.run(inputs)
            for part in parts:
                assert part in str(caught.value)
        assert session.run(x)["y"].shape == (1, 4)  # and nothing is left of it


def test_any_mapping_of_inputs_will_do(linear_qpc: Path, x: Arrays) -> None:
    """Tokenizers, for instance, return one that is no dict."""
    with qaic.Session(linear_qpc) as session:
        expected = session.run(x)["y"]
        for inputs in (UserDict(x), MappingProxyType(x), OrderedDict(x)):
            np.testing.assert_array_equal(session.run(inputs)["y"], expected)
            assert session.run_benchmark(num_inferences=2, input_dict=inputs)[0] == 2
        with pytest.raises(InvalidArgumentError, match="unknown 'z'"):
            session.run(UserDict({**x, "z": x["x"]}))


def test_input_that_is_no_dict(linear_qpc: Path) -> None:
    with qaic.Session(linear_qpc) as session:
        session.setup()
        for inputs in (None, [np.zeros((1, 16), np.float32)], "x"):
            with pytest.raises((InvalidArgumentError, TypeError)):
                session.run(inputs)  # type: ignore[arg-type]


def test_read_only_inputs_are_fine(linear_qpc: Path, x: Arrays) -> None:
    with qaic.Session(linear_qpc) as session:
        expected = session.run(x)["y"]
        x["x"].flags.writeable = False
        np.testing.assert_array_equal(session.run(x)["y"], expected)


def test_inputs_that_are_not_contiguous_are_copied(linear_qpc: Path, x: Arrays) -> None:
    wide = np.repeat(x["x"], 2, axis=1)
    shifted = np.frombuffer(b"\0" + x["x"].tobytes(), np.uint8)[1:].view(np.float32)
    with qaic.Session(linear_qpc) as session:
        expected = session.run(x)["y"]
        for value in (wide[:, ::2], wide.T.copy().T[:, ::2], shifted.reshape(1, 16)):
            assert not (value.flags.c_contiguous and value.flags.aligned)
            np.testing.assert_array_equal(session.run({"x": value})["y"], expected)
            assert session.run_benchmark(num_inferences=2, input_dict={"x": value})[0] == 2


def test_references_are_as_before(linear_qpc: Path, x: Arrays) -> None:
    array = x["x"]
    with qaic.Session(linear_qpc) as session:
        session.run(x)
        before = sys.getrefcount(array), sys.getrefcount(x)
        for _ in range(50):
            session.run(x)
            with pytest.raises(InvalidArgumentError):
                session.run({"x": array.astype(np.float64)})
        assert (sys.getrefcount(array), sys.getrefcount(x)) == before


# --- benchmark -----------------------------------------------------------------------------------


def test_run_benchmark(linear_onnx: Path) -> None:
    with qaic.Session(linear_onnx, onnx_define_symbol={"batch": 8}) as session:
        completed, rate, seconds, batch_size = session.run_benchmark()
        assert completed == 40
        assert isinstance(completed, int)
        assert batch_size == 8
        assert seconds > 0
        assert rate == pytest.approx(completed / seconds)
        assert session.run_benchmark(num_inferences="7")[0] == 7
        inputs = {"x": np.ones((8, 16), np.float32)}
        assert session.run_benchmark(num_inferences=3, input_dict=inputs)[0] == 3


def test_run_benchmark_for_a_time(linear_qpc: Path) -> None:
    with qaic.Session(linear_qpc) as session:
        session.setup()
        completed, rate, seconds, _ = session.run_benchmark(inf_time=0.2)
        assert seconds >= 0.2
        assert completed > 0
        assert rate == pytest.approx(completed / seconds)


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_inferences": 5, "inf_time": 1},
        {"num_inferences": 40, "inf_time": 1},
        {"num_inferences": 0},
        {"num_inferences": -1},
        {"num_inferences": "many"},
        {"num_inferences": 10**30},
        {"num_inferences": 1.5},
        {"inf_time": 0},
        {"inf_time": -1.0},
        {"inf_time": float("inf")},
        {"inf_time": "soon"},
        {"input_dict": {"x": np.zeros(3, np.float32)}},
    ],
)
def test_run_benchmark_refuses(linear_qpc: Path, arguments: dict[str, Any]) -> None:
    with qaic.Session(linear_qpc) as session, pytest.raises(ValueError, match=r"\w+"):
        session.run_benchmark(**arguments)


def test_run_benchmark_of_indices(save_onnx: SaveOnnx) -> None:
    """Random ids must exist in the table that they index."""
    table = numpy_helper.from_array(_random(3, 2), "table")
    path = save_onnx(
        [helper.make_node("Gather", ["table", "ids"], ["y"])],
        [("ids", INT64, [1, 64])],
        [("y", FLOAT, [1, 64, 2])],
        [table],
    )
    with qaic.Session(path) as session:
        assert session.run_benchmark(num_inferences=5)[0] == 5


# --- life ----------------------------------------------------------------------------------------


def test_first_run_sets_up(linear_qpc: Path, x: Arrays) -> None:
    session = qaic.Session(linear_qpc)
    first = session.run(x)["y"]
    session.setup()
    session.setup()
    np.testing.assert_array_equal(session.run(x)["y"], first)
    session.close()


def test_run_by_keyword(linear_qpc: Path, x: Arrays) -> None:
    with qaic.Session(model_path=linear_qpc) as session:
        first = session.run(input_dict=x)["y"]  # sets up
        np.testing.assert_array_equal(session.run(input_dict=x)["y"], first)


def test_reset_and_run_again(linear_qpc: Path, x: Arrays) -> None:
    session = qaic.Session(linear_qpc)
    session.reset()  # nothing to release yet
    expected = session.run(x)["y"]
    for _ in range(3):
        session.reset()
        assert session.devices == []
        np.testing.assert_array_equal(session.run(x)["y"], expected)
    session.close()


def test_use_after_close(linear_qpc: Path, x: Arrays) -> None:
    session = qaic.Session(linear_qpc)
    session.run(x)
    held = session.run  # bound before
    session.close()
    session.close()
    uses: list[Callable[[], Any]] = [
        lambda: session.run(x),
        lambda: held(x),
        session.setup,
        session.reset,
        session.run_benchmark,
        lambda: session.update_backend_options(set_size=1),
    ]
    for use in uses:
        with pytest.raises(ClosedError):
            use()
    assert session.model_input_shape_dict["x"][0] == (1, 16)


def test_context_manager_closes(linear_qpc: Path, x: Arrays) -> None:
    with qaic.Session(linear_qpc) as session:
        session.run(x)
    with pytest.raises(ClosedError, match="closed"):
        session.run(x)


def test_session_is_released_with_its_last_reference(linear_qpc: Path, x: Arrays) -> None:
    session = qaic.Session(linear_qpc)
    session.run(x)
    gone = weakref.ref(session)
    del session
    assert gone() is None


def test_a_session_is_neither_copied_nor_pickled(linear_qpc: Path, x: Arrays) -> None:
    with qaic.Session(linear_qpc) as session:
        expected = session.run(x)["y"]
        for twin in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match=r"holds devices; make another one of .*\.bin"):
                twin(session)
        np.testing.assert_array_equal(session.run(x)["y"], expected)


def test_subclass_keeps_its_own_run(linear_qpc: Path, x: Arrays) -> None:
    class Counting(qaic.Session):
        calls = 0

        def run(self, input_dict: Any) -> Any:
            self.calls += 1
            return super().run(input_dict)

    with Counting(linear_qpc) as session:
        session.run(x)
        session.run(x)
        assert session.calls == 2


def test_exit_without_close(linear_qpc: Path) -> None:
    code = (
        "import numpy as np, qaic\n"
        f"session = qaic.Session({str(linear_qpc)!r}, num_activations=2)\n"
        "session.run({'x': np.zeros((1, 16), np.float32)})\n"
        "print('done')"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert result.stdout == "done\n"
    assert result.stderr == ""


def test_exit_while_threads_run(linear_qpc: Path) -> None:
    """Python ends them where they ask for the GIL, in the middle of native code."""
    code = (
        "import numpy as np, qaic, qaickit, threading, time\n"
        f"session = qaic.Session({str(linear_qpc)!r}, num_activations=2)\n"
        "session.setup()\n"
        "def run():\n"
        "    while True:\n"
        "        try: session.run({'x': np.zeros((1, 16), np.float32)})\n"
        "        except qaickit.ClosedError: pass\n"
        "def benchmark(): session.run_benchmark(inf_time=600, tick=lambda done: True)\n"
        "for work in (run, run, benchmark):\n"
        "    threading.Thread(target=work, daemon=True).start()\n"
        "time.sleep(0.3)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr


# --- threads -------------------------------------------------------------------------------------


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Runs work(0) ... work(count - 1) at once; the first failure is raised."""
    failures: list[BaseException] = []
    barrier = threading.Barrier(count)

    def body(index: int) -> None:
        try:
            barrier.wait()
            work(index)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=body, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@pytest.mark.parametrize("num_activations", [1, 3])
def test_eight_threads_get_their_own_answers(
    linear_onnx: Path, linear_qpc: Path, num_activations: int
) -> None:
    feeds = [{"x": _random(1, 16) * (index + 1)} for index in range(8)]
    model = onnxruntime.InferenceSession(str(linear_onnx), providers=["CPUExecutionProvider"])
    expected = [model.run(None, feed)[0] for feed in feeds]
    with qaic.Session(linear_qpc, num_activations=num_activations) as session:

        def work(index: int) -> None:
            for _ in range(100):
                outputs = session.run(feeds[index])
                np.testing.assert_allclose(outputs["y"], expected[index], rtol=1e-5)

        in_threads(8, work)


def test_first_runs_at_once_set_up_once(
    linear_qpc: Path, x: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    native = _core.Session

    def counting(*args: Any, **kwargs: Any) -> Any:
        made.append(native(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(_core, "Session", counting)
    with qaic.Session(linear_qpc) as session:

        def work(_index: int) -> None:
            session.run(x)

        in_threads(8, work)
    assert len(made) == 1


def test_options_change_under_load(linear_qpc: Path, x: Arrays) -> None:
    with qaic.Session(linear_qpc) as session:
        expected = session.run(x)["y"]

        def work(index: int) -> None:
            for count in range(40):
                if index == 0:
                    session.update_backend_options(num_activations=1 + count % 3)
                np.testing.assert_array_equal(session.run(x)["y"], expected)

        in_threads(4, work)


def test_reset_under_load_ends_in_answers_or_closed(linear_qpc: Path, x: Arrays) -> None:
    with qaic.Session(linear_qpc) as session:
        expected = session.run(x)["y"]

        def work(index: int) -> None:
            for _ in range(40):
                if index == 0:
                    session.reset()
                try:
                    outputs = session.run(x)
                except ClosedError:
                    continue
                np.testing.assert_array_equal(outputs["y"], expected)

        in_threads(4, work)
        np.testing.assert_array_equal(session.run(x)["y"], expected)


def test_run_does_not_hold_the_gil(linear_qpc: Path, x: Arrays) -> None:
    """While a slow device computes, another thread goes on."""
    session = qaic.Session(linear_qpc, backend="null", device_settings={"latency_us": 2_000_000})
    session.setup()
    running = threading.Event()
    done = threading.Event()

    def infer() -> None:
        running.set()
        session.run(x)
        done.set()

    thread = threading.Thread(target=infer)
    thread.start()
    running.wait()
    for _ in range(10):
        time.sleep(0.001)
    assert not done.is_set()
    thread.join()
    session.close()


# --- fork ----------------------------------------------------------------------------------------


def in_child(work: Callable[[], None]) -> None:
    """Runs `work` in a forked child; fails when it fails there, or hangs."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        time.sleep(0.01)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    pytest.fail("the child hangs")


def test_session_in_a_forked_child_refuses(linear_qpc: Path, x: Arrays) -> None:
    session = qaic.Session(linear_qpc)
    expected = session.run(x)["y"]

    def work() -> None:
        for use in (lambda: session.run(x), session.setup, session.run_benchmark):
            with pytest.raises(FailedPreconditionError, match="fork"):
                use()
        assert isinstance(FailedPreconditionError("x"), RuntimeError)
        session.close()
        session.close()

    in_child(work)
    np.testing.assert_array_equal(session.run(x)["y"], expected)  # the parent goes on
    session.close()


def test_forked_child_can_set_up_its_own(linear_qpc: Path, x: Arrays) -> None:
    inherited = qaic.Session(linear_qpc)
    expected = inherited.run(x)["y"]
    unused = qaic.Session(linear_qpc)

    def work() -> None:
        inherited.reset()
        with qaic.Session(linear_qpc) as own:
            for session in (inherited, unused, own):
                np.testing.assert_array_equal(session.run(x)["y"], expected)

    in_child(work)
    inherited.close()


def test_forked_child_ends_in_the_usual_way(linear_qpc: Path) -> None:
    """Not by os._exit: the inherited session must not wait for threads that are not there."""
    code = (
        "import os, sys, numpy as np, qaic\n"
        f"session = qaic.Session({str(linear_qpc)!r}, num_activations=2)\n"
        "session.run({'x': np.zeros((1, 16), np.float32)})\n"
        "pid = os.fork()\n"
        "if pid:\n"
        "    _, status = os.waitpid(pid, 0)\n"
        "    sys.exit(os.waitstatus_to_exitcode(status))\n"
        "del session"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# --- package -------------------------------------------------------------------------------------


def test_imports_are_light() -> None:
    code = (
        "import sys, qaic\n"
        "heavy = {'onnx', 'onnxruntime', 'rich', 'yaml'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("chosen", [None, "0"])
def test_onnxruntime_sends_nothing_unless_the_user_says_so(chosen: str | None) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    if chosen is not None:
        environment["ORT_DISABLE_TELEMETRY"] = chosen
    code = "import os, qaic; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment
    )
    assert result.stdout.strip() == (chosen or "1")


def test_names() -> None:
    assert qaic.Session is qaickit.Session
    assert qaic.__version__ == qaickit.__version__ == _core.__version__
    for name in qaickit.__all__:
        assert hasattr(qaickit, name)
