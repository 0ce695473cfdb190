"""YAML and JSON that nobody vouches for, and the files that are made of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import qaic
from qaickit._documents import parse_json, parse_yaml, shown
from qaickit.compiler.calibration.data import RawFileList
from qaickit.compiler.calibration.profile import read_profile
from qaickit.compiler.custom_io import read_custom_io
from qaickit.compiler.passes.precision import read_node_precision
from qaickit.compiler.specializations import read_specializations
from qaickit.errors import DataLossError, QaicKitError
from qaickit.loadgen.user_conf import read_conf
from qaickit.options import resolve

DEEP = 100_000
# Nine of nine of nine ...: short to write.
BOMB = "a0: &a0 [x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * DEEP, "more than 100 lists and mappings"),
        ("{a: " * DEEP, "more than 100 lists and mappings"),
        ("- " * DEEP, "more than 100 lists and mappings"),
        (BOMB, "more than 10000000 values"),
        ("!!bool x", "cannot be what it is said to be"),
        ("!!timestamp x", "cannot be what it is said to be"),
        ("!!int ''", "."),
        ("2020-13-45", "month"),
        ("a: [", "expected"),
        ("\x00", "."),
        ("9" * 5000, "."),
    ],
)  # fmt: skip
def test_yaml_that_is_none(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_yaml(text.encode())


@pytest.mark.parametrize("text", ["[" * DEEP, '{"a": ' * DEEP, "{", "", "\udc80", "9" * 5000])
def test_json_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text.encode(errors="surrogatepass"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_documents_are_read_as_they_were_written(value: Any) -> None:
    assert parse_json(json.dumps(value)) == value
    assert parse_yaml(yaml.safe_dump(value).encode()) == value
    assert len(shown(value)) < 310


def test_what_is_shown_is_short() -> None:
    assert shown("x") == "'x'"
    assert len(shown("x" * 10_000)) < 310
    assert len(shown(parse_yaml(BOMB[: BOMB.index("a5:")].encode()))) < 310
    assert shown(int("f" * 6000, 16)) == "a int that is too long"
    ring: list[Any] = []
    ring.append(ring)
    assert len(shown(ring)) < 300


COUNTS = (
    "format: qaickit-profile-1\n"
    "tensors: {{a: {{low: 0, high: 1, exponent: 1, first: 1, counts: {}}}}}\n"
)
# What mutations of good files have ended the process or a run with, in a place of their readers.
READERS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "custom IO": (
        lambda path: read_custom_io(str(path)),
        [
            "- IOName: x\n  Precision: [uint8]\n",
            "- IOName: x\n  Precision: {a: 1}\n",
            "- IOName: x\n  Layout: [NHWC]\n",
            "- IOName: x\n  Precision: float16\n  Scale: 1" + "0" * 400 + "\n",
            "- IOName: x\n  Precision: float16\n  Offset: 0x" + "f" * 6000 + "\n",
            "- [a]: 1\n",
            "- 0x" + "f" * 6000 + ": 1\n",
        ],
    ),
    "specialization": (
        lambda path: read_specializations(str(path)),
        ['{"specializations": ' + "[" * DEEP, '{"specializations": [{"a": 1e400}]}'],
    ),
    "node precision": (
        lambda path: read_node_precision(str(path)),
        ["FP16NodeInstanceNames: !!bool x\n", "[FP16NodeInstanceNames]: [a]\n"],
    ),
    "profile": (
        lambda path: read_profile(str(path)),
        [
            "format: " + "[" * DEEP,
            "format: !!timestamp x\n",
            "format: 0x" + "f" * 6000 + "\n",
            COUNTS.format("0x" + "f" * 6000),
            COUNTS.format("'" + "9" * 6000 + "'"),
        ],
    ),
    "options": (
        lambda path: resolve({"options_path": str(path)}),
        [
            "set_size: !!int x\n",
            "set_size: 0x" + "f" * 6000 + "\n",
            "0x" + "f" * 6000 + ": 1\n",
            BOMB + "device_settings: {a: *a11}\n",
        ],
    ),
    "user.conf": (
        read_conf,
        [
            "*.*.min_duration = 1e400\n",
            "*.Server.target_qps = 0x" + "f" * 6000 + "\n",
            "*.*.min_duration = " + "9" * 6000 + "\n",
        ],
    ),
    "list of raw files": (
        lambda path: RawFileList(str(path)).digest(),
        ["x" * 5000 + "\n", "a\0b\n"],
    ),
}


@pytest.mark.parametrize(
    ("read", "text"),
    [
        pytest.param(read, text, id=f"{name}-{at}")
        for name, (read, texts) in READERS.items()
        for at, text in enumerate(texts)
    ],
)
def test_hostile_files_end_in_an_error_of_ours(
    tmp_path: Path, read: Callable[[Path], object], text: str
) -> None:
    path = tmp_path / "hostile"
    path.write_text(text)
    with pytest.raises(QaicKitError) as error:
        read(path)
    assert str(path) in str(error.value) or "a\\x00b" in str(error.value)


def test_names_that_are_no_utf8_are_refused(linear_onnx: Path) -> None:
    linear_onnx.write_bytes(linear_onnx.read_bytes().replace(b"batch", b"\xff\xfetch"))
    with pytest.raises(DataLossError, match="is not UTF-8"):
        qaic.Session(linear_onnx)
