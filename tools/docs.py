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


def lend_stub(module: str, compiled: str, directory: Path) -> None:
    """Puts the stub of a compiled module where pdoc looks for that of `module`."""
    package, _, name = compiled.rpartition(".")
    folder = Path(str(importlib.import_module(package).__file__)).parent
    text = (folder / f"{name}.pyi").read_text()
    lines = text.splitlines()
    # Without the stub's own docstring: the module's is the one to show.
    first = ast.parse(text).body[0]
    del lines[first.lineno - 1 : first.end_lineno]
    (directory / f"{module}.pyi").write_text("\n".join(lines) + "\n")


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
    print(f"{len(modules)} pages: {output / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
