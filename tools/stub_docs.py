"""Makes a header with the docstrings of a stub: ``python stub_docs.py STUB HEADER NAMESPACE``.

The stub is the one place where they are written; see doc_table.h for how the bindings take them.
Keys are the names inside the module ("Class", "Class.method", "Class.field", "function"). A name
with overloads has the docstrings of all of them, and each alone as "Class.method:1" and so on.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

Entry = tuple[str, str]


def text_of(node: ast.stmt) -> str | None:
    """The text of a statement that is nothing but a string, as below a field."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        value = node.value.value
        return inspect.cleandoc(value) if isinstance(value, str) else None
    return None


def entries(body: list[ast.stmt], prefix: str = "") -> Iterator[Entry]:
    """(Name, docstring) of everything in a module's or class's body that has one."""
    overloads: dict[str, list[str]] = {}
    for node, following in zip(body, [*body[1:], ast.Pass()], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            text = text_of(following)
            if text is not None:
                yield prefix + node.target.id, text
        elif isinstance(node, ast.ClassDef):
            text = ast.get_docstring(node)
            if text is not None:
                yield prefix + node.name, text
            yield from entries(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            text = ast.get_docstring(node)
            if text is not None:
                overloads.setdefault(prefix + node.name, []).append(text)
    for name, texts in overloads.items():
        yield name, "\n\n".join(texts)
        if len(texts) > 1:
            for number, text in enumerate(texts, 1):
                yield f"{name}:{number}", text


def header(stub: Path, namespace: str) -> str:
    """The text of the header for a stub."""
    rows = []
    for name, text in entries(ast.parse(stub.read_text(encoding="utf-8")).body):
        if ')doc"' in text:
            raise SystemExit(f'{stub}: {name}: a docstring cannot have )doc" in it')
        rows.append(f'    {{"{name}", R"doc({text})doc"}},')
    return "\n".join(
        [
            f"// Made from {stub.name} by stub_docs.py; change that one.",
            "#pragma once",
            "",
            '#include "doc_table.h"',
            "",
            f"namespace {namespace} {{",
            "",
            "inline constexpr qaickit::DocEntry kDocs[] = {",
            *rows,
            "};",
            "",
            "// What the stub says of a name; one that it has nothing of does not compile.",
            "consteval const char* doc(std::string_view name) {",
            "  return qaickit::find_doc(kDocs, name);",
            "}",
            "",
            f"}}  // namespace {namespace}",
            "",
        ]
    )


def main() -> int:
    """Writes the header. Exit status 2 for wrong arguments."""
    if len(sys.argv) != 4:
        print(__doc__, file=sys.stderr)
        return 2
    stub, target, namespace = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(header(stub, namespace), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
