"""One run of what was compiled, as the vendor's tool does without -compile-only."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from qaickit._core import read_qpc
from qaickit._files import make_directory, write_file
from qaickit.compiler import CompileSettings
from qaickit.compiler.calibration.data import sets_of
from qaickit.compiler.calibration.feeds import feeds
from qaickit.session import Session, random_inputs


def run_once(
    qpc_path: str, device_id: str, output_dir: str | None, settings: CompileSettings
) -> None:
    """Runs the first sample of the calibration data, or random values; may write the outputs.

    Each output goes to `<name>-activation-0-inf-0.bin` in `output_dir`, raw. Errors: those of a
    session, and of the files.
    """
    with Session(qpc_path, dev_id=device_id) as session:
        outputs = session.run(_inputs(session, settings))
    if output_dir is None:
        return
    make_directory(output_dir, "the directory of the outputs")
    for name, values in outputs.items():
        file_name = f"{name.replace('/', '_')}-activation-0-inf-0.bin"
        path = os.path.join(output_dir, file_name)
        write_file(path, np.ascontiguousarray(values).tobytes(), "an output")
        print(f"Writing file:{path}")


def _inputs(session: Session, settings: CompileSettings) -> dict[str, Any]:
    sets = sets_of(read_qpc(session.qpc_path)["program"])
    if settings.data is not None:
        return next(iter(feeds(settings.data, sets)))[1]
    largest = max(sets, key=lambda inputs: sum(math.prod(i.dims) for i in inputs))
    return random_inputs({i.name: (i.dims, i.dtype) for i in largest})
