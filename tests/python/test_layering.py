"""The layers of CONTRIBUTING.md, as the #include lines have them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "cpp" / "src"
PUBLIC = ROOT / "cpp" / "include" / "qaickit"

# Layer -> the layers that it may include from, besides itself.
MAY_USE = {
    "base": set(),
    "container": {"base"},
    "queue": {"base"},
    "device": {"base", "container", "queue"},
    "batch": {"base", "container", "queue", "device"},
    "session": {"base", "container", "queue", "device", "batch"},
    "rt": {"base", "container", "device"},
    "workload": {"base", "container", "queue", "device", "batch", "session"},
    "loadgen": {"base", "container", "queue", "device", "batch", "session", "workload"},
}
# Public header -> the layer that implements it.
LAYER_OF_HEADER = {
    "export.h": "base",
    "status.h": "base",
    "tensor.h": "base",
    "qpc.h": "container",
    "device.h": "device",
    "qaic.h": "device",
    "batch.h": "batch",
    "session.h": "session",
    "rt.h": "rt",
    "rt_exit.h": "rt",
    "workload.h": "workload",
    "loadgen.h": "loadgen",
}
# Vendor headers -> the only folder that may include them.
VENDOR = {
    r"pybind11/|Python\.h": ROOT / "cpp" / "bindings",
    r"test_settings\.h|system_under_test\.h|query_sample_library\.h": SOURCES / "loadgen",
    r"ort_(api|session)\.h": SOURCES / "device",
    r"(network_desc|host_manifest)\.pb\.h": SOURCES / "container",
}
INCLUDE = re.compile(r'^\s*#include\s+[<"]([^>"]+)[>"]', re.MULTILINE)


def files(*roots: Path) -> list[Path]:
    found = [f for root in roots for f in root.rglob("*") if f.suffix in (".h", ".cc", ".inc")]
    assert found
    return sorted(found)


def includes(file: Path) -> list[str]:
    return INCLUDE.findall(file.read_text(encoding="utf-8"))


def test_every_layer_and_header_is_listed() -> None:
    assert {path.name for path in SOURCES.iterdir() if path.is_dir()} == set(MAY_USE)
    assert {path.name for path in PUBLIC.iterdir()} == set(LAYER_OF_HEADER)


@pytest.mark.parametrize("layer", MAY_USE)
def test_a_layer_includes_only_those_above_it(layer: str) -> None:
    allowed = MAY_USE[layer] | {layer}
    wrong = []
    for file in files(SOURCES / layer):
        for name in includes(file):
            head, _, rest = name.partition("/")
            used = LAYER_OF_HEADER[rest] if head == "qaickit" else head
            if used in MAY_USE and used not in allowed:
                wrong.append(f"{file.relative_to(ROOT)}: {name}")
    assert not wrong


def test_public_headers_need_only_each_other_and_the_standard_library() -> None:
    for file in files(PUBLIC):
        for name in includes(file):
            assert name.startswith("qaickit/") or re.fullmatch(r"[a-z_]+", name), (file.name, name)


@pytest.mark.parametrize("pattern", VENDOR)
def test_vendor_headers_stay_in_their_folder(pattern: str) -> None:
    folder = VENDOR[pattern]
    for file in files(ROOT / "cpp"):
        if folder not in file.parents:
            assert not [name for name in includes(file) if re.search(pattern, name)], file


def test_the_simulator_uses_no_more_than_devices_do() -> None:
    for file in files(ROOT / "cpp" / "sim"):
        for name in includes(file):
            head, _, rest = name.partition("/")
            used = LAYER_OF_HEADER[rest] if head == "qaickit" else head
            assert used not in MAY_USE.keys() - MAY_USE["device"] - {"device"}, (file.name, name)


def test_backends_do_not_include_each_other() -> None:
    shared = "ort"  # no backend: what those over ONNX Runtime have in common
    folders = [path for path in (SOURCES / "device").iterdir() if path.is_dir()]
    for folder in folders:
        for file in files(folder):
            for name in includes(file):
                match = re.match(r"device/(\w+)/", name)
                assert not match or match[1] in (folder.name, shared), (file, name)


def test_the_library_exports_only_what_the_public_headers_declare() -> None:
    core = pytest.importorskip("qaickit._core")
    libraries = list(Path(core.__file__).parent.glob("lib/libqaickit.so"))
    if not libraries:
        pytest.skip("qaickit is not installed as a package here")
    listed = subprocess.run(
        ["nm", "-DC", "--defined-only", str(libraries[0])],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for line in listed.splitlines():
        symbol = line.split(maxsplit=2)[2]
        assert re.match(
            r"(typeinfo (name )?for |vtable for |VTT for |\w+ )*(qaickit::|std::)", symbol
        )
        assert not symbol.startswith(("mlperf::", "google::")), symbol
