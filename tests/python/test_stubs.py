"""The stubs of the compiled modules have what the modules have, as mypy's stubtest sees it."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

pytest.importorskip("mypy")

MODULES = ("qaickit._core", "qaickit._qaicrt", "qaic", "qaicrt")
# What a stub of a pybind11 module says otherwise, and why.
OTHERWISE = (
    r"metaclass differs",  # pybind11's own; a stub cannot name it
    r'stub does not have \*args parameter "args"',  # of classes that Python cannot make
    r"__members__ is not present in stub",  # enums are told as those of Python
    r"is read-only at runtime but not in the stub",  # fields of plain data, without a property each
    r"__buffer__ is not present at runtime",  # which Python before 3.12 has in C alone
    r"_core\.\w+Dict is not present at runtime",  # the keys of dicts
)


def test_stubs_tell_of_what_is_there() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "--concise", *MODULES],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert "failed" not in done.stdout, done.stdout
    assert "metaclass differs" in done.stdout, done.stdout + done.stderr  # it has looked
    errors = [line for line in done.stdout.splitlines() if line.startswith(MODULES)]
    assert [line for line in errors if not re.search("|".join(OTHERWISE), line)] == []
