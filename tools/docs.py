"""The pages about the Python modules: ``python tools/docs.py build/docs``.

A page for each public module of `qaic` and `qaickit`, and for `qaicrt` where it is there, made by
pdoc from the installed package's docstrings.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
import warnings
from pathlib import Path

import pdoc

PACKAGES = ("qaic", "qaicrt", "qaickit")


def public_modules(package: str) -> list[str]:
    """The package and the modules in it whose names do not begin with an underscore."""
    module = importlib.import_module(package)
    inside = pkgutil.walk_packages(getattr(module, "__path__", ()), f"{package}.")
    names = [package, *(info.name for info in inside)]
    return [name for name in names if not any(part[0] == "_" for part in name.split("."))]


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    output = Path(sys.argv[1])
    found = [package for package in PACKAGES if importlib.util.find_spec(package)]
    modules = [name for package in found for name in public_modules(package)]
    # What a package imports when it is first asked for is not seen by pdoc before.
    qaickit = importlib.import_module("qaickit")
    vars(qaickit).update({name: getattr(qaickit, name) for name in qaickit.__all__})
    with warnings.catch_warnings():
        # Types that only the stubs of the compiled module have are shown as text, and pdoc finds
        # the modules of some packages by itself.
        known = ("Failed to run TYPE_CHECKING", "Error parsing", "The module specification")
        warnings.filterwarnings("ignore", message=f"({'|'.join(known)})")
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
