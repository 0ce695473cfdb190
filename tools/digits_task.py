"""What the two training scripts share: the data, its split, the model's frame and its score.

Data: `sklearn.datasets.load_digits`, 1,797 images of 8x8 pixels in 0..16. It is the test part of
Alpaydin and Kaynak, Optical Recognition of Handwritten Digits (1998), UCI Machine Learning
Repository, https://doi.org/10.24432/C50P49, CC BY 4.0.

Split: 1,437 to train and 360 held out, stratified by class, seed 0, chosen once. Every choice made
by looking at a score was made with `--validate`, which never reads the held-out samples: it trains
on 1,197 of the training part and scores the other 240.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SEED = 0
HELD_OUT = 360
VALIDATION = 240
PIXEL_MAX = 16
CLASSES = 10
MODELS = Path(__file__).resolve().parents[1] / "python" / "qaickit" / "models"

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


class Samples(NamedTuple):
    """Images uint8 [n, 8, 8] in 0..16 with their labels, int64 [n]."""

    images: Images
    labels: Labels

    def at(self, rows: npt.NDArray[np.intp]) -> Samples:
        """Return the samples of these rows."""
        return Samples(self.images[rows], self.labels[rows])


def load_split() -> tuple[Samples, Samples]:
    """Return the 1,437 samples to train with and the 360 held out."""
    bunch = load_digits()
    samples = Samples(bunch.images.astype(np.uint8), bunch.target.astype(np.int64))
    return _split(samples, HELD_OUT)


def scaled(images: Images) -> npt.NDArray[np.float32]:
    """Return uint8 [n, 8, 8] in 0..16 as a model's input, float32 [n, 1, 8, 8] in 0..1."""
    result: npt.NDArray[np.float32] = images[:, None].astype(np.float32) / np.float32(PIXEL_MAX)
    return result


def to_model(
    name: str, script: str, nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto]
) -> onnx.ModelProto:
    """Return the checked model of a graph from `image` to `logits`; `script` is who made it."""
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])],
        weights,
    )
    # IR 8 is the one that came with opset 17; the newest would shut out older runtimes.
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
        producer_name=f"qaickit {script}",
    )
    helper.set_model_props(
        model,
        {
            "qaickit.random_weights": "false",
            "qaickit.source": "trained on UCI Optical Recognition of Handwritten Digits "
            "(Alpaydin and Kaynak, 1998, doi:10.24432/C50P49, CC BY 4.0)",
        },
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def score(what: str, model: onnx.ModelProto, samples: Samples) -> int:
    """Print and return how many of the samples the model classifies right under ONNX Runtime."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (logits,) = session.run(["logits"], {"image": scaled(samples.images)})
    right = int((logits.argmax(axis=1) == samples.labels).sum())
    report(what, right, len(samples.labels))
    return right


def report(what: str, right: int, total: int) -> None:
    """Print one accuracy as count and percentage."""
    print(f"{what} top-1: {right}/{total} = {right / total:.2%}")


def validate(samples: Samples, train: Callable[[Samples], onnx.ModelProto]) -> None:
    """Train on all but VALIDATION of the given samples and print the score on those."""
    part, rest = _split(samples, VALIDATION)
    score("validation", train(part), rest)


def write_model(path: Path, model: onnx.ModelProto, held_out: Samples) -> None:
    """Write the model and print its held-out score, read from the file that is committed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString(deterministic=True))
    print(f"wrote {path} ({path.stat().st_size:,} bytes)")
    score("held-out", onnx.load(path), held_out)


def _split(samples: Samples, test_size: int) -> tuple[Samples, Samples]:
    rows = np.arange(len(samples.labels))
    first, second = train_test_split(
        rows, test_size=test_size, stratify=samples.labels, random_state=SEED
    )
    return samples.at(first), samples.at(second)
