"""Train the default model, `digits`, and write its ONNX file and held-out samples.

    python tools/train_digits.py             # train, write, report held-out accuracy
    python tools/train_digits.py --validate  # score on a slice of the training part; write nothing
    python tools/train_digits.py --folds 5   # cross-validate the recipe; write nothing

Needs torch, scikit-learn, numpy, onnx and onnxruntime. torch and scikit-learn are needed by this
script only (development, never at run time); the files committed were made with torch 2.13.0 (CPU
build) and scikit-learn 1.9.1.

`tools/digits_task.py` has the data and its split. The number of epochs is fixed, so the held-out
score selects nothing. `--folds` trains the finished recipe anew on each fold of all 1,797 samples:
a figure that leans less on one split of 360.

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
import onnx
import torch
from onnx import helper, numpy_helper
from sklearn.model_selection import StratifiedKFold
from torch import nn
from torch.nn import functional

from digits_task import (
    MODELS,
    SEED,
    Samples,
    load_split,
    report,
    scaled,
    score,
    to_model,
    validate,
    write_model,
)

EPOCHS = 120
BATCH = 64
PEAK_LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-2
LABEL_SMOOTHING = 0.05
MAX_ROTATION_RAD = 0.2
MAX_SHEAR = 0.1
MAX_SCALE = 0.1
MAX_SHIFT_PX = 0.75

DEFAULT_OUTPUT = MODELS / "digits"


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


def train(samples: Samples) -> onnx.ModelProto:
    """Train for EPOCHS epochs; return the net as ONNX."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    generator = torch.Generator().manual_seed(SEED)
    inputs, targets = torch.from_numpy(scaled(samples.images)), torch.from_numpy(samples.labels)
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
    return to_onnx(net.eval())


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
    return to_model("digits", "tools/train_digits.py", nodes, weights)


def cross_validate(samples: Samples, folds: int) -> None:
    """Train once per fold (stratified, SEED) without it and report the scores on the folds."""
    right = 0
    splits = StratifiedKFold(folds, shuffle=True, random_state=SEED).split(*samples)
    for number, (part, rest) in enumerate(splits, start=1):
        right += score(f"fold {number}/{folds}", train(samples.at(part)), samples.at(rest))
    report(f"{folds}-fold", right, len(samples.labels))


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

    samples, held_out = load_split()
    if args.validate:
        validate(samples, train)
        return 0
    if args.folds is not None:
        if args.folds < 2:
            parser.error(f"argument --folds: expected 2 or more, got {args.folds}")
        both = (np.concatenate(parts) for parts in zip(samples, held_out, strict=True))
        cross_validate(Samples(*both), args.folds)
        return 0

    model = train(samples)
    write_model(args.output / "digits.onnx", model, held_out)
    heldout_path = args.output / "heldout.npz"
    np.savez_compressed(heldout_path, images=held_out.images, labels=held_out.labels)
    print(f"wrote {heldout_path} ({heldout_path.stat().st_size:,} bytes)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
