"""What the builders of models in the shape of known ones share: random weights, and saying so."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from qaickit._files import write_file
from qaickit.errors import InvalidArgumentError

RANDOM_WEIGHTS_PROPERTY = "qaickit.random_weights"


class Builder:
    """Collects nodes and initialisers; each method returns the name of the tensor it adds."""

    def __init__(self, seed: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._seed = seed
        self._rng = np.random.default_rng(seed)

    def random(self, name: str, shape: tuple[int, ...], std: float) -> str:
        """Add float32 noise around 0."""
        values = self._rng.standard_normal(shape, dtype=np.float32)
        values *= np.float32(std)
        return self.constant(name, values)

    def constant(self, name: str, values: Any) -> str:
        """Add an array as it is."""
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, op: str, inputs: list[str], output: str, **attrs: Any) -> str:
        """Add a node of one output."""
        self.nodes.append(helper.make_node(op, inputs, [output], output, **attrs))
        return output

    def finish(
        self,
        name: str,
        inputs: list[onnx.ValueInfoProto],
        outputs: list[onnx.ValueInfoProto],
        doc: str,
    ) -> onnx.ModelProto:
        """Return the model, opset 17, which says that its weights are random."""
        graph = helper.make_graph(self.nodes, name, inputs, outputs, self.weights)
        # IR 8 is the one that came with opset 17; the newest would shut out older runtimes.
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", 17)],
            ir_version=8,
            producer_name="qaickit",
            doc_string=doc,
        )
        notes = {RANDOM_WEIGHTS_PROPERTY: "true", "qaickit.seed": str(self._seed)}
        helper.set_model_props(model, notes)
        return model


def check_limits(limits: Mapping[str, tuple[int, int]]) -> None:
    """Refuse arguments, name -> (value, least), by InvalidArgumentError."""
    for name, (value, least) in limits.items():
        if value < least:
            raise InvalidArgumentError(
                f"{name}: expected an integer of {least} or more, got {value}"
            )


def write_model(model: onnx.ModelProto, path: str | os.PathLike[str]) -> Path:
    """Write a model, which appears whole or not at all; its directory must exist.

    Raises:
        QaicKitError: the file cannot be written; of the kinds of `qaickit._files.write_file`.
    """
    write_file(path, model.SerializeToString(deterministic=True), "the model")
    return Path(path)
