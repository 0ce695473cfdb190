"""Every kind of QPC by the rules of the vendor's open reader; and a disk that is full."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import SaveOnnx
from onnx import TensorProto, helper, numpy_helper

from qaickit import network_desc
from qaickit.compiler import compile_onnx

FLOAT = TensorProto.FLOAT
MAGIC = 0x00A1CD7C
REQUIRED = ("network.elf", "constantsdesc.bin", "networkdesc.bin")


def read_as_vendor(data: bytes) -> dict[str, bytes]:
    """Segments as the open reader gets them: its checks, and pointers relative to the base."""
    magic, _, _, compression, size, base, count, images = struct.unpack_from("<IBBHQQQQ", data)
    assert magic == MAGIC
    assert size == len(data)
    assert compression != 0
    segments: dict[str, bytes] = {}
    for index in range(count):
        entry = images - base + 32 * index
        length, offset, name, start = struct.unpack_from("<QQQQ", data, entry)
        end = data.index(b"\0", name - base)
        text = data[name - base : end].decode()
        assert start - base + length <= len(data)
        assert (start - base) % 8 == 0
        # Of two segments of one name it takes the first.
        segments.setdefault(text, data[start - base + offset : start - base + length])
    assert all(required in segments for required in REQUIRED)
    assert len(segments["constantsdesc.bin"]) == 24
    return segments


@pytest.fixture
def net_onnx(save_onnx: SaveOnnx) -> Path:
    """A convolution and a product with more than 1 MiB of weights."""
    random = np.random.default_rng(0)
    return save_onnx(
        [
            helper.make_node("Conv", ["x", "k"], ["c"]),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("Flatten", ["r"], ["f"]),
            helper.make_node("MatMul", ["f", "w"], ["y"]),
        ],
        [("x", FLOAT, ["batch", 2, 10, 10])],
        [("y", FLOAT, ["batch", 2048])],
        [
            numpy_helper.from_array(random.random((3, 2, 3, 3), dtype=np.float32), "k"),
            numpy_helper.from_array(random.random((192, 2048), dtype=np.float32), "w"),
        ],
    )


def custom_io(directory: Path) -> str:
    path = directory / "io.yaml"
    path.write_text("- {IOName: x, Layout: NHWC, Precision: uint8, Scale: 0.1, Offset: 3}\n")
    return str(path)


KINDS: dict[str, Callable[[Path], dict[str, object]]] = {
    "fp32": lambda _: {},
    "fp16": lambda _: {"convert_to_fp16": True},
    "int8": lambda _: {"convert_to_quantize": True, "use_random_input_data": "uniform"},
    "custom IO": lambda directory: {"custom_io_list_file": custom_io(directory)},
    "batch 4, 8 cores": lambda _: {"batchsize": 4, "aic_num_cores": 8},
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_open_reader_takes_it(kind: str, net_onnx: Path, tmp_path: Path) -> None:
    options = {"batchsize": 2, **KINDS[kind](tmp_path)}
    paths = [tmp_path / name for name in ("a.bin", "b.bin")]
    for path in paths:
        compile_onnx(net_onnx, path, **options)
    data = paths[0].read_bytes()
    assert data == paths[1].read_bytes()
    described = network_desc.decode(read_as_vendor(data)["networkdesc.bin"])
    assert described["major_version"] == 9
    bindings = [*described["inputs"], *described["outputs"]]
    assert all(binding["name"] for binding in bindings)
    # The open runtime runs one copy for each binding, into a buffer of its own.
    for binding in bindings:
        kinds = [step["kind"] for step in binding["transformseq"]]
        assert len(kinds) == 1
    assert len(described["dma_buffers"]) == len(bindings)


# Compiles with a limit on the size of files, which fails in the middle of the writing.
LIMITED = """
import resource, sys
from qaickit.compiler import compile_onnx
from qaickit.errors import ResourceExhaustedError
model, qpc, limit, template = sys.argv[1:]
options = {"dump_custom_io_config_template_file": template} if template else {}
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try:
    compile_onnx(model, qpc, **options)
except ResourceExhaustedError as error:
    print(error)
    sys.exit(3)
"""


@pytest.mark.parametrize(
    ("dtype", "limit", "template", "what"),
    [
        (TensorProto.FLOAT16, 300, "", "programqpc.bin"),  # in half precision: not simplified
        (TensorProto.FLOAT16, 20, "template.yaml", "custom IO template"),
        (FLOAT, 20, "", "set TMPDIR"),
    ],
)
def test_full_disk(
    save_onnx: SaveOnnx, tmp_path: Path, dtype: int, limit: int, template: str, what: str
) -> None:
    path = save_onnx(
        [helper.make_node("Add", ["x", "x"], ["y"])], [("x", dtype, [2])], [("y", dtype, [2])]
    )
    directory = tmp_path / "new"
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, path, directory / "programqpc.bin", str(limit), template],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert what in done.stdout
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["model.onnx"]
