"""What the installed package carries: types, licences, headers, the CMake package."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import qaickit

ROOT = Path(__file__).resolve().parents[2]
MAX_INSTALLED_BYTES = 15_000_000


@pytest.fixture(scope="module")
def installed() -> dict[str, Path]:
    """Installed path -> file, of the wheel; skips in a source tree."""
    try:
        files = importlib.metadata.files("qaickit")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("qaickit is not installed as a package here")
    assert files
    return {str(file): Path(str(file.locate())) for file in files}


def test_version_is_the_projects() -> None:
    text = (ROOT / "CMakeLists.txt").read_text()
    match = re.search(r"project\(qaickit VERSION ([0-9.]+)", text)
    assert match
    assert qaickit.__version__ == match[1]


@pytest.mark.parametrize(
    "name",
    [
        "QAicApi_pb2.py",
        "QAicApi_pb2.pyi",
        "qaic/py.typed",
        "qaicrt/py.typed",
        "qaickit/_qaicrt.pyi",
        "qaickit/py.typed",
        "qaickit/_core.pyi",
        "qaickit/include/qaickit/session.h",
        "qaickit/lib/libqaickit.so",
        "qaickit/lib/cmake/qaickit/qaickit-config.cmake",
        "qaickit/models/digits/README.md",
        "qaickit/models/digits/digits.onnx",
        "qaickit/models/digits_encoder/README.md",
        "qaickit/models/digits_encoder/encoder.onnx",
    ],
)
def test_carries(installed: dict[str, Path], name: str) -> None:
    assert name in installed


@pytest.mark.parametrize("project", ["LICENSE", "mlcommons-loadgen", "protobuf", "pybind11"])
def test_carries_the_licence_of_what_is_compiled_in(
    installed: dict[str, Path], project: str
) -> None:
    licences = [name for name in installed if "/licenses/" in name]
    assert any(Path(name).name.startswith(project) for name in licences), licences


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
def test_a_cmake_project_builds_against_the_wheel(
    installed: dict[str, Path], tmp_path: Path
) -> None:
    package = installed["qaickit/lib/cmake/qaickit/qaickit-config.cmake"].parent
    source = ROOT / "tests" / "consumer"
    commands = [
        ["cmake", "-S", str(source), "-B", str(tmp_path), f"-Dqaickit_DIR={package}"],
        ["cmake", "--build", str(tmp_path)],
        [str(tmp_path / "foreign_harness")],
    ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "right answers" in done.stdout


def test_is_small(installed: dict[str, Path]) -> None:
    total = sum(path.stat().st_size for path in installed.values() if path.exists())
    assert total < MAX_INSTALLED_BYTES


def test_nothing_else_is_installed(installed: dict[str, Path]) -> None:
    # Console scripts lie outside of site-packages.
    scripts = {name for name in installed if name.startswith("..")}
    assert {Path(name).name for name in scripts} == {
        "qaic-api-test", "qaic-compile", "qaic-exec", "qaic-qpc", "qaic-runner", "qaic-util",
        "qaic-version-util",
    }  # fmt: skip
    tops = {Path(name).parts[0] for name in installed if name not in scripts}
    packages = {"qaic", "qaicrt", "qaickit", f"qaickit-{qaickit.__version__}.dist-info"}
    # pip compiles a module that has no package beside it.
    assert tops - {"__pycache__"} == packages | {"QAicApi_pb2.py", "QAicApi_pb2.pyi"}
