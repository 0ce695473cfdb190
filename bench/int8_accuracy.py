"""Held-out accuracy of the trained models in int8, by each calibration method, against fp32.

    python bench/int8_accuracy.py

Calibrated with the training part of the digits, scored on the 360 held-out samples, which neither
training nor calibrating has seen. Bounds: top-1 within 0.5 points of fp32 for the convolutional net
and within 1 point for the transformer encoder. Needs scikit-learn, whose copy of the data has the
training part.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits

import qaic
from qaickit.datasets import Dataset, load_dataset
from qaickit.models import find_model

METHODS = ("None", "KLMinimization", "KLMinimizationV2", "Percentile", "MSE", "SQNR")
SCHEMATA = ("asymmetric", "symmetric", "symmetric_with_uint8", "symmetric_with_power2_scale")
# Model -> points of top-1 that int8 may lose.
BOUNDS = {"digits": 0.5, "digits-encoder": 1.0}
PERCENTILE = 99.99

Array = npt.NDArray[Any]


def training_part(held_out: Dataset) -> Array:
    """The images of scikit-learn's copy that are not held out, float32 [n, 1, 8, 8] in 0..1."""
    images = (load_digits().images / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    held = {image.tobytes() for image in held_out.inputs["image"]}
    return np.stack([image for image in images if image.tobytes() not in held])


def logits_of(model: str, held_out: Dataset, **options: Any) -> Array:
    """Logits of all held-out samples, on the CPU."""
    with (
        tempfile.TemporaryDirectory() as directory,
        qaic.Session(
            Path(find_model(model).ensure()),
            backend="cpu",
            output_dir=directory,
            onnx_define_symbol={"batch": len(held_out)},
            **options,
        ) as session,
    ):
        return session.run(held_out.inputs)["logits"]


def quantised_logits(
    model: str, held_out: Dataset, images: Array, method: str, schema: str
) -> Array:
    """The same in int8."""
    return logits_of(
        model,
        held_out,
        convert_to_quantize=True,
        calibration_data={"image": images},
        quantization_calibration=method,
        percentile_calibration_value=PERCENTILE if method == "Percentile" else 100.0,
        quantization_schema_activations=schema,
        quantization_schema_constants=schema.removesuffix("_with_power2_scale"),
        enable_channelwise=True,
        enable_rowwise=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--schemata", nargs="+", choices=SCHEMATA, default=list(SCHEMATA))
    args = parser.parse_args()
    held_out = load_dataset("digits", [("image", "float32", (1, 8, 8))])
    images = training_part(held_out)
    table = Table(title=f"held-out top-1 in int8, calibrated with {len(images)} training samples")
    for column in (
        "model",
        "schema",
        "method",
        "top-1",
        "fp32",
        "points",
        "SQNR of logits",
        "holds",
    ):
        table.add_column(column)
    failed = 0
    for model, bound in BOUNDS.items():
        real = logits_of(model, held_out)
        before = 100 * (real.argmax(axis=1) == held_out.labels).mean()
        for schema in args.schemata:
            for method in METHODS:
                found = quantised_logits(model, held_out, images, method, schema)
                after = 100 * (found.argmax(axis=1) == held_out.labels).mean()
                noise = 10 * np.log10((real**2).sum() / ((found - real) ** 2).sum())
                holds = after >= before - bound
                failed += not holds
                table.add_row(
                    model, schema, method, f"{after:.2f}%", f"{before:.2f}%",
                    f"{after - before:+.2f}", f"{noise:.1f} dB", "yes" if holds else "NO",
                )  # fmt: skip
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
