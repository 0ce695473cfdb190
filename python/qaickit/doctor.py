"""Which backends are usable on this machine, and why the others are not.

    python -m qaickit.doctor            # a table
    python -m qaickit.doctor --json     # the same for programs

Exit code 0 where at least the CPU can be used, else 1.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, distributions, version
from typing import TYPE_CHECKING

from qaickit._table import console_on, print_rows
from qaickit._tools import as_process, outcome
from qaickit.errors import NotFoundError
from qaickit.util import sim_path

if TYPE_CHECKING:
    from qaickit._core import BackendDict

__all__ = ["Backend", "Examination", "examine", "main"]

REQUIRED_BACKEND = "cpu"
NOT_INSTALLED = "not installed"
_EPILOG = """\
exit code
  0 the CPU can be used at least    1 it cannot    2 wrong usage

examples
  python -m qaickit.doctor
  python -m qaickit.doctor --json | python -m json.tool
"""
# What people call it -> the names that it can be installed under.
_PACKAGES: Mapping[str, tuple[str, ...]] = {
    "qaickit": ("qaickit",),
    "NumPy": ("numpy",),
    "ONNX": ("onnx",),
    "ONNX Runtime": ("onnxruntime", "onnxruntime-gpu"),
    "TensorRT": ("tensorrt", "tensorrt-cu12", "tensorrt-cu13"),
    "LoadGen (Python module)": ("mlcommons-loadgen",),
}
# What the wheels of the libraries that ONNX Runtime's CUDA provider needs are called.
_CUDA_PREFIX = "nvidia-"


@dataclass(frozen=True)
class Backend:
    """One backend.

    Attributes:
        devices: '<id> <name>' of each device that can be used.
        error: the exact reason why there is none; empty where there is one.
        details: versions, paths and the like.
    """

    name: str
    summary: str
    devices: tuple[str, ...]
    error: str
    details: tuple[tuple[str, str], ...] = ()

    @property
    def is_usable(self) -> bool:
        """True where a session can run on it."""
        return bool(self.devices) and not self.error


@dataclass(frozen=True)
class Examination:
    """What was found: versions by name, and the backends (none where the core does not load).

    Attributes:
        simulator: how to have simulated cards; empty where the core does not load.
        advice: what is wrong with what is installed, and what to do.
    """

    versions: Mapping[str, str]
    backends: tuple[Backend, ...]
    core_error: str = ""
    simulator: str = ""
    advice: tuple[str, ...] = ()

    @property
    def is_usable(self) -> bool:
        """True where at least the CPU can be used."""
        return any(b.is_usable for b in self.backends if b.name == REQUIRED_BACKEND)


def examine() -> Examination:
    """Look at this machine. Loads each backend's library, but no program."""
    versions = _versions()
    try:
        from qaickit import _core
    except ImportError as problem:
        error = f"the compiled module qaickit._core cannot be loaded: {problem}"
        return Examination(versions, (), error, advice=_advice())
    versions["LoadGen (native)"] = _core.loadgen_version()
    return Examination(
        versions, _backends(_core.backends()), simulator=_simulator(), advice=_advice()
    )


def _simulator() -> str:
    try:
        return f"QAIC_LIB={sim_path()}"
    except NotFoundError as error:
        return str(error)


def _backends(listed: Iterable[BackendDict]) -> tuple[Backend, ...]:
    return tuple(
        Backend(
            name=found["name"],
            summary=found["summary"],
            devices=tuple(f"{device['id']} {device['name']}" for device in found["devices"]),
            error=found["error"] or ("" if found["devices"] else "it has no device here"),
            details=tuple((name, value) for name, value in found["details"]),
        )
        for found in listed
    )


def _versions() -> dict[str, str]:
    python = f"{platform.python_version()} ({platform.system()} {platform.machine()})"
    found = {name: _listed(_installed(names)) for name, names in _PACKAGES.items()}
    return {"Python": python} | found | {"CUDA packages": _listed(_cuda_packages())}


def _installed(packages: Iterable[str]) -> dict[str, str]:
    """Package -> version, of those that are installed."""
    found = {}
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _cuda_packages() -> dict[str, str]:
    names = [(found.metadata["Name"] or "", found.version) for found in distributions()]
    return {name: number for name, number in sorted(names) if name.startswith(_CUDA_PREFIX)}


def _listed(found: Mapping[str, str]) -> str:
    if len(found) > 1 or any(name.startswith(_CUDA_PREFIX) for name in found):
        return ", ".join(f"{number} ({package})" for package, number in found.items())
    return next(iter(found.values()), NOT_INSTALLED)


def _advice() -> tuple[str, ...]:
    both = _installed(_PACKAGES["ONNX Runtime"])
    if len(both) < 2:
        return ()
    listed = " and ".join(f"{name} {number}" for name, number in both.items())
    return (
        f"{listed} are both installed. They unpack into one directory, so the files of one have "
        "overwritten the other's, and there may be no CUDA. First: pip uninstall -y onnxruntime "
        "onnxruntime-gpu; then, for a GPU: pip install onnxruntime-gpu[cuda,cudnn]; without: pip "
        "install onnxruntime",
    )


def _backend_rows(backend: Backend) -> Iterable[tuple[str, str]]:
    yield (f"{backend.name}: {'usable' if backend.is_usable else 'not usable'}", backend.summary)
    for device in backend.devices:
        yield "  device", device
    if backend.error:
        yield "  why not", backend.error
    for name, value in backend.details:
        if value != backend.error:  # which has been said
            yield f"  {name}", value


def _rows(found: Examination) -> Iterable[tuple[str, str]]:
    yield from found.versions.items()
    if found.core_error:
        yield "qaickit._core", found.core_error
    for backend in found.backends:
        yield from _backend_rows(backend)
    for text in found.advice:
        yield "to be mended", text
    if found.simulator:
        yield "simulated cards", f"not used unless named: {found.simulator}"


def _as_json(found: Examination) -> str:
    content = {
        "usable": found.is_usable,
        "versions": dict(found.versions),
        "core_error": found.core_error,
        "simulator": found.simulator,
        "advice": list(found.advice),
        "backends": [
            asdict(backend) | {"usable": backend.is_usable, "details": dict(backend.details)}
            for backend in found.backends
        ],
    }
    return json.dumps(content, indent=2)


def main(argv: Sequence[str] | None = None) -> int:
    """Print what was found and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m qaickit.doctor",
        description="Tell which backends are usable here, or the exact reason why not.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    args = parser.parse_args(argv)
    return outcome("qaickit.doctor: error", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    found = examine()
    if args.json:
        print(_as_json(found))
    else:
        print_rows(console_on(sys.stdout), _rows(found))
    return 0 if found.is_usable else 1


if __name__ == "__main__":
    raise SystemExit(as_process(main))
