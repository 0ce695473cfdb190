"""`python -m qaickit.doctor`."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest

import qaickit
from qaickit import _core, doctor
from qaickit.doctor import Backend, Examination


def run_doctor(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "qaickit.doctor", *flags],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_table_names_every_backend_and_version() -> None:
    done = run_doctor()
    assert done.returncode == 0, done.stderr
    # Values of several lines stay in their column.
    indent = "\n" + " " * done.stdout.index(platform.python_version())
    for found in _core.backends():
        usable = "usable" if found["devices"] else "not usable"
        assert f"{found['name']}: {usable}" in done.stdout
        if found["error"]:
            assert found["error"].replace("\n", indent) in done.stdout
    for name in ("Python", "NumPy", "ONNX Runtime", "LoadGen"):
        assert name in done.stdout
    assert "\x1b" not in done.stdout


def test_json_has_the_same() -> None:
    done = run_doctor("--json")
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert content["usable"] is True
    assert [b["name"] for b in content["backends"]] == [b["name"] for b in _core.backends()]
    cpu = next(b for b in content["backends"] if b["name"] == "cpu")
    assert cpu["usable"]
    assert cpu["error"] == ""
    assert content["versions"]["NumPy"]


def test_an_unknown_flag_is_an_error_without_traceback() -> None:
    done = run_doctor("--jsn")
    assert done.returncode == 2
    assert "--jsn" in done.stderr
    assert "Traceback" not in done.stderr


def examination(*, devices: tuple[str, ...], error: str = "", core_error: str = "") -> Examination:
    cpu = Backend("cpu", "ONNX Runtime", devices, error, (("library", "/x.so"),))
    null = Backend("null", "nothing", ("0 null",), "")
    return Examination({"NumPy": "2"}, () if core_error else (cpu, null), core_error)


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (examination(devices=("0 CPU",)), 0),
        (examination(devices=(), error="libonnxruntime.so: not found; tried /a, /b"), 1),
        (examination(devices=(), core_error="cannot be loaded: libx.so"), 1),
    ],
)
def test_the_exit_code_is_that_of_the_cpu(
    found: Examination,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(doctor, "examine", lambda: found)
    assert doctor.main([]) == code
    printed = capsys.readouterr().out
    assert all(backend.error in printed for backend in found.backends)
    assert found.core_error in printed
    assert doctor.main(["--json"]) == code
    assert json.loads(capsys.readouterr().out)["usable"] is (code == 0)


def test_what_is_said_already_is_not_said_again() -> None:
    rows = (("driver, runtime", "no driver"), ("provider", "/p.so"))
    listed = list(doctor._backend_rows(Backend("cuda", "a GPU", (), "no driver", rows)))
    assert listed[1:] == [("  why not", "no driver"), ("  provider", "/p.so")]


class Installed:
    """A distribution, as importlib.metadata gives it."""

    def __init__(self, name: str, number: str) -> None:
        self.metadata, self.version = {"Name": name}, number


def install(monkeypatch: pytest.MonkeyPatch, packages: dict[str, str]) -> None:
    def version(name: str) -> str:
        if name not in packages:
            raise PackageNotFoundError(name)
        return packages[name]

    listed = [Installed(name, number) for name, number in packages.items()]
    monkeypatch.setattr(doctor, "version", version)
    monkeypatch.setattr(doctor, "distributions", lambda: iter(listed))


def test_two_onnx_runtimes_are_one_too_many(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, {"onnxruntime": "1.31.1", "onnxruntime-gpu": "1.30.0"})
    (advice,) = doctor.examine().advice
    assert advice.startswith("onnxruntime 1.31.1 and onnxruntime-gpu 1.30.0 are both installed.")
    assert "pip install onnxruntime-gpu[cuda,cudnn]" in advice
    doctor.main([])
    assert "to be mended" in capsys.readouterr().out
    doctor.main(["--json"])
    assert json.loads(capsys.readouterr().out)["advice"] == [advice]


@pytest.mark.parametrize("name", ["onnxruntime", "onnxruntime-gpu"])
def test_one_onnx_runtime_is_right(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, {name: "1.31.1", "numpy": "2.0"})
    found = doctor.examine()
    assert found.advice == ()
    assert found.versions["ONNX Runtime"] == "1.31.1"
    assert found.versions["CUDA packages"] == doctor.NOT_INSTALLED


def test_packages_of_cuda_are_listed_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    install(
        monkeypatch,
        {"onnxruntime-gpu": "1.31", "nvidia-cudnn-cu12": "9.8", "nvidia-cublas-cu12": "12.9"},
    )
    versions = doctor.examine().versions
    assert versions["CUDA packages"] == "12.9 (nvidia-cublas-cu12), 9.8 (nvidia-cudnn-cu12)"
    install(monkeypatch, {"nvidia-cudnn-cu12": "9.8"})
    assert doctor.examine().versions["CUDA packages"] == "9.8 (nvidia-cudnn-cu12)"


def test_a_core_that_does_not_load_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "qaickit._core", None)
    monkeypatch.delattr(qaickit, "_core", raising=False)
    found = doctor.examine()
    assert not found.is_usable
    assert "qaickit._core" in found.core_error
    assert not found.backends
    assert found.versions["Python"]
