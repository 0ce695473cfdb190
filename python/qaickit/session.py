"""`Session`: a model on its devices, with the interface of the vendor's `qaic.Session`."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import threading
import warnings
import weakref
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt

from qaickit import _core, _option_kinds, options
from qaickit._files import ModelFile, locate_model
from qaickit._measured import (
    PROFILED_RUNS,
    Function,
    Times,
    metrics_text,
    profile_rows,
    profile_text,
)
from qaickit._turns import forget_after_fork, turns_of
from qaickit.errors import (
    ClosedError,
    FailedPreconditionError,
    InvalidArgumentError,
    ResourceExhaustedError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from qaickit._core import DeviceDict, MetricsDict, RunProfileDict, TensorDict

Array = npt.NDArray[Any]
SessionT = TypeVar("SessionT", bound="Session")

DEFAULT_NUM_INFERENCES = 40
# Names the backend of programs that cannot be changed to say so.
BACKEND_VARIABLE = "QAICKIT_BACKEND"
# What the vendor's programs pass; to us it means "the default".
_VENDOR_BACKEND = "aic"
_NOTHING_MEASURED: MetricsDict = {
    "num_of_inferences": 0, "min_latency": 0.0, "max_latency": 0.0, "P25": 0.0, "P50": 0.0,
    "P75": 0.0, "P90": 0.0, "P99": 0.0, "P999": 0.0, "total_inference_time": 0.0,
    "avg_latency": 0.0,
}  # fmt: skip
_NO_TURN = contextlib.nullcontext()
_RANDOM_SEED = 0


class ShapeDict(dict[str, tuple[tuple[int, ...], np.dtype[Any]]]):
    """Name -> (shape, dtype), in binding order. Calling it returns it.

    The vendor documents `session.model_input_shape_dict()`, and public programs also write
    `session.model_input_shape_dict["x"]`; both work.
    """

    def __call__(self) -> ShapeDict:
        """The dict itself."""
        return self


class Session:
    """A model, ready to run on a card, a CPU or a GPU.

        sess = qaic.Session("model.onnx", onnx_define_symbol={"batch": 1})
        shape, dtype = sess.model_input_shape_dict["x"]
        outputs = sess.run({"x": np.zeros(shape, dtype)})

    `model_path` is a `.onnx` file, which is compiled into `output_dir` or into a cache; a QPC
    (`.bin`); a pattern that matches one such file; or a directory with `programqpc.bin`. Keyword
    arguments are the options of `qaickit.options`, also read from the YAML file `options_path`,
    where keyword arguments win. Options of the compiler have no effect on a QPC.

    Construction opens or compiles the model; devices are taken by `setup()`, or by the first call
    that needs them. `backend`, or else `QAICKIT_BACKEND` in the environment, names the kind of
    device, and then nothing else is tried; without, a card is used if one is there, else the CPU.
    `describe()` tells what the session runs on.

    All methods may be called from several threads at once; `run` computes in parallel on all
    activations and does not hold the GIL. A call that races with `reset` or `close` may raise
    ClosedError. After a fork, a child cannot use what its parent set up; see `reset`. A session
    cannot be pickled or copied (TypeError).

    Errors: InvalidArgumentError (a ValueError: options, path, symbols), NotFoundError,
    PermissionDeniedError, DataLossError (damaged or foreign file), UnsupportedError (an option or a
    model that cannot be served here, with the reason). All derive from `qaickit.QaicKitError`.
    """

    def __init__(self, model_path: str | os.PathLike[str], **kwargs: Any) -> None:
        model = locate_model(model_path)
        self._options = options.resolve(kwargs)
        self._options.refuse(compiling=model.is_onnx)
        backend = _backend_named(self._options)
        for text in self._options.warnings(compiling=model.is_onnx, backend=backend):
            warnings.warn(text, options.OptionWarning, stacklevel=2)
        self._model_path = model.path
        self._qpc = _open(model, self._options)
        self._program = self._qpc.program
        self._inputs = _shapes_of(self._program["inputs"], "input")
        self._outputs = _shapes_of(self._program["outputs"], "output")
        self._lock = threading.Lock()
        self._native: _core.Session | None = None
        self._finalizer: weakref.finalize[..., Any] | None = None
        self._measured: tuple[MetricsDict, list[RunProfileDict]] = (_NOTHING_MEASURED, [])
        self._closed = False
        self._forked_from: int | None = None

    # --- what is in the model

    @property
    def model_input_shape_dict(self) -> ShapeDict:
        """Input name -> (shape as a tuple of int, numpy dtype), in binding order.

        With the `qaic` device's setting `skip_stage` the card's own formats count, from `setup()`
        on; so for the outputs.
        """
        return self._inputs

    @property
    def model_output_shape_dict(self) -> ShapeDict:
        """Output name -> (shape as a tuple of int, numpy dtype), in binding order."""
        return self._outputs

    # --- running

    def setup(self) -> None:
        """Loads and activates the program on its devices; nothing when that is done already.

        Errors: ClosedError, UnavailableError (no such device here), ResourceExhaustedError (too
        many activations), UnsupportedError (the QPC lacks the half for this kind of device),
        DataLossError (damaged weights of a large QPC, which are checked here).
        """
        with self._turn():
            self._ready()

    def run(self, input_dict: Mapping[str, Array]) -> dict[str, Array]:
        """One inference: input name -> array in, output name -> array out, as a dict.

        Arrays must have exactly the shapes and dtypes of `model_input_shape_dict`; one that is
        C-contiguous is read in place, another one is copied first. Where the program allows several
        sets of shapes, they are those of one of them; where it allows part of a batch, the first
        dimension may be smaller. Outputs are new and C-contiguous, with the shapes that follow.

        Errors: InvalidArgumentError names the input, what was expected, what came and what to do;
        ClosedError; DeviceError.
        """
        with self._turn():
            return self._ready().run(input_dict)

    def run_on(
        self, activation: int, input_dict: Mapping[str, Array]
    ) -> tuple[dict[str, Array], RunProfileDict]:
        """As `run`, on one activation of those of all devices, 0 being the first.

        Also returns where the time went, measured natively: the moment of the call (`start`, in
        seconds of time.monotonic()), then seconds for `wait` (for an idle ExecObj), `gather`
        (inputs bound or copied), `device` and `scatter`. Errors as of `run`; InvalidArgumentError
        also for an activation that does not exist.
        """
        with self._turn():
            return self._ready().run_on(activation, input_dict)

    def run_benchmark(
        self,
        num_inferences: int | str | None = None,
        inf_time: float | str | None = None,
        input_dict: Mapping[str, Array] | None = None,
        *,
        tick: Callable[[int], bool] | None = None,
    ) -> tuple[int, float, float, int]:
        """Runs the model over and over natively, on all activations at once.

        `num_inferences` (40 if neither is given) or `inf_time` in seconds, not both; text with a
        number is accepted. `input_dict` as in `run`; not given: random values, always the same.
        `tick(inferences)` is called some 40 times a second with how many have ended; when it
        returns False, that is the result. Ctrl-C raises KeyboardInterrupt as anywhere.

        Returns `(inf_completed, inf_rate, inf_time, batch_size)`: inferences that were run, how
        many of them a second, the seconds that it took, and the samples in each, so that
        `inf_rate * batch_size` is samples a second.
        """
        inferences, seconds = _benchmark_length(num_inferences, inf_time)
        inputs = random_inputs(self._inputs) if input_dict is None else input_dict
        with self._turn():
            completed, elapsed = self._ready().benchmark(inferences, seconds, inputs, tick)
        rate = completed / elapsed if elapsed > 0 else 0.0
        return completed, rate, elapsed, self.batch_size

    def reset(self) -> None:
        """Releases the devices. The next run, or `setup`, takes them again.

        In a child process after a fork it lets go of what belongs to the parent, so that the child
        can set up devices of its own.
        """
        with self._lock:
            self._refuse_closed()
            self._forked_from = None
            self._release(wait=True)

    def close(self) -> None:
        """Releases the devices for good. Calling it again does nothing."""
        with self._lock:
            self._closed = True
            self._release(wait=True)

    def __enter__(self: SessionT) -> SessionT:
        return self

    def __reduce__(self) -> NoReturn:
        # Without this a shallow copy would share the devices, and release them twice.
        raise TypeError(
            f"a session cannot be pickled or copied, since it holds devices; make another one of "
            f"'{self.qpc_path}' where it is needed"
        )

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # --- options

    def backend_options(self) -> dict[str, Any]:
        """The options that can be changed later, with their values: `dev_id` and others."""
        return self._options.changeable()

    def update_backend_options(self, **kwargs: Any) -> None:
        """Changes `num_activations`, `dev_id` or `set_size`, also spelt with dashes.

        Takes effect when the devices are set up next; if they are now, they are let go as soon as
        the runs in progress end, and the next run sets them up anew. Values that are the same
        already change nothing.

        Error: InvalidArgumentError (not changeable, or a bad value); then nothing has changed.
        """
        with self._lock:
            self._refuse_closed()
            before, self._options = self._options, self._options.updated(kwargs)
            if self._options.changeable() != before.changeable():
                # Not closed: runs that other threads have begun hold it, and end well.
                self._release(wait=False)

    # --- measuring

    def get_metrics(self) -> MetricsDict:
        """Latencies of `run` since the devices were set up, in seconds, measured natively.

        The keys: num_of_inferences, min_latency, max_latency, P25, P50, P75, P90, P99, P999,
        total_inference_time, avg_latency. The first inference, which warms up, is not counted; all
        are 0 before the second. A session that was reset or closed tells what it had until then.

        Error: FailedPreconditionError without `enable_metrics` or `enable_profiling`.
        """
        self._refuse_unmeasured("enable_metrics", "enable_profiling")
        with self._lock:
            native = self._native
            if native is None:
                return self._measured[0]
        return native.metrics()

    def print_metrics(self) -> None:
        """Prints `get_metrics` for people, in the vendor's words. Error as there."""
        print(metrics_text(self.get_metrics()))

    @property
    def profiling_results(self) -> list[dict[Function, Times]]:
        """The stages of the first 1000 runs since the devices were set up, a dict for each run.

        (file, line, function) -> (calls, seconds in itself, seconds in all), as Python's profiler
        has it, for the run and, below it, the native stages: the wait for an idle ExecObj, gather,
        device, scatter. Error: FailedPreconditionError without `enable_profiling`.
        """
        self._refuse_unmeasured("enable_profiling")
        with self._lock:
            native = self._native
            runs = self._measured[1] if native is None else native.profile()
        return [profile_rows(run) for run in runs]

    def print_profile_data(self, n: int) -> None:
        """Prints the profiles of the first `n` runs as tables. Error as `profiling_results`."""
        number = _positive(_option_kinds.INT, "n", "a 32-bit integer of at least 1", n)
        print(profile_text(self.profiling_results[:number]))

    # --- telling

    @property
    def backend(self) -> str | None:
        """The kind of device that the session runs on ("cpu"); None while it is not set up."""
        native = self._native
        return None if native is None else native.backend

    @property
    def devices(self) -> list[DeviceDict]:
        """The devices in use, as dicts of backend, id and name; empty while not set up."""
        native = self._native
        return [] if native is None else native.devices

    @property
    def precision(self) -> str | None:
        """The precision that the device really computes in ("fp32"); None while not set up."""
        native = self._native
        return None if native is None else native.precision

    @property
    def batch_size(self) -> int:
        """Samples in one inference: the first dimension that all tensors share, else 1."""
        return self._program["batch_size"]

    @property
    def qpc_path(self) -> str:
        """The QPC file: the one given, or the one that was compiled."""
        return self._qpc.path

    def describe(self) -> str:
        """What the session is and what it runs on, in a few lines for people."""
        program = self._program
        lines = [
            f"model: {self._model_path}",
            f"program: {program['name']}, batch size {program['batch_size']}, {self.qpc_path}",
            f"runs on: {self._where()}",
            *(f"input: {_spec_text(name, spec)}" for name, spec in self._inputs.items()),
            *(f"output: {_spec_text(name, spec)}" for name, spec in self._outputs.items()),
        ]
        manifest = self._qpc.manifest
        if manifest is not None and manifest["random_weights"]:
            lines.append("weights: random, for measuring speed only; outputs mean nothing")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<qaic.Session '{self._program['name']}' on {self._where()}>"

    def _where(self) -> str:
        native = self._native
        if native is None:
            return "nothing: closed" if self._closed else "nothing yet: not set up"
        names = ", ".join(f"{d['backend']}:{d['id']} {d['name']}" for d in native.devices)
        activations = self._options["num_activations"]
        plural = "" if activations == 1 else "s"
        return f"{names}; {native.precision}, {activations} activation{plural} each"

    # --- the native session

    def _turn(self) -> contextlib.AbstractContextManager[None]:
        """Holds the cores, where they are shared with other sessions."""
        name = self._options["oversubscription_name"]
        return _NO_TURN if name is None else turns_of(name).turn(self)

    def _ready(self) -> _core.Session:
        """The native session, set up now if need be."""
        with self._lock:
            self._refuse_closed()
            self._refuse_forked()
            if self._native is None:
                self._acquire()
            assert self._native is not None
            return self._native

    def _acquire(self) -> None:
        """Sets up the native session. The lock is held."""
        native = self._open_native()
        # Settings of the device can change what goes in and out.
        self._inputs = _shapes_of(native.program["inputs"], "input")
        self._outputs = _shapes_of(native.program["outputs"], "output")
        _set_up.add(self)
        self._native = native
        self._finalizer = weakref.finalize(self, native.close)
        # The hot path: calling sess.run() finds the native method without passing through ours. A
        # subclass that overrides run() keeps its own, and a session that shares cores waits first.
        if type(self).run is Session.run and self._options["oversubscription_name"] is None:
            self.__dict__["run"] = native.run

    def _open_native(self) -> _core.Session:
        """A native session. Cores that are shared and too few are taken from those that idle."""
        name = self._options["oversubscription_name"]
        idle = [] if name is None else turns_of(name).others(self)
        while True:
            try:
                return self._open_native_once()
            except ResourceExhaustedError:
                if not idle:
                    raise
            other: Session = idle.pop(0)
            with other._lock:
                other._release(wait=True)

    def _open_native_once(self) -> _core.Session:
        return _core.Session(
            self._qpc,
            backend=_backend_named(self._options),
            device_ids=self._options.device_ids(),
            num_activations=self._options["num_activations"],
            set_size=self._options["set_size"],
            threads_per_activation=self._options["threads_per_activation"],
            device_settings=dict(self._options["device_settings"]),
            metrics=self._options["enable_metrics"] or self._options["enable_profiling"],
            profile_runs=PROFILED_RUNS if self._options["enable_profiling"] else 0,
        )

    def _release(self, *, wait: bool) -> None:
        """Lets go of the native session, if there is one. The lock is held."""
        native = self._drop()
        if native is None:
            return
        if wait:
            native.close()
        if self._measures("enable_metrics", "enable_profiling"):
            profile = native.profile() if self._measures("enable_profiling") else []
            self._measured = native.metrics(), profile

    def _drop(self) -> _core.Session | None:
        native, self._native = self._native, None
        self.__dict__.pop("run", None)
        _set_up.discard(self)
        if self._finalizer is not None:
            self._finalizer.detach()
            self._finalizer = None
        return native

    def _measures(self, *names: str) -> bool:
        return any(self._options[name] for name in names)

    def _refuse_unmeasured(self, *names: str) -> None:
        if not self._measures(*names):
            ways = " or ".join(f"{name}=True" for name in names)
            raise FailedPreconditionError(f"the session does not measure that; make it with {ways}")

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ClosedError(
                f"the session of '{self._model_path}' is closed; make a new one, or call reset() "
                "instead of close() where it is to be used again"
            )

    def _refuse_forked(self) -> None:
        if self._forked_from is not None:
            raise FailedPreconditionError(
                f"this session was set up in process {self._forked_from}, and devices do not "
                f"survive the fork to process {os.getpid()}; make the session in the child, call "
                "its reset() there first, or start children with multiprocessing's 'spawn'"
            )

    def _disown(self) -> None:
        """In a child process after a fork: forgets the native session without touching it."""
        self._lock = threading.Lock()  # another thread may have held it, and is not here
        native = self._drop()
        # Its destructor would wait for threads that did not come along, so it must never run.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(native))
        self._forked_from = os.getppid()


_set_up: weakref.WeakSet[Session] = weakref.WeakSet()


def _backend_named(chosen: options.Options) -> str:
    """The backend that an option or the environment names; empty: whatever is there."""
    backend = chosen["backend"]
    if backend in (None, _VENDOR_BACKEND):
        return os.environ.get(BACKEND_VARIABLE, "")
    return str(backend)


def _disown_all() -> None:
    forget_after_fork()
    for session in list(_set_up):
        session._disown()


os.register_at_fork(after_in_child=_disown_all)


def _open(model: ModelFile, chosen: options.Options) -> _core.Qpc:
    """Opens the QPC, compiling it first where the model is ONNX."""
    if not model.is_onnx:
        return _core.Qpc(model.path, check_weights=False)
    from qaickit.compiler import compile_for  # what a session on a QPC does not need

    return compile_for(model.path, chosen)


def _shapes_of(tensors: list[TensorDict], side: str) -> ShapeDict:
    shapes = ShapeDict()
    for tensor in tensors:
        try:
            dtype = np.dtype(tensor["dtype"])
        except TypeError as error:
            raise UnsupportedError(
                f"{side} '{tensor['name']}' is {tensor['dtype']}, which numpy does not have; "
                "compile the model with that tensor cast to float32 or float16"
            ) from error
        shapes[tensor["name"]] = (tuple(tensor["dims"]), dtype)
    return shapes


def _spec_text(name: str, spec: tuple[tuple[int, ...], np.dtype[Any]]) -> str:
    shape, dtype = spec
    return f"{name} {dtype} {list(shape)}"


def _benchmark_length(
    num_inferences: int | str | None, inf_time: float | str | None
) -> tuple[int, float]:
    """(inferences, 0) or (0, seconds)."""
    if num_inferences is not None and inf_time is not None:
        raise InvalidArgumentError(
            f"num_inferences ({num_inferences!r}) and inf_time ({inf_time!r}) exclude each other; "
            "give one of them"
        )
    if inf_time is not None:
        return 0, _positive(
            _option_kinds.FLOAT, "inf_time", "a positive number of seconds", inf_time
        )
    if num_inferences is None:
        return DEFAULT_NUM_INFERENCES, 0.0
    return _positive(
        _option_kinds.INT, "num_inferences", "a 32-bit integer of at least 1", num_inferences
    ), 0.0


def _positive(kind: _option_kinds.Kind, name: str, expects: str, value: object) -> Any:
    try:
        number = kind.convert(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not number > 0:
        raise InvalidArgumentError(
            f"{name}: expected {expects}, got {value!r} ({type(value).__name__})"
        )
    return number


def random_inputs(shapes: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]) -> dict[str, Array]:
    """Seeded values for each input: floats of a normal distribution, integers 0 or 1.

    Integers are small because they are often indices, of tokens or classes, which must exist.
    """
    generator = np.random.default_rng(_RANDOM_SEED)
    inputs: dict[str, Array] = {}
    for name, (shape, dtype) in shapes.items():
        is_float = np.issubdtype(dtype, np.floating)
        values = generator.standard_normal(shape) if is_float else generator.integers(0, 2, shape)
        inputs[name] = np.asarray(values, dtype=dtype)
    return inputs
