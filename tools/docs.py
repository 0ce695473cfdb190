"""The pages about the Python modules: ``python tools/docs.py build/docs``.

A page for each public module of the packages below, made by pdoc from the installed package's
docstrings and, where it is compiled, from those of its stub.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import sys
import tempfile
import warnings
from pathlib import Path

import pdoc

from stub_docs import entries

PACKAGES = ("qaic", "qaicrt", "QAicApi_pb2", "qaickit")
# Module -> the stub of the compiled module that its names come from.
STUBS = {"qaicrt": "qaickit._qaicrt"}


def public_modules(package: str) -> list[str]:
    """The package and the modules in it whose names do not begin with an underscore."""
    module = importlib.import_module(package)
    # What a package imports when it is first asked for is not seen by pdoc before.
    vars(module).update({name: getattr(module, name) for name in getattr(module, "__all__", ())})
    inside = pkgutil.walk_packages(getattr(module, "__path__", ()), f"{package}.")
    names = [package, *(info.name for info in inside)]
    return [name for name in names if not any(part[0] == "_" for part in name.split("."))]


def stub_path(compiled: str) -> Path:
    """The stub of a compiled module, in its package."""
    package, _, name = compiled.rpartition(".")
    return Path(str(importlib.import_module(package).__file__)).with_name(f"{name}.pyi")


def lend_stub(module: str, compiled: str, directory: Path) -> None:
    """Puts the stub of a compiled module where pdoc looks for that of `module`."""
    text = stub_path(compiled).read_text(encoding="utf-8")
    lines = text.splitlines()
    # Without the stub's own docstring: the module's is the one to show.
    first = ast.parse(text).body[0]
    del lines[first.lineno - 1 : first.end_lineno]
    (directory / f"{module}.pyi").write_text("\n".join(lines) + "\n")


def untold(module: str, compiled: str, page: Path) -> list[str]:
    """Names that the stub of a compiled module tells of and its page does not."""
    told = page.read_text(encoding="utf-8")
    stub = ast.parse(stub_path(compiled).read_text(encoding="utf-8"))
    names = {key.partition(":")[0] for key, _ in entries(stub.body)}
    return sorted(name for name in names if f'id="{name}"' not in told)


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    output = Path(sys.argv[1])
    modules = [name for package in PACKAGES for name in public_modules(package)]
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as directory:
        # Types that only the stubs of compiled modules have are shown as text, and pdoc finds the
        # modules of some packages by itself.
        known = ("Failed to run TYPE_CHECKING", "Error parsing", "The module specification")
        warnings.filterwarnings("ignore", message=f"({'|'.join(known)})")
        for module, compiled in STUBS.items():
            lend_stub(module, compiled, Path(directory))
        sys.path.insert(0, directory)
        pdoc.pdoc(*modules, output_directory=output)
    pages = {name: output.joinpath(*name.split(".")).with_suffix(".html") for name in modules}
    missing = [name for name, page in pages.items() if not page.is_file()]
    if missing:
        print(f"no page for {', '.join(missing)}", file=sys.stderr)
        return 1
    for module, compiled in STUBS.items():
        if left_out := untold(module, compiled, pages[module]):
            print(f"not on the page of {module}: {', '.join(left_out)}", file=sys.stderr)
            return 1
    print(f"{len(modules)} pages: {output / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
