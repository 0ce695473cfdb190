"""What is measured: a model as a program on devices, and the samples for it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qaickit import _core
from qaickit._files import error_from_os, locate_model
from qaickit._text import did_you_mean
from qaickit.compiler import CompileSettings, ensure_qpc
from qaickit.compiler.source import OnnxSource
from qaickit.datasets import Dataset, InputSpec, load_dataset
from qaickit.errors import (
    InvalidArgumentError,
    NotFoundError,
    QaicKitError,
    UnavailableError,
    UnsupportedError,
)
from qaickit.loadgen.qsl import Array
from qaickit.loadgen.scenarios import Scenario
from qaickit.loadgen.settings import Rate
from qaickit.models import MODELS

__all__ = [
    "Choice",
    "Model",
    "Placement",
    "Target",
    "find_choice",
    "first_batch",
    "measure",
    "open_target",
    "usable_cpus",
    "warm_up",
]

DEFAULT_SET_SIZE = 10  # as of a session
CALIBRATION_S = 0.5
WINDOW_S = 0.05
WINDOW_INFERENCES = 20  # with fewer, chance makes a rate of its own
WARM_UP_INFERENCES = 5
RAW = "raw"
RANDOM = "random"
NULL_BACKEND = "null"
# On these an activation is a thread of this machine.
_HOST_BACKENDS = frozenset({"cpu", "openvino", NULL_BACKEND})
_DEFAULT_BATCH: Mapping[Scenario, int] = {Scenario.OFFLINE: 8}


@dataclass(frozen=True)
class Choice:
    """A model as the command line names it, with what is known of it before it is opened."""

    label: str
    path: str
    is_onnx: bool
    workload: str | None = None
    dataset: str | None = None
    random_weights: bool = False


@dataclass(frozen=True)
class Model:
    """How to compile a model, and what to run on it. None: the default."""

    max_batch: int | None = None
    symbols: Mapping[str, int] = field(default_factory=dict)
    workload: str | None = None
    dataset: str | None = None


@dataclass(frozen=True)
class Placement:
    """Where to run. None and empty: the default."""

    backend: str = ""
    device_ids: tuple[int, ...] = ()
    device_settings: Mapping[str, str] = field(default_factory=dict)
    activations: int | None = None
    threads_per_activation: int | None = None
    set_size: int | None = None


@dataclass(frozen=True)
class Target:
    """An open program with the samples for it."""

    label: str
    qpc_path: str
    session: _core.Session
    program: _core.ProgramDict
    dataset: Dataset
    workload: str
    random_weights: bool
    activations: int
    threads_per_activation: int
    set_size: int

    @property
    def batch_size(self) -> int:
        """Samples in one inference."""
        return self.program["batch_size"]

    @property
    def arrays(self) -> list[Array]:
        """The samples in the order of the program's inputs."""
        return [self.dataset.inputs[spec["name"]] for spec in self.program["inputs"]]

    @property
    def input_shapes(self) -> dict[str, tuple[int, ...]]:
        """The program's own shape of each input."""
        return {spec["name"]: tuple(spec["dims"]) for spec in self.program["inputs"]}

    def speed_only(self) -> str:
        """Say why the answers mean nothing; empty where they mean something."""
        reasons = {
            "the model's weights are random": self.random_weights,
            "the samples are random": self.dataset.random,
            "the backend 'null' computes nothing": self.session.backend == NULL_BACKEND,
        }
        return " and ".join(text for text, holds in reasons.items() if holds)


def usable_cpus() -> int:
    """CPUs that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # Only Linux has it.
        return os.cpu_count() or 1


def find_choice(model: str) -> Choice:
    """Find the model called `model`: a name of the registry, or a path to an ONNX file or a QPC.

    Builds the file of a registered model where it is not there yet.

    Raises:
        NotFoundError, InvalidArgumentError: there is none, or it is of another kind.
    """
    if model in MODELS:
        return _registered(model)
    looks_like_path = len(Path(model).parts) > 1 or "." in model or any(c in model for c in "*?[")
    if not looks_like_path and not os.path.exists(model):
        raise NotFoundError(
            f"--model '{model}': expected {', '.join(MODELS)}, or the path of an ONNX file or a "
            f"QPC{did_you_mean(model, MODELS)}"
        )
    found = locate_model(model)
    return Choice(label=_label(found.path), path=found.path, is_onnx=found.is_onnx)


def _registered(name: str) -> Choice:
    spec = MODELS[name]
    try:
        path = spec.ensure()
    except FileNotFoundError as error:
        raise NotFoundError(str(error)) from None
    except OSError as error:
        raise error_from_os(error, f"model '{name}': cannot build {spec.path}") from error
    return Choice(
        label=spec.name,
        path=str(path),
        is_onnx=True,
        workload=spec.workload,
        dataset=spec.dataset,
        random_weights=spec.random_weights,
    )


def _label(path: str) -> str:
    file = Path(path)
    # Every QPC of the vendor's has one name; its directory tells it from others.
    stem = file.absolute().parent.name if file.stem == "programqpc" else file.stem
    return re.sub(r"[^\w.-]+", "_", stem) or "model"


def open_target(choice: Choice, model: Model, placement: Placement, scenario: Scenario) -> Target:
    """Compile the model where it is an ONNX file, open it, and load the samples.

    Raises:
        QaicKitError: what is wrong with the model, the backend or the dataset, and what to do.
    """
    batch = model.max_batch or _DEFAULT_BATCH.get(scenario, 1)
    qpc = _compile(choice, model, batch) if choice.is_onnx else _core.Qpc(choice.path)
    _check_batch(choice, model, qpc.program["batch_size"])
    workload = _workload(choice, model)
    backend = placement.backend or _default_backend()
    activations, threads = _parallelism(placement, backend, scenario)
    set_size = DEFAULT_SET_SIZE if placement.set_size is None else placement.set_size
    session = _core.Session(
        qpc,
        backend=backend,
        device_ids=placement.device_ids,
        num_activations=activations,
        threads_per_activation=threads,
        set_size=set_size,
        device_settings=placement.device_settings,
    )
    program = session.program  # settings of the device can change the samples' format
    try:
        dataset = _load_dataset(choice, model, program)
    except BaseException:
        session.close()
        raise
    manifest = qpc.manifest
    return Target(
        label=choice.label,
        qpc_path=qpc.path,
        session=session,
        program=program,
        dataset=dataset,
        workload=workload,
        random_weights=choice.random_weights or bool(manifest and manifest["random_weights"]),
        activations=activations * max(1, len(session.devices)),
        threads_per_activation=threads,
        set_size=set_size,
    )


def _compile(choice: Choice, model: Model, batch: int) -> _core.Qpc:
    symbols = dict.fromkeys(_batch_symbols(choice.path), batch) | dict(model.symbols)
    return ensure_qpc(choice.path, CompileSettings.of(onnx_define_symbol=symbols))


def _batch_symbols(onnx_path: str) -> Iterable[str]:
    """Names of the free first dims of the inputs, as the compiler calls them."""
    try:
        graph = OnnxSource.read(onnx_path).model.graph
    except QaicKitError as error:
        raise type(error)(f"--model '{onnx_path}': {error}") from error
    weights = {tensor.name for tensor in graph.initializer}
    for value in graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name not in weights and dims and not dims[0].HasField("dim_value"):
            yield dims[0].dim_param or f"{value.name}:0"


def _check_batch(choice: Choice, model: Model, batch_size: int) -> None:
    if model.max_batch is None or model.max_batch <= batch_size:
        return
    advice = "compile the model again with a bigger one"
    if choice.is_onnx:
        advice = "its shape is fixed; export it with a symbol as the first dim"
    raise InvalidArgumentError(
        f"--max-batchsize: '{choice.path}' has a batch size of {batch_size}, got "
        f"{model.max_batch}; give at most {batch_size}, or {advice}"
    )


def _workload(choice: Choice, model: Model) -> str:
    workload = model.workload or choice.workload or RAW
    known = _core.workload_kinds()
    if workload not in known:
        raise InvalidArgumentError(
            f"--workload: expected one of {', '.join(known)}, got '{workload}'"
        )
    return workload


def _load_dataset(choice: Choice, model: Model, program: _core.ProgramDict) -> Dataset:
    name = model.dataset or choice.dataset or RANDOM
    try:
        return load_dataset(name, _sample_specs(program))
    except FileNotFoundError as error:
        raise NotFoundError(f"--dataset: {error}") from None
    except ValueError as error:
        raise InvalidArgumentError(f"--dataset: {error}") from None
    except OSError as error:
        raise error_from_os(error, f"--dataset: cannot read '{name}'") from error


def _sample_specs(program: _core.ProgramDict) -> list[InputSpec]:
    """What one sample of each input is: its dims without the batch axis, where there is one."""
    batch, inputs = program["batch_size"], program["inputs"]
    has_batch_axis = all(spec["dims"] and spec["dims"][0] == batch for spec in inputs)
    skip = 1 if has_batch_axis else 0
    return [
        InputSpec(spec["name"], _numpy_dtype(spec), tuple(spec["dims"][skip:])) for spec in inputs
    ]


def _numpy_dtype(spec: _core.TensorDict) -> np.dtype[Any]:
    try:
        return np.dtype(spec["dtype"])
    except TypeError:
        raise UnsupportedError(
            f"input '{spec['name']}' is {spec['dtype']}, which numpy does not have; compile the "
            "model with that input cast to float32 or float16"
        ) from None


def _default_backend() -> str:
    """The backend that a session would choose, whose name the other defaults depend on."""
    backends = [b for b in _core.backends() if b["name"] != NULL_BACKEND]
    for backend in backends:
        if backend["devices"]:
            return backend["name"]
    reasons = "; ".join(f"{b['name']}: {b['error'] or 'no device'}" for b in backends)
    raise UnavailableError(f"no backend is usable here ({reasons}); see python -m qaickit.doctor")


def _parallelism(placement: Placement, backend: str, scenario: Scenario) -> tuple[int, int]:
    """Activations on each device, and threads of each."""
    on_host = backend in _HOST_BACKENDS and scenario is not Scenario.SINGLE_STREAM
    threads = placement.threads_per_activation or 1
    activations = placement.activations
    if activations is None:
        activations = max(1, usable_cpus() // threads) if on_host else 1
    return activations, threads


def first_batch(target: Target) -> dict[str, Array]:
    """Return the first samples as one batch in the program's shapes."""
    batch = {}
    for name, shape in target.input_shapes.items():
        samples = target.dataset.inputs[name]
        rows = np.arange(target.batch_size) % len(samples)
        batch[name] = np.ascontiguousarray(samples[rows]).reshape(shape)
    return batch


def warm_up(target: Target) -> None:
    """Run a few inferences on each activation: the first ones take longer."""
    _benchmark(target, WARM_UP_INFERENCES * target.activations, 0.0)


def _benchmark(
    target: Target, inferences: int, seconds: float, tick: Callable[[int], bool] | None = None
) -> tuple[int, float]:
    try:
        return target.session.benchmark(inferences, seconds, first_batch(target), tick)
    except QaicKitError as error:
        raise type(error)(f"running the model before the test: {error}") from error


def measure(target: Target, seconds: float = CALIBRATION_S) -> Rate:
    """Run the model natively for `seconds` on all activations and return how fast that was."""
    best = _BestWindow(time.monotonic)
    inferences, elapsed = _benchmark(target, 0, seconds, best.tick)
    return Rate(
        max(1, inferences) / max(elapsed, 1e-9), target.batch_size, target.activations, best.rate
    )


class _BestWindow:
    """The highest rate over any short while; 0 where there were too few inferences to tell."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.rate = 0.0
        self._clock = clock
        self._start = (clock(), 0)

    def tick(self, inferences: int) -> bool:
        """Takes the number so far; True, for the benchmark to go on."""
        now = self._clock()
        seconds, count = now - self._start[0], inferences - self._start[1]
        if seconds >= WINDOW_S and count >= WINDOW_INFERENCES:
            self.rate = max(self.rate, count / seconds)
            self._start = (now, inferences)
        return True
