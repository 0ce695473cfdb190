"""A BERT-large-shaped ONNX model with random weights, for measuring speed where no weights are.

The shape is that of MLPerf's BERT: Devlin et al., "BERT: Pre-training of Deep Bidirectional
Transformers" (https://arxiv.org/abs/1810.04805, section 3), with a layer for the two ends of an
answer on top: 334,094,338 parameters without the pooler, which this task does not use. The weights
are noise of the standard deviation that BERT starts its training with: what the model answers means
nothing, and any figure made with it is a figure of speed. The file says so itself, in the metadata
property `qaickit.random_weights`.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from qaickit.errors import InvalidArgumentError
from qaickit.models._shaped import Builder, check_limits, write_model

_STD = 0.02  # the paper's public code, initializer_range
_EPSILON = 1e-12  # the same, layer_norm_eps
_MASKED = -10000.0  # what a masked position's score is lowered by; fp16 holds it
_SEGMENTS = 2


class _Bert(Builder):
    """Adds the parts of a transformer encoder, by the paper's names."""

    def __init__(self, seed: int, hidden: int, heads: int, sequence: int) -> None:
        super().__init__(seed)
        self._hidden = hidden
        depth = hidden // heads
        self.constant("to_heads", np.asarray([0, sequence, heads, depth], np.int64))
        self.constant("from_heads", np.asarray([0, sequence, hidden], np.int64))
        self.constant("root", np.float32(math.sqrt(depth)))
        self.constant("two", np.float32(math.sqrt(2.0)))
        self.constant("one", np.float32(1.0))
        self.constant("half", np.float32(0.5))

    def linear(self, source: str, name: str, features: tuple[int, int]) -> str:
        weight = self.random(f"{name}.weight", features, _STD)
        # Not zero: a compiler may drop an addition of nothing, which a trained bias is not.
        bias = self.random(f"{name}.bias", (features[1],), _STD)
        product = self.node("MatMul", [source, weight], f"{name}.product")
        return self.node("Add", [product, bias], name)

    def norm(self, source: str, name: str) -> str:
        scale = self.constant(f"{name}.scale", np.ones(self._hidden, np.float32))
        shift = self.random(f"{name}.shift", (self._hidden,), _STD)
        return self.node("LayerNormalization", [source, scale, shift], name, epsilon=_EPSILON)

    def gelu(self, source: str, name: str) -> str:
        error = self.node("Erf", [self.node("Div", [source, "two"], f"{name}.d")], f"{name}.e")
        factor = self.node("Add", [error, "one"], f"{name}.f")
        whole = self.node("Mul", [source, factor], f"{name}.w")
        return self.node("Mul", [whole, "half"], name)

    def heads(self, source: str, name: str, perm: tuple[int, ...]) -> str:
        """[batch, sequence, hidden] in heads, `perm` of [batch, sequence, head, depth]."""
        square = (self._hidden, self._hidden)
        x = self.linear(source, name, square)
        x = self.node("Reshape", [x, "to_heads"], f"{name}.split")
        return self.node("Transpose", [x], f"{name}.heads", perm=perm)

    def attention(self, source: str, name: str, mask: str) -> str:
        query = self.heads(source, f"{name}.query", (0, 2, 1, 3))
        key = self.heads(source, f"{name}.key", (0, 2, 3, 1))
        value = self.heads(source, f"{name}.value", (0, 2, 1, 3))
        scores = self.node("MatMul", [query, key], f"{name}.scores")
        scores = self.node("Div", [scores, "root"], f"{name}.scaled")
        scores = self.node("Add", [scores, mask], f"{name}.masked")
        shares = self.node("Softmax", [scores], f"{name}.shares", axis=-1)
        x = self.node("MatMul", [shares, value], f"{name}.context")
        x = self.node("Transpose", [x], f"{name}.tokens", perm=(0, 2, 1, 3))
        x = self.node("Reshape", [x, "from_heads"], f"{name}.joined")
        return self.linear(x, f"{name}.output", (self._hidden, self._hidden))

    def layer(self, source: str, name: str, mask: str, inner: int) -> str:
        x = self.attention(source, f"{name}.attention", mask)
        x = self.node("Add", [x, source], f"{name}.attended")
        x = between = self.norm(x, f"{name}.norm1")
        x = self.gelu(self.linear(x, f"{name}.up", (self._hidden, inner)), f"{name}.gelu")
        x = self.linear(x, f"{name}.down", (inner, self._hidden))
        return self.norm(self.node("Add", [x, between], f"{name}.fed"), f"{name}.norm2")

    def embedding(self, ids: str, name: str, rows: int) -> str:
        table = self.random(f"{name}.table", (rows, self._hidden), _STD)
        return self.node("Gather", [table, ids], name, axis=0)


def make_bert(
    *,
    seed: int = 0,
    batch: int | None = None,
    sequence: int = 384,
    layers: int = 24,
    hidden: int = 1024,
    heads: int = 16,
    inner: int = 4096,
    vocabulary: int = 30522,
    positions: int = 512,
) -> onnx.ModelProto:
    """Make a BERT-large-shaped model with random weights, in memory.

    Inputs `input_ids` (below `vocabulary`), `attention_mask` (0 or 1) and `token_type_ids` (0 or
    1), int64 [batch, sequence]; outputs `start_logits` and `end_logits`, float32 [batch, sequence].
    Opset 17, IR version 8. The same arguments give the same bytes under the same numpy and onnx. A
    change to what they give must raise `_BERT_VERSION` in `qaickit.models`, which keeps cached
    files apart.

    Args:
        seed: seed of the weights, 0 or more.
        batch: fixed first dimension, or None for the symbolic dimension `batch`.
        sequence: tokens of a sample, at most `positions`.
        layers: transformer layers.
        hidden: width of a token, a multiple of `heads`.
        heads: heads of an attention.
        inner: width inside of a feed-forward part.
        vocabulary: rows of the table of words.
        positions: rows of the table of positions.

    Raises:
        InvalidArgumentError: an argument is out of range. A ValueError.
    """
    limits = {
        "seed": (seed, 0), "sequence": (sequence, 1), "layers": (layers, 1), "heads": (heads, 1),
        "hidden": (hidden, heads), "inner": (inner, 1), "vocabulary": (vocabulary, 1),
        "positions": (positions, sequence),
    }  # fmt: skip
    check_limits(limits if batch is None else {**limits, "batch": (batch, 1)})
    if hidden % heads:
        raise InvalidArgumentError(f"hidden: expected a multiple of {heads} heads, got {hidden}")

    b = _Bert(seed, hidden, heads, sequence)
    words = b.embedding("input_ids", "embedding.word", vocabulary)
    kinds = b.embedding("token_type_ids", "embedding.segment", _SEGMENTS)
    places = b.random("embedding.position", (positions, hidden), _STD)
    b.constant("places.from", np.asarray([0], np.int64))
    b.constant("places.to", np.asarray([sequence], np.int64))
    places = b.node("Slice", [places, "places.from", "places.to"], "embedding.places")
    x = b.node("Add", [words, kinds], "embedding.sum")
    x = b.norm(b.node("Add", [x, places], "embedding.placed"), "embedding.norm")

    # 0 where a token counts, very low where it does not, for [batch, head, query, key].
    b.constant("mask.axes", np.asarray([1, 2], np.int64))
    b.constant("mask.low", np.float32(_MASKED))
    mask = b.node("Unsqueeze", ["attention_mask", "mask.axes"], "mask.wide")
    mask = b.node("Cast", [mask], "mask.float", to=TensorProto.FLOAT)
    mask = b.node("Mul", [b.node("Sub", ["one", mask], "mask.off"), "mask.low"], "mask.bias")
    for layer in range(layers):
        x = b.layer(x, f"layer{layer + 1}", mask, inner)

    ends = b.linear(x, "head", (hidden, 2))
    for index, name in enumerate(("start_logits", "end_logits")):
        at = b.constant(f"{name}.index", np.int64(index))
        b.node("Gather", [ends, at], name, axis=2)
    dims = ["batch" if batch is None else batch, sequence]
    inputs = ("input_ids", "attention_mask", "token_type_ids")
    return b.finish(
        "bert-large-shaped",
        [helper.make_tensor_value_info(name, TensorProto.INT64, dims) for name in inputs],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)
            for name in ("start_logits", "end_logits")
        ],
        "BERT-large shape with random weights: measures speed only.",
    )


def build_bert(path: str | os.PathLike[str]) -> Path:
    """Write `make_bert()` to `path` and return the path; 1.3 GB.

    The file appears whole or not at all, so two processes may build the same one. Its directory
    must exist.

    Raises:
        QaicKitError: the file cannot be written.
    """
    return write_model(make_bert(), path)
