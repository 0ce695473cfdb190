"""Which backends are usable on this machine, and why the others are not.

    python -m qaickit.doctor            # a table
    python -m qaickit.doctor --json     # the same for programs

Exit code 0 where at least the CPU can be used, else 1.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from rich.console import Console

from qaickit._table import print_rows
from qaickit.errors import NotFoundError
from qaickit.util import sim_path

if TYPE_CHECKING:
    from qaickit._core import BackendDict

__all__ = ["Backend", "Examination", "examine", "main"]

REQUIRED_BACKEND = "cpu"
NOT_INSTALLED = "not installed"
# What people call it -> the names that it can be installed under.
_PACKAGES: Mapping[str, tuple[str, ...]] = {
    "qaickit": ("qaickit",),
    "NumPy": ("numpy",),
    "ONNX": ("onnx",),
    "ONNX Runtime": ("onnxruntime", "onnxruntime-gpu"),
    "LoadGen (Python module)": ("mlcommons-loadgen",),
}


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
    """

    versions: Mapping[str, str]
    backends: tuple[Backend, ...]
    core_error: str = ""
    simulator: str = ""

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
        return Examination(versions, (), error)
    versions["LoadGen (native)"] = _core.loadgen_version()
    return Examination(versions, _backends(_core.backends()), simulator=_simulator())


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
    return {"Python": python} | {name: _installed(names) for name, names in _PACKAGES.items()}


def _installed(packages: Iterable[str]) -> str:
    found = []
    for package in packages:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            continue
    if len(found) > 1:
        return ", ".join(f"{number} ({package})" for package, number in found)
    return found[0][1] if found else NOT_INSTALLED


def _backend_rows(backend: Backend) -> Iterable[tuple[str, str]]:
    yield (f"{backend.name}: {'usable' if backend.is_usable else 'not usable'}", backend.summary)
    for device in backend.devices:
        yield "  device", device
    if backend.error:
        yield "  why not", backend.error
    for name, value in backend.details:
        yield f"  {name}", value


def _rows(found: Examination) -> Iterable[tuple[str, str]]:
    yield from found.versions.items()
    if found.core_error:
        yield "qaickit._core", found.core_error
    for backend in found.backends:
        yield from _backend_rows(backend)
    if found.simulator:
        yield "simulated cards", f"not used unless named: {found.simulator}"


def _as_json(found: Examination) -> str:
    content = {
        "usable": found.is_usable,
        "versions": dict(found.versions),
        "core_error": found.core_error,
        "simulator": found.simulator,
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
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    args = parser.parse_args(argv)
    found = examine()
    if args.json:
        print(_as_json(found))
    else:
        print_rows(Console(), _rows(found))
    return 0 if found.is_usable else 1


if __name__ == "__main__":
    raise SystemExit(main())
