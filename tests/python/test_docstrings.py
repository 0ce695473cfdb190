"""Public names of compiled modules say what they are: in their stubs, and the same to help().

ruff sees to the docstrings of modules in Python.
"""

from __future__ import annotations

import ast
import enum
import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import qaicrt

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
stub_docs = importlib.import_module("stub_docs")

COMPILED = ("qaickit._qaicrt", "qaickit._core")
PROTOBUF = ROOT / "python" / "QAicApi_pb2.pyi"
# What pybind11 gives every enum.
OF_ENUMS = {"name", "value"}


def stub_of(module: str) -> ast.Module:
    path = ROOT / "python" / Path(*module.split(".")).with_suffix(".pyi")
    return ast.parse(path.read_text(encoding="utf-8"))


def public_members(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Classes, functions, methods and fields of a compiled module; of enums the class alone."""
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__name__", name) != name:
            continue  # a second name of a class
        yield name, value
        if not isinstance(value, type) or vars(value).keys() >= OF_ENUMS:
            continue
        for inner in vars(value):
            if not inner.startswith("_"):
                yield f"{name}.{inner}", inspect.getattr_static(value, inner)


def doc_of(member: Any) -> str:
    function = getattr(member, "__func__", member)  # of a static method
    return inspect.cleandoc(function.__doc__ or "")


@pytest.mark.parametrize("name", COMPILED)
def test_help_says_what_the_stub_says(name: str) -> None:
    said = dict(stub_docs.entries(stub_of(name).body))
    members = dict(public_members(importlib.import_module(name)))
    assert len(members) > 20
    wrong = []
    for key, member in members.items():
        overloads = [text for other, text in said.items() if other.startswith(f"{key}:")]
        bound = doc_of(member).count("\n2. ") > 0  # as overloads, which have a text each
        texts = overloads if overloads and bound else [said.get(key)]
        if any(text is None or " ".join(text.split()) not in " ".join(doc_of(member).split())
               for text in texts):  # fmt: skip
            wrong.append(key)
    assert wrong == []


@pytest.mark.parametrize("name", COMPILED)
def test_the_stub_tells_of_nothing_else(name: str) -> None:
    module = importlib.import_module(name)
    members = dict(public_members(module))
    known = {key.partition(":")[0] for key, _ in stub_docs.entries(stub_of(name).body)}
    assert sorted(known - members.keys()) == []


def test_numbers_of_enums_are_the_stubs() -> None:
    module = importlib.import_module("qaickit._qaicrt")
    enums = 0
    for node in stub_of("qaickit._qaicrt").body:
        if not isinstance(node, ast.ClassDef) or "IntEnum" not in map(ast.unparse, node.bases):
            continue
        enums += 1
        values = {
            ast.unparse(part.targets[0]): ast.literal_eval(part.value)
            for part in node.body
            if isinstance(part, ast.Assign)
        }
        members = getattr(module, node.name).__members__
        assert {key: int(value) for key, value in members.items()} == values
        assert enum.IntEnum(node.name, values)  # they are numbers, each once
    assert enums >= 8


def test_all_of_the_compiled_module_is_offered() -> None:
    module = importlib.import_module("qaickit._qaicrt")
    names = {name for name in vars(module) if not name.startswith("_")}
    assert names == set(qaicrt.__all__)


def test_messages_say_what_they_are() -> None:
    tree = ast.parse(PROTOBUF.read_text(encoding="utf-8"))
    said = dict(stub_docs.entries(tree.body))
    names = [
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    assert len(names) > 3
    assert [name for name in names if name not in said] == []
