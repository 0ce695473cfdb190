"""fp32 against compiled, on data: which outputs, and which layers, differ and by how much.

Both graphs run in ONNX Runtime on the CPU, as the `cpu` device runs them. A layer is a tensor of
floating point that both graphs compute under one name. Data and numbers are of the model's own
layouts and types: custom IO, which the compiled graph has alone, is undone around it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx
from rich.console import Console
from rich.table import Table
from rich.text import Text

from qaickit._plots import save_plot
from qaickit.compiler import CompileSettings, pipeline
from qaickit.compiler.calibration.data import Feed, open_data, sets_of
from qaickit.compiler.calibration.feeds import feeds
from qaickit.compiler.custom_io import read_custom_io
from qaickit.compiler.job import Job
from qaickit.compiler.runtime import run, session_for
from qaickit.compiler.source import OnnxSource
from qaickit.options import resolve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = npt.NDArray[Any]

# Options that change numbers, or that the compiled side has seen to; the reference goes without.
_OF_COMPILED_SIDE = (
    "convert_to_fp16", "execute_nodes_in_fp16", "node_precision_info_file",
    "keep_original_precision_for_nodes", "convert_to_quantize", "load_profile", "dump_profile",
    "external_quantization_file", "input_list_file", "calibration_data", "use_random_input_data",
    "custom_io_list_file", "dump_custom_io_config_template_file",
)  # fmt: skip


@dataclass(slots=True)
class Difference:
    """One tensor, summed up over all samples; `operator` made it, in the compiled graph."""

    name: str
    operator: str
    is_output: bool
    signal: float = 0.0
    noise: float = 0.0
    product: float = 0.0
    other: float = 0.0
    max_error: float = 0.0
    rows: int = 0
    agreeing: int = 0

    def add(self, wanted: Array, found: Array) -> None:
        """Adds the tensor of one batch."""
        a, b = wanted.astype(np.float64).ravel(), found.astype(np.float64).ravel()
        # Infinite on both sides, as a mask may be, is no difference.
        error = np.subtract(a, b, out=np.zeros_like(a), where=a != b)
        self.signal += float(a @ a)
        self.other += float(b @ b)
        self.product += float(a @ b)
        self.noise += float(error @ error)
        self.max_error = float(np.max(np.abs(error), initial=self.max_error))
        if self.is_output:
            agree = _agreement(wanted, found)
            self.rows += agree.size
            self.agreeing += int(agree.sum())

    @property
    def cosine(self) -> float:
        """Cosine of the angle between the two, 1 for equal directions; 1 where both are zero."""
        norm = math.sqrt(self.signal * self.other)
        return self.product / norm if norm else float(self.signal == self.other)

    @property
    def sqnr(self) -> float:
        """Signal to quantisation noise in dB, 10 log10(sum of squares / sum of squared errors)."""
        if not self.noise:
            return math.inf
        return 10 * math.log10(self.signal / self.noise) if self.signal else -math.inf

    @property
    def top1(self) -> float | None:
        """Share of rows whose largest element is the same, or of equal integers; outputs only."""
        return self.agreeing / self.rows if self.rows else None


@dataclass(slots=True)
class Comparison:
    """What was compared on how many samples. `differences`: outputs, then layers, worst first."""

    data: str
    samples: int = 0
    differences: list[Difference] = field(default_factory=list)


def compare(
    model_path: str, settings: CompileSettings, data: object, *, by_layer: bool
) -> Comparison:
    """Compiles twice, with and without the options that change numbers, and runs both on `data`.

    `data`: see `calibration.data.open_data`; for the model as it is, whatever its custom IO.
    Errors: those of compiling and of the data.
    """
    origins = [OnnxSource.read(model_path) for _ in range(2)]
    wanted = _built(origins[0], CompileSettings(_reference_options(settings), vendor=None))
    found = _built(origins[1], CompileSettings(settings.options, settings.calibration, vendor=None))
    differences = _tensors(wanted.model, found.model, by_layer)
    names = [difference.name for difference in differences]
    sessions = [
        session_for(built.model, names, origin)
        for built, origin in zip((wanted, found), origins, strict=True)
    ]
    path = settings.options["custom_io_list_file"]
    buffers = {} if path is None else {item.name: item for item in read_custom_io(path)}
    opened = open_data(data)
    comparison = Comparison(opened.text)
    for where, feed, count in feeds(opened, sets_of(wanted.program)):
        expected = run(sessions[0], names, feed, where)
        given = {n: buffers[n].to_buffer(a) if n in buffers else a for n, a in feed.items()}
        results = zip(differences, expected, run(sessions[1], names, given, where), strict=True)
        for difference, one, other in results:
            if difference.name in buffers:
                other = buffers[difference.name].from_buffer(other, one.dtype)
            difference.add(_part(one, feed, count), _part(other, feed, count))
        comparison.samples += count
    outputs = [difference for difference in differences if difference.is_output]
    layers = [difference for difference in differences if not difference.is_output]
    comparison.differences = outputs + sorted(layers, key=_badness)
    return comparison


def _badness(layer: Difference) -> float:
    """For sorting, worst first: that of NaN, then by SQNR."""
    return -math.inf if math.isnan(layer.sqnr) else layer.sqnr


def show(comparison: Comparison, console: Console) -> None:
    """The comparison as a table."""
    title = f"fp32 against compiled, {comparison.samples} samples of {comparison.data}"
    grid = Table("tensor", "operator", title=Text(title), title_justify="left")
    for heading in ("cosine", "SQNR dB", "max error", "top-1"):
        grid.add_column(heading, justify="right")
    for entry in comparison.differences:
        grid.add_row(
            Text(entry.name, style="bold" if entry.is_output else ""),
            entry.operator,
            f"{entry.cosine:.6f}",
            f"{entry.sqnr:.1f}",
            f"{entry.max_error:.4g}",
            "" if entry.top1 is None else f"{entry.top1:.2%}",
        )
    console.print(grid)


def plot(comparison: Comparison, path: str) -> None:
    """Draws the SQNR of each tensor as a bar; the suffix of `path` says the format.

    Errors: see `save_plot`.
    """
    entries = [entry for entry in comparison.differences if math.isfinite(entry.sqnr)]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        colours = ["tab:orange" if entry.is_output else "tab:blue" for entry in entries]
        axes.barh(range(len(entries)), [entry.sqnr for entry in entries], color=colours)
        axes.set_yticks(range(len(entries)), [entry.name for entry in entries], fontsize=7)
        axes.invert_yaxis()
        axes.set_xlabel("SQNR in dB, of fp32 against compiled; outputs in orange")
        axes.set_title(f"{comparison.samples} samples of {comparison.data}", fontsize=9)

    save_plot(path, (8, max(2.0, 0.25 * len(entries) + 1)), draw)


def _reference_options(settings: CompileSettings) -> Any:
    options = settings.options
    kept = {name: options[name] for name in options.origins if name not in _OF_COMPILED_SIDE}
    return resolve(kept, options.origins)


def _built(source: OnnxSource, settings: CompileSettings) -> pipeline.Built:
    settings.options.refuse(compiling=True)
    return pipeline.build(Job(source, settings))


def _tensors(wanted: onnx.ModelProto, found: onnx.ModelProto, by_layer: bool) -> list[Difference]:
    makers = [
        {name: node.op_type for node in model.graph.node for name in node.output if name}
        for model in (wanted, found)
    ]
    outputs = [info.name for info in found.graph.output]
    names = list(outputs)
    if by_layer:
        floats = _float_tensors(wanted) & _float_tensors(found)
        names += [name for name in makers[0] if name in floats and name not in outputs]
    return [Difference(name, makers[0].get(name, ""), name in outputs) for name in names]


def _float_tensors(model: onnx.ModelProto) -> set[str]:
    inferred = onnx.shape_inference.infer_shapes(model).graph
    return {
        info.name
        for info in inferred.value_info
        if info.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }


def _part(values: Array, feed: Feed, count: int) -> Array:
    """Without the samples that only fill the last batch."""
    batches = {len(array) for array in feed.values() if array.ndim}
    is_batched = values.ndim > 0 and batches == {values.shape[0]}
    return values[:count] if is_batched else values


def _agreement(wanted: Array, found: Array) -> npt.NDArray[np.bool_]:
    if not np.issubdtype(wanted.dtype, np.floating):
        return np.asarray(wanted == found).reshape(-1)
    if wanted.ndim == 0 or wanted.shape[-1] < 2:
        return np.zeros(0, np.bool_)
    return np.asarray(wanted.argmax(-1) == found.argmax(-1)).reshape(-1)
