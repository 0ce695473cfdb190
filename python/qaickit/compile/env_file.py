"""The variables that the automation scripts around the vendor's compiler hand on.

Names: README of the script compile-model-for.qaic in mlcommons/ck, "New environment keys".
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from qaickit._files import write_file


def write_env_file(path: str, qpc_path: str, command: Sequence[str], quantised: bool) -> None:
    """Writes `NAME=value` lines, quoted for a shell, sorted by name.

    Errors: see `write_file`.
    """
    variables = {
        "CM_ML_MODEL_FILE_WITH_PATH": qpc_path,
        "CM_QAIC_MODEL_COMPILED_BINARY_WITH_PATH": qpc_path,
        "CM_QAIC_MODEL_FINAL_COMPILATION_CMD": shlex.join(command),
        "CM_QAIC_MODEL_QUANTIZATION": "yes" if quantised else "no",
    }
    lines = [f"{name}={shlex.quote(value)}\n" for name, value in sorted(variables.items())]
    write_file(path, "".join(lines).encode(), "the env file")
