"""A ResNet-50-shaped ONNX model with random weights, for measuring speed where no weights are.

The shape is ResNet-50 v1.5: He et al., "Deep Residual Learning for Image Recognition"
(https://arxiv.org/abs/1512.03385, table 1), with the stride of a downsampling block in its 3x3
convolution, as in MLPerf's ResNet-50. Batch norms are folded into the convolutions, as an
inference compiler would, which leaves 25,530,472 parameters. The weights are noise: what the model
answers means nothing, and any figure made with it is a figure of speed. The file says so itself,
in the metadata property `qaickit.random_weights`.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from qaickit.models._shaped import Builder, check_limits, write_model

_BLOCKS_PER_STAGE = (3, 4, 6, 3)
_EXPANSION = 4
_BIAS_STD = 0.01


class _ResNet(Builder):
    """Adds the parts of a residual net."""

    def conv(
        self,
        source: str,
        name: str,
        channels: tuple[int, int],
        kernel: int,
        *,
        stride: int = 1,
        gain: float = math.sqrt(2.0),
    ) -> str:
        """Add a convolution of `channels` (in, out) with bias; weights have std gain/sqrt(fan)."""
        fan_in = channels[0] * kernel * kernel
        shape = (channels[1], channels[0], kernel, kernel)
        weight = self.random(f"{name}.weight", shape, gain / math.sqrt(fan_in))
        # Not zero: a compiler may drop an addition of nothing, which a folded batch norm is not.
        bias = self.random(f"{name}.bias", (channels[1],), _BIAS_STD)
        return self.node(
            "Conv",
            [source, weight, bias],
            name,
            kernel_shape=[kernel, kernel],
            pads=[kernel // 2] * 4,
            strides=[stride, stride],
        )

    def relu(self, source: str) -> str:
        return self.node("Relu", [source], f"{source}.relu")

    def bottleneck(self, source: str, name: str, channels: tuple[int, int], stride: int) -> str:
        """Add a block of `channels` (in, middle); it gives middle * 4 channels."""
        inner, outer = channels[1], channels[1] * _EXPANSION
        # He's init keeps a plain chain's scale, yet every block also adds to the trunk. Each adds
        # 1/blocks of its variance, so the trunk grows e-fold, not 2^16-fold, and fits in fp16.
        last_gain = 1.0 / math.sqrt(sum(_BLOCKS_PER_STAGE))
        x = self.relu(self.conv(source, f"{name}.conv1", (channels[0], inner), 1))
        x = self.relu(self.conv(x, f"{name}.conv2", (inner, inner), 3, stride=stride))
        x = self.conv(x, f"{name}.conv3", (inner, outer), 1, gain=last_gain)
        shortcut = source
        if stride != 1 or channels[0] != outer:
            widths = (channels[0], outer)
            shortcut = self.conv(source, f"{name}.project", widths, 1, stride=stride, gain=1.0)
        return self.relu(self.node("Add", [x, shortcut], f"{name}.add"))

    def linear(self, source: str, name: str, features: tuple[int, int], output: str) -> str:
        shape = (features[1], features[0])
        weight = self.random(f"{name}.weight", shape, 1.0 / math.sqrt(features[0]))
        bias = self.random(f"{name}.bias", (features[1],), _BIAS_STD)
        return self.node("Gemm", [source, weight, bias], output, transB=1)


def make_resnet50(
    *,
    seed: int = 0,
    batch: int | None = None,
    width: int = 64,
    image: int = 224,
    classes: int = 1000,
) -> onnx.ModelProto:
    """Make a ResNet-50-shaped model with random weights, in memory.

    Input `image` is float32 [batch, 3, image, image], made for values of about unit variance;
    output `logits` is float32 [batch, classes]. Opset 17, IR version 8. The same arguments give
    the same bytes under the same numpy and onnx. A change to what they give must raise
    `_RESNET50_VERSION` in `qaickit.models`, which keeps cached files apart.

    Args:
        seed: seed of the weights, 0 or more.
        batch: fixed first dimension, or None for the symbolic dimension `batch`.
        width: channels of the first stage; 64 is ResNet-50, less gives a small net for tests.
        image: height and width of the input.
        classes: number of logits.

    Raises:
        InvalidArgumentError: an argument is out of range. A ValueError.
    """
    limits = {"seed": (seed, 0), "width": (width, 1), "image": (image, 1), "classes": (classes, 1)}
    check_limits(limits if batch is None else {**limits, "batch": (batch, 1)})

    b = _ResNet(seed)
    x = b.relu(b.conv("image", "stem.conv", (3, width), 7, stride=2))
    x = b.node("MaxPool", [x], "stem.pool", kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2])
    channels = width
    for stage, blocks in enumerate(_BLOCKS_PER_STAGE):
        middle = width << stage
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            x = b.bottleneck(x, f"stage{stage + 1}.block{block + 1}", (channels, middle), stride)
            channels = middle * _EXPANSION
    x = b.node("GlobalAveragePool", [x], "head.pool")
    x = b.node("Flatten", [x], "head.flatten", axis=1)
    b.linear(x, "head.linear", (channels, classes), "logits")

    first: str | int = "batch" if batch is None else batch
    return b.finish(
        "resnet50-shaped",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [first, 3, image, image])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [first, classes])],
        "ResNet-50 v1.5 shape with random weights: measures speed only.",
    )


def build_resnet50(
    path: str | os.PathLike[str],
    *,
    seed: int = 0,
    batch: int | None = None,
    width: int = 64,
    image: int = 224,
    classes: int = 1000,
) -> Path:
    """Write `make_resnet50(...)` to `path` and return the path; 102 MB at the default width.

    The file appears whole or not at all, so two processes may build the same one. Its directory
    must exist. The arguments are those of `make_resnet50`.

    Raises:
        InvalidArgumentError: an argument is out of range. A ValueError.
        QaicKitError: the file cannot be written.
    """
    model = make_resnet50(seed=seed, batch=batch, width=width, image=image, classes=classes)
    return write_model(model, path)
