"""Public names of compiled modules say what they are, in their stubs; ruff sees to the others."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PYTHON = Path(__file__).resolve().parents[2] / "python"
STUBS = ("qaickit/_qaicrt.pyi", "QAicApi_pb2.pyi")


def is_field(node: ast.stmt) -> bool:
    """A property of a plain struct, which the struct's docstring tells of."""
    return isinstance(node, ast.FunctionDef) and any(
        isinstance(decorator, ast.Name) and decorator.id == "property"
        for decorator in node.decorator_list
    )


def silent(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    """Public classes, functions and methods without a docstring; one of its overloads is enough."""
    said = {
        node.name
        for node in body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node)
    }
    for node in body:
        if not isinstance(node, (ast.ClassDef, ast.FunctionDef)) or node.name.startswith("_"):
            continue
        if node.name not in said and not is_field(node):
            yield prefix + node.name
        if isinstance(node, ast.ClassDef):
            yield from silent(node.body, f"{node.name}.")


@pytest.mark.parametrize("stub", STUBS)
def test_public_names_have_docstrings(stub: str) -> None:
    tree = ast.parse((PYTHON / stub).read_text())
    assert ast.get_docstring(tree)
    assert sum(isinstance(node, ast.ClassDef) for node in tree.body) > 3
    assert list(silent(tree.body)) == []
