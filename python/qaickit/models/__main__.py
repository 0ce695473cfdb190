"""`python -m qaickit.models`: list the models, or build one into a file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from qaickit._tools import as_process, outcome
from qaickit.errors import InvalidArgumentError
from qaickit.models import MODELS, find_model


def _list() -> None:
    width = max(map(len, MODELS))
    for spec in MODELS.values():
        built = "" if spec.path.is_file() else "  [not built yet]"
        print(f"{spec.name:<{width}}  {spec.description}{built}\n{'':<{width}}  {spec.path}")


def _build(name: str, output: Path | None) -> None:
    spec = find_model(name)
    if output is None:
        path = spec.ensure()
    elif spec.builder is None:
        raise InvalidArgumentError(
            f"model '{name}' is not built but shipped, at {spec.path}; copy that file"
        )
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        spec.builder(output)
        path = output
    print(path)
    if spec.random_weights:
        print("random weights: this model measures speed only", file=sys.stderr)


def main(argv: list[str] | None = None) -> int:
    """Run the command line on `argv` (default: sys.argv); return the exit status, 1 on errors."""
    parser = argparse.ArgumentParser(
        prog="python -m qaickit.models", description="The models that come with qaickit."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="name every model and where its file is")
    build = commands.add_parser("build", help="build a model's file if need be, print its path")
    build.add_argument("name", metavar="NAME")
    build.add_argument("--output", type=Path, metavar="PATH", help="default: the cache directory")
    args = parser.parse_args(argv)

    def work() -> int:
        if args.command == "list":
            _list()
        else:
            _build(args.name, args.output)
        return 0

    return outcome("error", work)


if __name__ == "__main__":
    raise SystemExit(as_process(main))
