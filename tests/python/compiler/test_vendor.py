"""The vendor's compiler, by a stand-in that records its arguments and writes a QPC."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from qaickit import _core
from qaickit.compiler import CompileSettings, compile_onnx, compile_to, ensure_qpc
from qaickit.compiler.calibration.data import open_data
from qaickit.compiler.vendor import VARIABLE, VendorCompiler, find_vendor_compiler
from qaickit.errors import (
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    QaicKitError,
    UnsupportedError,
)
from qaickit.options import resolve

BATCH = {"batch": 2}
CONSTANTS = b"static part|dynamic"
ELF = b"\x7fELF a program for a card"

# Records its arguments, then does as the file beside it says.
STAND_IN = """#!{python}
import json, os, sys
here = os.path.dirname(os.path.abspath(__file__))
json.dump([sys.argv[1:], os.environ.get("{variable}")], open(os.path.join(here, "seen.json"), "w"))
behaviour = open(os.path.join(here, "behaviour")).read()
if behaviour == "fails":
    sys.exit("first line\\nno such operator")
target = next(a.partition("=")[2] for a in sys.argv if a.startswith("-aic-binary-dir="))
if behaviour == "nothing":
    sys.exit(0)
os.mkdir(target)
data = open(os.path.join(here, "card.bin"), "rb").read()
open(os.path.join(target, "programqpc.bin"), "wb").write(
    data[:-9] if behaviour == "cut" else data
)
"""


def card_qpc(path: Path, outputs: str = "y", elf: bytes = ELF) -> None:
    """What the vendor's compiler would write for the linear model: the card's half alone."""
    program = {
        "name": "vendor's linear", "num_cores": 4, "batch_size": 2,
        "inputs": [{"name": "x", "dtype": "float32", "dims": [2, 16]}],
        "outputs": [{"name": outputs, "dtype": "float32", "dims": [2, 4]}],
    }  # fmt: skip
    manifest = {"format_version": 1, "producer": "test", "precision": "fp16"}
    extra = {
        "network.elf": elf,
        "constants.bin": (CONSTANTS, 11),
        "constantsdesc.bin": bytes(24),
        "network.elf.crc": b"crc!",
    }
    _core.write_qpc(str(path), program, manifest, b"model", extra)


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "exec"
    directory.mkdir()
    script = directory / "qaic-exec"
    # Not named by its content, as our own scripts are, so that it counts as the vendor's.
    script.write_text(STAND_IN.format(python=sys.executable, variable=VARIABLE))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    (directory / "behaviour").write_text("works")
    card_qpc(directory / "card.bin")
    monkeypatch.setenv(VARIABLE, str(script))
    return script


def seen(stand_in: Path) -> list[str]:
    arguments, variable = json.loads((stand_in.parent / "seen.json").read_text())
    assert variable == "none"  # a compiler of ours under it would not call it again
    return list(arguments)


def test_both_halves_in_one_file(stand_in: Path, linear_onnx: Path, tmp_path: Path) -> None:
    path = tmp_path / "out" / "programqpc.bin"
    report = compile_onnx(
        linear_onnx, path, onnx_define_symbol=BATCH, aic_num_cores=4, mos=[1, 2],
        convert_to_fp16=True, combine_inputs=False,
    )  # fmt: skip
    qpc = _core.read_qpc(str(path))
    assert qpc["has_card_half"]
    assert qpc["has_host_half"]
    segments = {segment["name"]: segment for segment in qpc["segments"]}
    assert segments["constants.bin"]["offset"] == 11
    assert _core.qpc_segment(str(path), "constants.bin") == CONSTANTS
    assert _core.qpc_segment(str(path), "network.elf") == ELF
    assert _core.qpc_segment(str(path), "network.elf.crc") == b"crc!"
    # The vendor's descriptor is kept as it is; the manifest and the model are ours.
    assert qpc["program"]["name"] == "vendor's linear"
    assert qpc["manifest"] is not None
    assert qpc["manifest"]["producer"].startswith("qaickit ")
    assert "vendor's compiler" in [entry.name for entry in report.passes]
    first, *rest = seen(stand_in)
    assert first == f"-m={linear_onnx}"
    assert rest[:2] == ["-aic-hw", "-compile-only"]
    assert rest[3:] == [
        "-onnx-define-symbol=batch,2",
        "-aic-num-cores=4",
        "-convert-to-fp16",
        "-mos=1,2",
        "-combine-inputs=false",
    ]


@pytest.mark.parametrize(
    ("behaviour", "error", "message"),
    [
        ("fails", QaicKitError, r"failed with status 1: first line / no such operator.*=none"),
        ("nothing", DataLossError, r"ended without error, but wrote no programqpc\.bin"),
        ("cut", DataLossError, r"programqpc\.bin"),
    ],
)
def test_failures(
    stand_in: Path,
    linear_onnx: Path,
    tmp_path: Path,
    behaviour: str,
    error: type[QaicKitError],
    message: str,
) -> None:
    (stand_in.parent / "behaviour").write_text(behaviour)
    with pytest.raises(error, match=message):
        compile_onnx(linear_onnx, tmp_path / "out" / "a.bin", onnx_define_symbol=BATCH)
    assert not (tmp_path / "out").exists()


def test_a_card_half_without_a_program(stand_in: Path, linear_onnx: Path, tmp_path: Path) -> None:
    (stand_in.parent / "card.bin").unlink()
    compile_without_card(linear_onnx, stand_in.parent / "card.bin")
    with pytest.raises(DataLossError, match="without a program for a card"):
        compile_onnx(linear_onnx, tmp_path / "a.bin", onnx_define_symbol=BATCH)


def compile_without_card(model: Path, path: Path) -> None:
    settings = CompileSettings(CompileSettings.of(onnx_define_symbol=BATCH).options, vendor=None)
    from qaickit.compiler import compile_to

    compile_to(model, path, settings)


def test_a_card_half_of_another_program(stand_in: Path, linear_onnx: Path, tmp_path: Path) -> None:
    card_qpc(stand_in.parent / "card.bin", outputs="z")
    with pytest.raises(InvalidArgumentError, match="output 'z', the program does not"):
        compile_onnx(linear_onnx, tmp_path / "a.bin", onnx_define_symbol=BATCH)


def test_the_compiler_is_part_of_the_cache_key(
    stand_in: Path, linear_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_card = ensure_qpc(linear_onnx, CompileSettings.of(onnx_define_symbol=BATCH))
    again = ensure_qpc(linear_onnx, CompileSettings.of(onnx_define_symbol=BATCH))
    monkeypatch.setenv(VARIABLE, "none")
    without = ensure_qpc(linear_onnx, CompileSettings.of(onnx_define_symbol=BATCH))
    assert with_card.path == again.path != without.path
    assert with_card.describe()["has_card_half"]
    assert not without.describe()["has_card_half"]


def test_where_it_is_looked_for(
    stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = tmp_path / "ours"
    ours.mkdir()
    (ours / "qaic-compile").write_text("#!/usr/bin/python\nfrom qaickit.compile import main\n")
    (ours / "qaic-compile").chmod(0o755)
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("PATH", os.pathsep.join([str(ours), str(stand_in.parent)]))
    found = find_vendor_compiler()
    assert found is not None
    assert found.path == str(stand_in)
    monkeypatch.setenv("PATH", str(ours))
    assert find_vendor_compiler() is None or "/opt/" in str(find_vendor_compiler())
    monkeypatch.setenv(VARIABLE, str(tmp_path / "missing"))
    with pytest.raises(NotFoundError, match=VARIABLE):
        find_vendor_compiler()


def test_calibration_arrays_cannot_be_passed_on(stand_in: Path) -> None:
    options = resolve({"convert_to_quantize": True})
    arrays = open_data({"x": np.zeros((2, 16), np.float32)})
    for data in (open_data("digits"), arrays):
        with pytest.raises(UnsupportedError, match="input_list_file"):
            VendorCompiler(str(stand_in)).check(options, data)
    VendorCompiler(str(stand_in)).check(options, open_data("random"))


def test_arrays_for_the_host_half_alone_are_refused(
    linear_onnx: Path, stand_in: Path, tmp_path: Path
) -> None:
    """Given beside the options, too; the card half would be made of random values."""
    data = open_data({"x": np.ones((2, 16), np.float32)})
    settings = CompileSettings(
        resolve({"convert_to_quantize": True, "onnx_define_symbol": {"batch": 1}}),
        data,
        VendorCompiler(str(stand_in)),
    )
    with pytest.raises(UnsupportedError, match=r"calibration data \(arrays of the caller\)"):
        compile_to(linear_onnx, tmp_path / "out" / "q.bin", settings)
    assert not (tmp_path / "out").exists()
