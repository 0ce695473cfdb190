"""Train the default model, `digits`, and write its ONNX file and held-out samples.

    python tools/train_digits.py             # train, write, report held-out accuracy
    python tools/train_digits.py --validate  # score on a slice of the training part; write nothing
    python tools/train_digits.py --folds 5   # cross-validate the recipe; write nothing

Needs torch, scikit-learn, numpy, onnx and onnxruntime. torch and scikit-learn are needed by this
script only (development, never at run time); the files committed were made with torch 2.13.0 (CPU
build) and scikit-learn 1.9.1.

Data: `sklearn.datasets.load_digits`, 1,797 images of 8x8 pixels in 0..16. It is the test part of
Alpaydin and Kaynak, Optical Recognition of Handwritten Digits (1998), UCI Machine Learning
Repository, https://doi.org/10.24432/C50P49, CC BY 4.0.

Split: 1,437 to train and 360 held out, stratified by class, seed 0, chosen once. Every choice made
by looking at a score (size of the net, epochs, augmentation) was made with `--validate`, which
never reads the held-out samples: it trains on 1,197 of the training part and scores the other 240.
The number of epochs is fixed, so the held-out score selects nothing. `--folds` trains the finished
recipe anew on each fold of all 1,797 samples: a figure that leans less on one split of 360.

Written, into `python/qaickit/models/digits/` unless `--output` names another directory:

- `digits.onnx`: opset 17, input `image` float32 [batch, 1, 8, 8] scaled to 0..1, output `logits`
  float32 [batch, 10].
- `heldout.npz`: `images` uint8 [360, 8, 8] in 0..16, `labels` int64 [360].

With one thread and a fixed seed two runs on one machine write the same bytes. Another CPU or torch
may round differently, and then the weights differ.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import (
    StratifiedKFold,
    train_test_split,
)
from torch import nn
from torch.nn import functional

SEED = 0
HELD_OUT = 360
VALIDATION = 240
EPOCHS = 120
BATCH = 64
PEAK_LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-2
LABEL_SMOOTHING = 0.05
MAX_ROTATION_RAD = 0.2
MAX_SHEAR = 0.1
MAX_SCALE = 0.1
MAX_SHIFT_PX = 0.75
PIXEL_MAX = 16

DEFAULT_OUTPUT = Path(__file__).resolve().parents[1] / "python" / "qaickit" / "models" / "digits"

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def load_split() -> tuple[Images, Labels, Images, Labels]:
    """Return (train images, train labels, held-out images, held-out labels).

    Images are uint8 [n, 8, 8] in 0..16, labels int64 [n]; n is 1,437 and 360.
    """
    bunch = load_digits()
    images = bunch.images.astype(np.uint8)
    labels = bunch.target.astype(np.int64)
    train, held_out = train_test_split(
        np.arange(len(labels)), test_size=HELD_OUT, stratify=labels, random_state=SEED
    )
    return images[train], labels[train], images[held_out], labels[held_out]


def scaled(images: Images) -> npt.NDArray[np.float32]:
    """Return uint8 [n, 8, 8] in 0..16 as the model's input, float32 [n, 1, 8, 8] in 0..1."""
    return images[:, None].astype(np.float32) / np.float32(PIXEL_MAX)


def build_net() -> nn.Sequential:
    """Return the net: four 3x3 convolutions with batch norm, one pooling step, one linear layer."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(64 * 4 * 4, 10),
    )  # fmt: skip


def augment(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return float32 [n, 1, 8, 8], each image turned, sheared, scaled and shifted a little."""
    n, _, height, _ = batch.shape

    def uniform(limit: float) -> torch.Tensor:
        return (torch.rand(n, generator=generator) * 2 - 1) * limit

    angle, shear, scale = uniform(MAX_ROTATION_RAD), uniform(MAX_SHEAR), 1 + uniform(MAX_SCALE)
    # affine_grid counts in half image sides.
    shift_x, shift_y = (uniform(MAX_SHIFT_PX * 2 / height) for _ in range(2))
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    theta = torch.stack(
        [
            torch.stack([cos, shear - sin, shift_x], dim=1),
            torch.stack([sin, cos, shift_y], dim=1),
        ],
        dim=1,
    )
    grid = functional.affine_grid(theta, list(batch.shape), align_corners=False)
    return functional.grid_sample(batch, grid, padding_mode="zeros", align_corners=False)


def train(images: Images, labels: Labels) -> nn.Sequential:
    """Train for EPOCHS epochs on uint8 [n, 8, 8] and int64 [n]; return the net in eval mode."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    generator = torch.Generator().manual_seed(SEED)
    inputs, targets = torch.from_numpy(scaled(images)), torch.from_numpy(labels)
    net = build_net()
    optimizer = torch.optim.AdamW(
        net.parameters(), lr=PEAK_LEARNING_RATE, weight_decay=WEIGHT_DECAY
    )
    steps_per_epoch = -(-len(targets) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PEAK_LEARNING_RATE, epochs=EPOCHS, steps_per_epoch=steps_per_epoch
    )
    net.train()
    for epoch in range(EPOCHS):
        total = 0.0
        order = torch.randperm(len(targets), generator=generator)
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            logits = net(augment(inputs[chosen], generator))
            loss = functional.cross_entropy(
                logits, targets[chosen], label_smoothing=LABEL_SMOOTHING
            )
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * len(chosen)
        if (epoch + 1) % 20 == 0:
            print(f"epoch {epoch + 1:3d}/{EPOCHS}  training loss {total / len(targets):.4f}")
    return net.eval()


def to_onnx(net: nn.Sequential) -> onnx.ModelProto:
    """Return `net` (in eval mode) as ONNX, batch norms folded into the convolutions before them."""
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []
    current = "image"

    def initializer(name: str, values: torch.Tensor) -> str:
        weights.append(numpy_helper.from_array(values.detach().float().numpy(), name))
        return name

    def add(op: str, name: str, *inputs: str, output: str | None = None, **attrs: Any) -> None:
        nonlocal current
        nodes.append(helper.make_node(op, [current, *inputs], [output or name], name, **attrs))
        current = output or name

    layers = list(net)
    for i, layer in enumerate(layers):
        if isinstance(layer, nn.Conv2d):
            norm = layers[i + 1]
            assert isinstance(norm, nn.BatchNorm2d)
            assert norm.running_mean is not None
            assert norm.running_var is not None
            factor = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
            weight = layer.weight.double() * factor[:, None, None, None]
            bias = norm.bias.double() - norm.running_mean.double() * factor
            add(
                "Conv",
                f"conv{i}",
                initializer(f"conv{i}.weight", weight),
                initializer(f"conv{i}.bias", bias),
                kernel_shape=[3, 3],
                pads=[1, 1, 1, 1],
            )
        elif isinstance(layer, nn.ReLU):
            add("Relu", f"relu{i}")
        elif isinstance(layer, nn.MaxPool2d):
            add("MaxPool", f"pool{i}", kernel_shape=[2, 2], strides=[2, 2])
        elif isinstance(layer, nn.Flatten):
            add("Flatten", f"flatten{i}", axis=1)
        elif isinstance(layer, nn.Linear):
            add(
                "Gemm",
                f"linear{i}",
                initializer(f"linear{i}.weight", layer.weight),
                initializer(f"linear{i}.bias", layer.bias),
                output="logits",
                transB=1,
            )
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
        weights,
    )
    # IR 8 is the one that came with opset 17; the newest would shut out older runtimes.
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
        producer_name="qaickit tools/train_digits.py",
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


def score(model: onnx.ModelProto, images: Images, labels: Labels) -> int:
    """Return how many of uint8 [n, 8, 8] the ONNX model classifies right under ONNX Runtime."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (logits,) = session.run(["logits"], {"image": scaled(images)})
    return int((logits.argmax(axis=1) == labels).sum())


def report(what: str, right: int, total: int) -> None:
    """Print one accuracy as count and percentage."""
    print(f"{what} top-1: {right}/{total} = {right / total:.2%}")


def validate(images: Images, labels: Labels) -> None:
    """Train on all but VALIDATION of the given samples and report the score on those."""
    part, rest = train_test_split(
        np.arange(len(labels)), test_size=VALIDATION, stratify=labels, random_state=SEED
    )
    model = to_onnx(train(images[part], labels[part]))
    report("validation", score(model, images[rest], labels[rest]), len(rest))


def cross_validate(images: Images, labels: Labels, folds: int) -> None:
    """Train once per fold (stratified, SEED) without it and report the scores on the folds."""
    total = 0
    splits = StratifiedKFold(folds, shuffle=True, random_state=SEED).split(images, labels)
    for number, (part, rest) in enumerate(splits, start=1):
        model = to_onnx(train(images[part], labels[part]))
        right = score(model, images[rest], labels[rest])
        report(f"fold {number}/{folds}", right, len(rest))
        total += right
    report(f"{folds}-fold", total, len(labels))


def main() -> int:
    """Run the command line; return the process exit status."""
    parser = argparse.ArgumentParser(description="Train the digits model and write its files.")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--validate", action="store_true",
                      help="score on 240 of the training part; write nothing")  # fmt: skip
    mode.add_argument("--folds", type=int, metavar="K",
                      help="cross-validate over all samples in K folds; write nothing")  # fmt: skip
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, metavar="DIR",
                        help="directory to write to (default: the package's own)")  # fmt: skip
    args = parser.parse_args()

    images, labels, held_images, held_labels = load_split()
    if args.validate:
        validate(images, labels)
        return 0
    if args.folds is not None:
        if args.folds < 2:
            parser.error(f"argument --folds: expected 2 or more, got {args.folds}")
        both = np.concatenate([images, held_images]), np.concatenate([labels, held_labels])
        cross_validate(*both, args.folds)
        return 0

    model = to_onnx(train(images, labels))
    args.output.mkdir(parents=True, exist_ok=True)
    onnx_path, heldout_path = args.output / "digits.onnx", args.output / "heldout.npz"
    onnx_path.write_bytes(model.SerializeToString(deterministic=True))
    np.savez_compressed(heldout_path, images=held_images, labels=held_labels)
    for path in (onnx_path, heldout_path):
        print(f"wrote {path} ({path.stat().st_size:,} bytes)")
    # Scored from the file, so that the figure is that of what is committed.
    right = score(onnx.load(onnx_path), held_images, held_labels)
    report("held-out", right, len(held_labels))
    return 0


if __name__ == "__main__":
    sys.exit(main())
