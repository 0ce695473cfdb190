"""One run of what was compiled, as the vendor's tool does without -compile-only."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from qaickit._files import make_directory, write_file
from qaickit.compiler import CompileSettings
from qaickit.compiler.calibration.data import ModelInput, feeds
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
    shapes = session.model_input_shape_dict
    if settings.data is None:
        return random_inputs(shapes)
    inputs = [ModelInput(name, dtype, shape) for name, (shape, dtype) in shapes.items()]
    return next(iter(feeds(settings.data, inputs)))[1]
