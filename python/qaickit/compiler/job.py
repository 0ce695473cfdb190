"""What one compilation is told, and what its passes find out for the packaging."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from qaickit import options as option_table
from qaickit._files import read_file
from qaickit.compiler.calibration.choose import source_for
from qaickit.compiler.calibration.data import Source
from qaickit.compiler.vendor import VendorCompiler, find_vendor_compiler
from qaickit.options import Options, resolve

if TYPE_CHECKING:
    import onnx

    from qaickit.compiler.calibration.profile import Profile
    from qaickit.compiler.quantise import Layer
    from qaickit.compiler.source import OnnxSource

CalibrationData = Source


@dataclass(frozen=True)
class CompileSettings:
    """What a compilation is told besides the model.

    `options`: checked options; of these only the compiler's matter. `calibration`: data for the
    pass "calibrate"; None: what the options name. `vendor`: what makes the half for cards, None to
    make none.
    """

    options: Options = field(default_factory=lambda: resolve({}))
    calibration: CalibrationData | None = None
    vendor: VendorCompiler | None = field(default_factory=find_vendor_compiler)

    @staticmethod
    def of(calibration: CalibrationData | None = None, **options: Any) -> CompileSettings:
        """From keyword arguments, as a session takes them. Errors: see `options.resolve`."""
        return CompileSettings(resolve(options), calibration)

    @property
    def define_symbols(self) -> dict[str, int]:
        """Sizes of the symbols in the inputs' shapes; one without a name is `<input>:<axis>`."""
        return dict(self.options["onnx_define_symbol"])

    @cached_property
    def recorded(self) -> dict[str, str]:
        """Options for the manifest: those that differ from their defaults, as text.

        A file is recorded by name and content, so that where it lay changes no byte of the QPC.
        Errors: NotFoundError, PermissionDeniedError for a file that cannot be read.
        """
        return {
            name: self._file_text(name) if option_table.reads_file(name) else text
            for name, text in self.options.recorded().items()
        }

    @cached_property
    def data(self) -> CalibrationData | None:
        """The data to calibrate with; None when no option asks for a profile of it.

        Errors: see `calibration.data.open_data`.
        """
        return self.calibration or source_for(self.options)

    def for_digest(self) -> list[Any]:
        """All that the QPC depends on besides the model, as JSON can hold it."""
        data = None if self.data is None else self.data.digest()
        return [self.recorded, data, None if self.vendor is None else self.vendor.identity()]

    @property
    def writes_files(self) -> bool:
        """True when an option asks for a file besides the QPC, so that a cached QPC will not do."""
        return any(map(self.options.is_set, option_table.FILES_WRITTEN))

    def _file_text(self, name: str) -> str:
        path = self.options[name]
        digest = hashlib.sha256(read_file(path, f"the file of option '{name}'")).hexdigest()
        return f"{os.path.basename(path)} sha256:{digest}"


@dataclass(slots=True)
class Outcome:
    """What passes find out for the QPC's manifest and descriptor; each field has one writer.

    `precision`: the policy asked for ("fp32", "fp16", "int8"); empty: what the graph holds.
    `node_precision`: first output of a node -> its precision, where that differs from the policy.
    `calibration`: summary of the calibration as texts by name (method, samples, ...).
    `profile`: what the tensors' values are, when quantising or dumping it.
    `layers`: what quantising did to each node.
    `shape_sets`: where several shapes are allowed, the dims of all inputs and outputs in each set.
    `symbols`: sizes of the symbols in the shapes, as defined.
    `moved`: output of a node that was fused into its user -> that node's first output.
    `io_scales`: input or output name -> (scale, offset) that its integers are read with.
    `fp16_graph`: the graph in fp16, without initializers, where that was asked for.
    """

    precision: str = ""
    node_precision: dict[str, str] = field(default_factory=dict)
    calibration: dict[str, str] = field(default_factory=dict)
    profile: Profile | None = None
    layers: tuple[Layer, ...] = ()
    shape_sets: list[list[list[int]]] = field(default_factory=list)
    symbols: dict[str, int] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    io_scales: dict[str, tuple[float, int]] = field(default_factory=dict)
    fp16_graph: onnx.ModelProto | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One compilation: the model, what to make of it, and what the passes found out."""

    source: OnnxSource
    settings: CompileSettings
    outcome: Outcome = field(default_factory=Outcome)

    @property
    def options(self) -> Options:
        """The checked options."""
        return self.settings.options
