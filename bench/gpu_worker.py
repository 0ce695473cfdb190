"""One measurement of bench/gpu.py in a process of its own, so that a failure costs one number.

    python bench/gpu_worker.py '{"what": "onnxruntime", ...}'

Prints one line of JSON: what it measured, or {"skipped": why}. Which keys it takes: the arguments
of the function of that name.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

WARM_UP = 5
Result = dict[str, Any]


def timed_loop(run: Callable[[], object], batch: int, seconds: float) -> Result:
    """Samples a second and the median time of one batch, of a plain loop."""
    for _ in range(WARM_UP):
        run()
    times = []
    begun = now = time.perf_counter()
    while now - begun < seconds:
        run()
        times.append(-now + (now := time.perf_counter()))
    return {"rate": batch * len(times) / (now - begun), "latency_us": 1e6 * float(np.median(times))}


def make_inputs(session: Any) -> dict[str, np.ndarray]:
    """Noise; integers 0 or 1, which serve as ids, masks and segments."""
    random = np.random.default_rng(0)
    dtypes = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
    made = {}
    for info in session.get_inputs():
        dtype = dtypes[info.type]
        values = random.random(info.shape) if dtype is np.float32 else random.integers(
            0, 2, info.shape
        )  # fmt: skip
        made[info.name] = values.astype(dtype)
    return made


def onnxruntime(
    graph: str, provider: str, device_id: int, batch: int, seconds: float, copies: bool
) -> Result:
    """onnxruntime's Python loop with IO binding, everything bound once; its best way on a GPU.

    That may be with a CUDA graph or without: before 1.30 onnxruntime waits after it has replayed
    one. `copies`: each run copies inputs to the device and outputs back and waits for them.
    Without, inputs are there already and runs follow one another unwaited: the rate of the device
    alone.
    """
    ways = (True, False) if provider == "cuda" else (False,)
    found: list[Result] = []
    for way in ways:
        try:
            length = seconds / len(ways)
            found.append(onnxruntime_loop(graph, provider, device_id, batch, length, copies, way))
        except Exception as error:  # of several bases, from loading or from the first runs
            if not way:
                raise
            print(f"no CUDA graph: {error}", file=sys.stderr)
    return max(found, key=lambda result: result.get("rate", 0.0))


def onnxruntime_loop(
    graph: str,
    provider: str,
    device_id: int,
    batch: int,
    seconds: float,
    copies: bool,
    cuda_graph: bool,
) -> Result:
    import onnxruntime as ort

    on_gpu = provider != "cpu"
    names = {"cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
    settings = {"device_id": str(device_id)}
    if provider == "cuda":
        settings["enable_cuda_graph"] = str(int(cuda_graph))
    if provider == "tensorrt":
        settings |= {"trt_cuda_graph_enable": "1", "trt_fp16_enable": "1", "trt_int8_enable": "1"}
    providers: list[Any] = [(names[provider], settings)] if on_gpu else ["CPUExecutionProvider"]
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if provider == "cuda":
        # As ours: else the int32 biases of a QDQ graph are dequantised on the CPU in each run.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    if on_gpu:
        ort.preload_dlls()  # NVIDIA's wheels lie where the loader does not look
    if provider == "tensorrt":
        with contextlib.suppress(ImportError):
            importlib.import_module("tensorrt_libs")  # which opens TensorRT's
    session = ort.InferenceSession(graph, options, providers=providers, enable_fallback=0)
    if on_gpu and names[provider] not in session.get_providers():
        return {"skipped": f"onnxruntime could not load its {names[provider]}"}

    device = "cuda" if on_gpu else "cpu"
    host = make_inputs(session)
    binding = session.io_binding()
    inputs = {}
    for name, array in host.items():
        inputs[name] = ort.OrtValue.ortvalue_from_numpy(array, device, device_id)
        binding.bind_ortvalue_input(name, inputs[name])
    outputs = []
    for info in session.get_outputs():
        value = ort.OrtValue.ortvalue_from_shape_and_type(info.shape, np.float32, device, device_id)
        binding.bind_ortvalue_output(info.name, value)
        outputs.append(value)

    def run_with_copies() -> None:
        for name, array in host.items():
            inputs[name].update_inplace(array)
        session.run_with_iobinding(binding)
        for value in outputs:
            value.numpy()

    if copies:
        result = timed_loop(run_with_copies, batch, seconds)
    else:
        result = device_rate(ort, session, binding, batch, seconds)
    return result | {"cuda_graph": cuda_graph}


def device_rate(ort: Any, session: Any, binding: Any, batch: int, seconds: float) -> Result:
    """Runs in rows of which only the last waits, which then has waited for all of its stream."""
    unwaited = ort.RunOptions()
    unwaited.add_run_config_entry("disable_synchronize_execution_providers", "1")
    row = 1

    def run() -> None:
        for _ in range(row - 1):
            session.run_with_iobinding(binding, unwaited)
        session.run_with_iobinding(binding)

    one = timed_loop(run, batch, min(seconds, 0.2))["latency_us"] / 1e6
    row = max(2, min(256, int(0.05 / one)))
    return timed_loop(run, batch * row, seconds) | {"row": row}


def torch(
    model: str, precision: str, device: str, batch: int, seconds: float, compiled: bool, small: bool
) -> Result:
    """The same architecture in PyTorch, random weights, eager or by torch.compile."""
    try:
        import torch as pytorch
        import torchvision
        import transformers
    except ImportError as error:
        return {"skipped": f"{error.name or error} is not installed"}
    import gpu_cases

    if device.startswith("cuda") and not pytorch.cuda.is_available():
        return {"skipped": "torch finds no CUDA here"}
    dtype = {"fp32": pytorch.float32, "fp16": pytorch.float16}[precision]
    if model == "resnet50":
        net = torchvision.models.resnet50(weights=None)
        side = 64 if small else 224
        host = [pytorch.randn(batch, 3, side, side).to(dtype)]
    else:
        sizes = gpu_cases.SMALL_BERT if small else {
            "layers": 24, "hidden": 1024, "heads": 16, "inner": 4096, "sequence": 384,
            "vocabulary": 30522,
        }  # fmt: skip
        config = transformers.BertConfig(
            vocab_size=sizes["vocabulary"], hidden_size=sizes["hidden"],
            num_hidden_layers=sizes["layers"], num_attention_heads=sizes["heads"],
            intermediate_size=sizes["inner"],
        )  # fmt: skip
        net = transformers.BertForQuestionAnswering(config)
        shape = (batch, sizes["sequence"])
        host = [pytorch.randint(0, 2, shape) for _ in range(3)]
    net = net.to(device, dtype).eval()
    on_gpu = device.startswith("cuda")
    pytorch.set_float32_matmul_precision("high")  # TF32, as ours
    if model == "resnet50" and on_gpu:
        # As PyTorch advises for convolutions on tensor cores.
        net = net.to(memory_format=pytorch.channels_last)
        host = [tensor.to(memory_format=pytorch.channels_last) for tensor in host]
    if compiled:
        # With CUDA graphs; "max-autotune" searches for many minutes for each net and batch size.
        net = pytorch.compile(net, mode="reduce-overhead" if on_gpu else "default")
    if on_gpu:
        host = [tensor.pin_memory() for tensor in host]

    def run() -> None:
        result = net(*(tensor.to(device, non_blocking=True) for tensor in host))
        ends = [result] if model == "resnet50" else [result.start_logits, result.end_logits]
        for tensor in ends:
            tensor.cpu()

    with pytorch.inference_mode():
        return timed_loop(run, batch, seconds)


def least(
    qpc: str, backend: str, device_id: int, settings: dict[str, str], seconds: float
) -> Result:
    """Wall time a batch of a program that does next to nothing, all ExecObjs in flight."""
    import qaic

    with qaic.Session(
        qpc, backend=backend, dev_id=device_id, device_settings=settings, set_size=16
    ) as session:
        session.run_benchmark(num_inferences=1000)
        _, rate, _, _ = session.run_benchmark(inf_time=seconds)
    return {"batch_us": 1e6 / rate}


def copies(qpc: str, backend: str, device_id: int, settings: dict[str, str]) -> Result:
    """What CUPTI sees of the copies of a thousand batches, after warm-up."""
    try:
        import torch as pytorch
    except ImportError:
        return {"skipped": "torch, whose profiler it takes, is not installed"}
    if not pytorch.cuda.is_available():
        return {"skipped": "torch, whose profiler it takes, finds no CUDA here"}
    import qaic
    from gpu_trace import copies_of, trace

    with qaic.Session(qpc, backend=backend, dev_id=device_id, device_settings=settings) as session:
        session.run_benchmark(num_inferences=100)
        return copies_of(trace(lambda: session.run_benchmark(num_inferences=1000)))


def soak(
    qpc: str, backend: str, device_id: int, settings: dict[str, str], seconds: float
) -> Result:
    """Runs for a long time; the resident set of the process every second, in MiB."""
    import qaic

    resident: list[float] = []
    begun = time.monotonic()

    def tick(_: int) -> bool:
        if time.monotonic() - begun > len(resident):
            with open("/proc/self/status", encoding="ascii") as status:
                kib = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
            resident.append(kib / 1024)
        return True

    with qaic.Session(qpc, backend=backend, dev_id=device_id, device_settings=settings) as session:
        count, rate, _, batch = session.run_benchmark(inf_time=seconds, tick=tick)
    return {"rate": rate * batch, "inferences": count, "resident_mib": resident}


WORK: dict[str, Callable[..., Result]] = {
    "onnxruntime": onnxruntime,
    "torch": torch,
    "least": least,
    "copies": copies,
    "soak": soak,
}


def main() -> int:
    order = json.loads(sys.argv[1])
    result = WORK[order.pop("what")](**order)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
