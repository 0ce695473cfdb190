"""Train the transformer encoder `digits-encoder`, and write its ONNX file.

    python tools/train_encoder.py             # train, write, report held-out accuracy
    python tools/train_encoder.py --validate  # score on a slice of the training part; write nothing

Needs numpy, scipy, scikit-learn, onnx and onnxruntime; scipy and scikit-learn are needed by this
script only. One minute on one core.

`tools/digits_task.py` has the data and its split; the 360 held out are those of
`python/qaickit/models/digits/heldout.npz`. The number of epochs is fixed, so the held-out score
selects nothing.

The net is a vision transformer in small (Dosovitskiy et al., "An Image is Worth 16x16 Words",
2021): the image in 16 patches of 2x2 pixels, a linear embedding with learned positions, two blocks
with layer norms before attention (4 heads) and before the feed-forward part (GELU, by erf), the
mean of all tokens, one linear layer. Gradients are written out by hand, beside what they are the
gradients of; AdamW (Loshchilov and Hutter, 2019), one-cycle rate, label smoothing, images shifted
by up to 0.75 pixels.

Written, into `python/qaickit/models/digits_encoder/` unless `--output` names another directory:
`encoder.onnx`, opset 17, input `image` float32 [batch, 1, 8, 8] scaled to 0..1, output `logits`
float32 [batch, 10]. The same numpy on the same machine writes the same bytes.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # sums in one order
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper
from scipy.special import erf

from digits_task import (
    CLASSES,
    MODELS,
    SEED,
    Samples,
    load_split,
    scaled,
    to_model,
    validate,
    write_model,
)

EPOCHS = 150
BATCH = 64
PEAK_LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.05
LABEL_SMOOTHING = 0.05
MAX_SHIFT_PX = 0.75

PATCH = 2
SIDE = 4  # patches in a row
WIDTH = 48
HEADS = 4
HIDDEN = 96
BLOCKS = 2
EPSILON = 1e-5

DEFAULT_OUTPUT = MODELS / "digits_encoder"

Array = npt.NDArray[np.float32]
Parameters = dict[str, Array]
Back = Callable[[Array], Array]


def initial_parameters(random: np.random.Generator) -> Parameters:
    """Return the parameters before training: matrices with std 1/sqrt(inputs), biases 0."""
    shapes: dict[str, tuple[int, ...]] = {"embed.weight": (PATCH * PATCH, WIDTH)}
    for block in range(BLOCKS):
        name = f"block{block}"
        shapes |= {f"{name}.{part}.weight": (WIDTH, WIDTH) for part in ("q", "k", "v", "out")}
        shapes |= {f"{name}.up.weight": (WIDTH, HIDDEN), f"{name}.down.weight": (HIDDEN, WIDTH)}
    shapes["head.weight"] = (WIDTH, CLASSES)
    parameters: Parameters = {}
    for name, shape in shapes.items():
        values = random.standard_normal(shape) / math.sqrt(shape[0])
        parameters[name] = values.astype(np.float32)
        parameters[name.replace("weight", "bias")] = np.zeros(shape[1], np.float32)
    parameters["positions"] = 0.1 * random.standard_normal((SIDE**2, WIDTH)).astype(np.float32)
    norms = [f"block{b}.norm{i}" for b in range(BLOCKS) for i in (1, 2)]
    for name in (*norms, "norm"):
        parameters[f"{name}.scale"] = np.ones(WIDTH, np.float32)
        parameters[f"{name}.shift"] = np.zeros(WIDTH, np.float32)
    return parameters


class Net:
    """Forward and backward passes. Each layer returns its result and how gradients go back."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.gradients: Parameters = {}

    def logits(self, images: Array) -> tuple[Array, Back]:
        """float32 [n, 1, 8, 8] to [n, 10]."""
        x, back_embed = self._linear(patches(images), "embed")
        x = x + self.parameters["positions"]
        backs = []
        for block in range(BLOCKS):
            x, back = self._block(x, f"block{block}")
            backs.append(back)
        x, back_norm = self._norm(x, "norm")
        tokens = x.shape[1]
        y, back_head = self._linear(x.mean(axis=1), "head")

        def back(gradient: Array) -> Array:
            g = back_head(gradient)[:, None, :] / np.float32(tokens)
            g = back_norm(np.broadcast_to(g, x.shape))
            for step in reversed(backs):
                g = step(g)
            self.gradients["positions"] = g.sum(axis=0)
            return back_embed(g)

        return y, back

    def _block(self, x: Array, name: str) -> tuple[Array, Back]:
        normed, back_norm1 = self._norm(x, f"{name}.norm1")
        attended, back_attention = self._attention(normed, name)
        middle = x + attended
        normed, back_norm2 = self._norm(middle, f"{name}.norm2")
        up, back_up = self._linear(normed, f"{name}.up")
        active, back_gelu = gelu(up)
        down, back_down = self._linear(active, f"{name}.down")

        def back(g: Array) -> Array:
            g = g + back_norm2(back_up(back_gelu(back_down(g))))
            return g + back_norm1(back_attention(g))

        return middle + down, back

    def _attention(self, x: Array, name: str) -> tuple[Array, Back]:
        (q, back_q), (k, back_k), (v, back_v) = (
            self._linear(x, f"{name}.{part}") for part in ("q", "k", "v")
        )
        q, k, v = split_heads(q), split_heads(k), split_heads(v)
        factor = np.float32(1 / math.sqrt(WIDTH // HEADS))
        scores = q @ k.swapaxes(-1, -2) * factor
        weights = softmax(scores)
        y, back_out = self._linear(join_heads(weights @ v), f"{name}.out")

        def back(g: Array) -> Array:
            g = split_heads(back_out(g))
            to_weights = g @ v.swapaxes(-1, -2)
            to_scores = weights * (to_weights - (to_weights * weights).sum(axis=-1, keepdims=True))
            to_q, to_k = to_scores @ k * factor, to_scores.swapaxes(-1, -2) @ q * factor
            to_v = weights.swapaxes(-1, -2) @ g
            return back_q(join_heads(to_q)) + back_k(join_heads(to_k)) + back_v(join_heads(to_v))

        return y, back

    def _linear(self, x: Array, name: str) -> tuple[Array, Back]:
        weight = self.parameters[f"{name}.weight"]

        def back(g: Array) -> Array:
            rows = g.reshape(-1, g.shape[-1])
            self.gradients[f"{name}.weight"] = x.reshape(-1, x.shape[-1]).T @ rows
            self.gradients[f"{name}.bias"] = rows.sum(axis=0)
            result: Array = g @ weight.T
            return result

        return x @ weight + self.parameters[f"{name}.bias"], back

    def _norm(self, x: Array, name: str) -> tuple[Array, Back]:
        scale = self.parameters[f"{name}.scale"]
        centred = x - x.mean(axis=-1, keepdims=True)
        inverse = 1 / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + np.float32(EPSILON))
        unit = centred * inverse

        def back(g: Array) -> Array:
            self.gradients[f"{name}.scale"] = (g * unit).sum(axis=(0, 1))
            self.gradients[f"{name}.shift"] = g.sum(axis=(0, 1))
            g = g * scale
            along = (g * unit).mean(axis=-1, keepdims=True)
            result: Array = inverse * (g - g.mean(axis=-1, keepdims=True) - unit * along)
            return result

        return unit * scale + self.parameters[f"{name}.shift"], back


def patches(images: Array) -> Array:
    """float32 [n, 1, 8, 8] to [n, 16, 4]."""
    grid = images.reshape(-1, SIDE, PATCH, SIDE, PATCH).transpose(0, 1, 3, 2, 4)
    return grid.reshape(-1, SIDE * SIDE, PATCH * PATCH)


def split_heads(x: Array) -> Array:
    """[n, tokens, width] to [n, heads, tokens, width / heads]."""
    return x.reshape(len(x), -1, HEADS, WIDTH // HEADS).transpose(0, 2, 1, 3)


def join_heads(x: Array) -> Array:
    """The inverse of `split_heads`."""
    return x.transpose(0, 2, 1, 3).reshape(len(x), -1, WIDTH)


def softmax(x: Array) -> Array:
    """Softmax along the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    result: Array = e / e.sum(axis=-1, keepdims=True)
    return result


def gelu(x: Array) -> tuple[Array, Back]:
    """x * Phi(x), with the normal distribution's Phi."""
    phi = (0.5 * (1 + erf(x / math.sqrt(2)))).astype(np.float32)

    def back(g: Array) -> Array:
        density = np.exp(-x * x / 2) / np.float32(math.sqrt(2 * math.pi))
        result: Array = g * (phi + x * density)
        return result

    return x * phi, back


def shifted(images: Array, random: np.random.Generator) -> Array:
    """Return the images, each shifted by a fraction of a pixel, with bilinear interpolation."""
    for axis in (2, 3):
        shift = random.uniform(-MAX_SHIFT_PX, MAX_SHIFT_PX, len(images)).astype(np.float32)
        part = np.abs(shift)[:, None, None, None]
        ones = [(0, 0), (0, 0), (1, 1), (0, 0)] if axis == 2 else [(0, 0)] * 3 + [(1, 1)]
        padded = np.pad(images, ones)
        before, after = (np.take(padded, np.arange(8) + i, axis=axis) for i in (0, 2))
        neighbour = np.where(shift[:, None, None, None] > 0, before, after)
        images = images * (1 - part) + neighbour * part
    return images


def train(samples: Samples) -> onnx.ModelProto:
    """Train for EPOCHS epochs; return the net as ONNX."""
    images, labels = scaled(samples.images), samples.labels
    random = np.random.default_rng(SEED)
    net = Net(initial_parameters(random))
    first = {name: np.zeros_like(p) for name, p in net.parameters.items()}
    second = {name: np.zeros_like(p) for name, p in net.parameters.items()}
    targets = np.full((len(labels), CLASSES), LABEL_SMOOTHING / CLASSES, np.float32)
    targets[np.arange(len(labels)), labels] += 1 - LABEL_SMOOTHING
    steps = EPOCHS * -(-len(labels) // BATCH)
    step = 0
    for epoch in range(EPOCHS):
        total = 0.0
        order = random.permutation(len(labels))
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            logits, back = net.logits(shifted(images[chosen], random))
            share = softmax(logits)
            total -= float((targets[chosen] * np.log(share)).sum())
            back((share - targets[chosen]) / np.float32(len(chosen)))
            step += 1
            adam_step(net, first, second, step, one_cycle(step / steps))
        if (epoch + 1) % 30 == 0:
            print(f"epoch {epoch + 1:3d}/{EPOCHS}  training loss {total / len(labels):.4f}")
    return to_onnx(net.parameters)


def one_cycle(done: float) -> float:
    """The learning rate when `done` of the steps, 0 to 1, are done: up for a tenth, then down."""
    if done < 0.1:
        return PEAK_LEARNING_RATE * done / 0.1
    return PEAK_LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * (done - 0.1) / 0.9))


def adam_step(net: Net, first: Parameters, second: Parameters, step: int, rate: float) -> None:
    """One step of AdamW; only matrices decay."""
    for name, gradient in net.gradients.items():
        first[name] += np.float32(0.1) * (gradient - first[name])
        second[name] += np.float32(0.001) * (gradient**2 - second[name])
        mean, variance = first[name] / (1 - 0.9**step), second[name] / (1 - 0.999**step)
        parameter = net.parameters[name]
        if name.endswith("weight"):
            parameter *= np.float32(1 - rate * WEIGHT_DECAY)
        parameter -= (rate * mean / (np.sqrt(variance) + 1e-8)).astype(np.float32)


class Exporter:
    """Collects nodes; each method returns the name of the tensor it adds."""

    def __init__(self, parameters: Parameters) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights = [numpy_helper.from_array(v, k) for k, v in sorted(parameters.items())]

    def node(self, op: str, output: str, *inputs: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], output, **attributes))
        return output

    def constant(self, name: str, values: npt.ArrayLike, dtype: npt.DTypeLike) -> str:
        self.weights.append(numpy_helper.from_array(np.array(values, dtype), name))
        return name

    def linear(self, x: str, name: str, output: str | None = None) -> str:
        product = self.node("MatMul", f"{name}.product", x, f"{name}.weight")
        return self.node("Add", output or name, product, f"{name}.bias")

    def norm(self, x: str, name: str) -> str:
        inputs = (x, f"{name}.scale", f"{name}.shift")
        return self.node("LayerNormalization", name, *inputs, axis=-1, epsilon=EPSILON)

    def gelu(self, x: str, name: str) -> str:
        scaled = self.node("Div", f"{name}.scaled", x, "sqrt2")
        shifted = self.node("Add", f"{name}.phi2", self.node("Erf", f"{name}.erf", scaled), "one")
        return self.node("Mul", name, self.node("Mul", f"{name}.doubled", x, shifted), "half")

    def heads(self, x: str, order: list[int]) -> str:
        return self.node(
            "Transpose", f"{x}.heads", self.node("Reshape", f"{x}.split", x, "split"), perm=order
        )

    def block(self, x: str, name: str) -> str:
        normed = self.norm(x, f"{name}.norm1")
        q, v = (self.heads(self.linear(normed, f"{name}.{p}"), [0, 2, 1, 3]) for p in "qv")
        k = self.heads(self.linear(normed, f"{name}.k"), [0, 2, 3, 1])
        scores = self.node("Mul", f"{name}.scaled", self.node("MatMul", f"{name}.scores", q, k),
                           "factor")  # fmt: skip
        weights = self.node("Softmax", f"{name}.weights", scores, axis=-1)
        mixed = self.node("MatMul", f"{name}.mixed", weights, v)
        mixed = self.node("Transpose", f"{name}.tokens", mixed, perm=[0, 2, 1, 3])
        joined = self.node("Reshape", f"{name}.joined", mixed, "joined")
        middle = self.node("Add", f"{name}.middle", x, self.linear(joined, f"{name}.out"))
        up = self.linear(self.norm(middle, f"{name}.norm2"), f"{name}.up")
        down = self.linear(self.gelu(up, f"{name}.gelu"), f"{name}.down")
        return self.node("Add", f"{name}.result", middle, down)


def to_onnx(parameters: Parameters) -> onnx.ModelProto:
    """Return the net as ONNX, with the operators that exporters of frameworks write."""
    e = Exporter(parameters)
    e.constant("grid", [0, SIDE, PATCH, SIDE, PATCH], np.int64)
    e.constant("tokens", [0, SIDE * SIDE, PATCH * PATCH], np.int64)
    e.constant("split", [0, 0, HEADS, WIDTH // HEADS], np.int64)
    e.constant("joined", [0, 0, WIDTH], np.int64)
    e.constant("factor", 1 / math.sqrt(WIDTH // HEADS), np.float32)
    e.constant("sqrt2", math.sqrt(2), np.float32)
    e.constant("one", 1, np.float32)
    e.constant("half", 0.5, np.float32)
    grid = e.node("Transpose", "patch.order", e.node("Reshape", "patch.grid", "image", "grid"),
                  perm=[0, 1, 3, 2, 4])  # fmt: skip
    x = e.linear(e.node("Reshape", "patches", grid, "tokens"), "embed")
    x = e.node("Add", "embedded", x, "positions")
    for block in range(BLOCKS):
        x = e.block(x, f"block{block}")
    x = e.node("ReduceMean", "pooled", e.norm(x, "norm"), axes=[1], keepdims=0)
    e.linear(x, "head", "logits")
    return to_model("digits-encoder", "tools/train_encoder.py", e.nodes, e.weights)


def main() -> int:
    """Run the command line; return the process exit status."""
    parser = argparse.ArgumentParser(description="Train the encoder and write its ONNX file.")
    parser.add_argument("--validate", action="store_true",
                        help="score on 240 of the training part; write nothing")  # fmt: skip
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, metavar="DIR",
                        help="directory to write to (default: the package's own)")  # fmt: skip
    args = parser.parse_args()

    samples, held_out = load_split()
    if args.validate:
        validate(samples, train)
        return 0
    write_model(args.output / "encoder.onnx", train(samples), held_out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
