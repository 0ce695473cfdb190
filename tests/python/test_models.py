"""The model registry, the digits model as committed, and the ResNet-50-shaped builder."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from qaickit.datasets import load_dataset
from qaickit.errors import InvalidArgumentError, NotFoundError, QaicKitError
from qaickit.models import MODELS, ModelSpec, cache_dir, find_model
from qaickit.models.__main__ import main
from qaickit.models._shaped import Builder
from qaickit.models.bert import make_bert
from qaickit.models.resnet import build_resnet50, make_resnet50

DIGITS_DIR = MODELS["digits"].path.parent


def shapes(values: list[onnx.ValueInfoProto]) -> dict[str, tuple[int, list[str | int]]]:
    """Return (element type, dims) by name; a symbolic dim is its name."""
    return {
        value.name: (
            value.type.tensor_type.elem_type,
            [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim],
        )
        for value in values
    }


def opset(model: onnx.ModelProto) -> dict[str, int]:
    return {entry.domain: entry.version for entry in model.opset_import}


def properties(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def parameter_count(model: onnx.ModelProto) -> int:
    return sum(math.prod(weight.dims) for weight in model.graph.initializer)


def session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


# --- registry


def test_registry_names_and_fields() -> None:
    assert list(MODELS) == ["digits", "digits-encoder", "resnet50-shaped", "bert-large-shaped"]
    for name, spec in MODELS.items():
        assert spec.name == name
        assert spec.workload == ("raw" if "bert" in name else "classification")
        assert spec.description
    assert (MODELS["digits"].dataset, MODELS["digits"].random_weights) == ("digits", False)
    resnet = MODELS["resnet50-shaped"]
    assert (resnet.dataset, resnet.random_weights) == ("random", True)
    assert "speed only" in resnet.description


def test_spec_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        MODELS["digits"].name = "other"  # type: ignore[misc]


def test_find_model_returns_the_entry() -> None:
    assert find_model("digits") is MODELS["digits"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("digit", "; did you mean 'digits'?"),
        ("resnet50", "; did you mean 'resnet50-shaped'?"),
        ("bert-large", "; did you mean 'bert-large-shaped'?"),
        ("vit", ""),
        ("", ""),
    ],
)
def test_find_model_unknown_name(name: str, hint: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        find_model(name)
    assert isinstance(caught.value, ValueError)
    assert str(caught.value) == (
        f"model '{name}': not known; expected one of digits, digits-encoder, "
        f"resnet50-shaped, bert-large-shaped{hint}"
    )


def test_ensure_builds_once_and_makes_the_directory(tmp_path: Path) -> None:
    built: list[Path] = []

    def builder(path: Path) -> None:
        built.append(path)
        path.write_bytes(b"model")

    path = tmp_path / "a" / "b" / "tiny.onnx"
    spec = ModelSpec("tiny", path, "classification", "random", "test", True, builder)
    assert spec.ensure() == path
    assert spec.ensure() == path
    assert built == [path]


def test_ensure_missing_packaged_file(tmp_path: Path) -> None:
    spec = dataclasses.replace(MODELS["digits"], path=tmp_path / "gone.onnx")
    with pytest.raises(NotFoundError, match=r"model 'digits': expected its file at .*gone\.onnx"):
        spec.ensure()


def test_cache_dir_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("QAICKIT_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache_dir() == Path("/home/someone/.cache/qaickit")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_dir() == Path("/home/someone/.cache/qaickit")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/someone")
    assert cache_dir() == Path("/var/cache/someone/qaickit")
    monkeypatch.setenv("QAICKIT_CACHE_DIR", "/elsewhere")
    assert cache_dir() == Path("/elsewhere")


def test_cache_dir_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for variable in ("QAICKIT_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert cache_dir() == Path(".cache/qaickit")


# --- digits


def test_digits_file_is_as_documented() -> None:
    path = find_model("digits").ensure()
    assert path.stat().st_size < 400_000
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert opset(model) == {"": 17}
    assert shapes(list(model.graph.input)) == {
        "image": (onnx.TensorProto.FLOAT, ["batch", 1, 8, 8])
    }
    assert shapes(list(model.graph.output)) == {"logits": (onnx.TensorProto.FLOAT, ["batch", 10])}
    assert parameter_count(model) == 75_242
    assert properties(model)["qaickit.random_weights"] == "false"
    assert "CC BY 4.0" in properties(model)["qaickit.source"]


def test_digits_heldout_is_as_documented() -> None:
    path = DIGITS_DIR / "heldout.npz"
    assert path.stat().st_size < 50_000
    with np.load(path, allow_pickle=False) as arrays:
        assert sorted(arrays) == ["images", "labels"]
        images, labels = arrays["images"], arrays["labels"]
    assert (images.dtype, images.shape, images.max()) == (np.uint8, (360, 8, 8), 16)
    assert (labels.dtype, labels.shape) == (np.int64, (360,))
    # Stratified: every class has its share, 178 (174 to 183) of 1,797 being 36 (34.9 to 36.7).
    counts = np.bincount(labels, minlength=10)
    assert len(counts) == 10
    assert counts.min() >= 34
    assert counts.max() <= 38


def test_digits_heldout_is_the_documented_split() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    model_selection = pytest.importorskip("sklearn.model_selection")
    bunch = datasets.load_digits()
    _, held_out = model_selection.train_test_split(
        np.arange(1797), test_size=360, stratify=bunch.target, random_state=0
    )
    with np.load(DIGITS_DIR / "heldout.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["images"], bunch.images[held_out])
        np.testing.assert_array_equal(arrays["labels"], bunch.target[held_out])


@pytest.mark.parametrize("batch", [1, 7, 360])
def test_digits_heldout_accuracy(batch: int) -> None:
    dataset = load_dataset("digits", [("image", "float32", (1, 8, 8))])
    assert dataset.labels is not None
    run = session(onnx.load(MODELS["digits"].path)).run
    answers = []
    for start in range(0, len(dataset), batch):
        (logits,) = run(["logits"], {"image": dataset.inputs["image"][start : start + batch]})
        assert logits.dtype == np.float32
        assert logits.shape[1:] == (10,)
        answers.append(logits.argmax(axis=1))
    right = int((np.concatenate(answers) == dataset.labels).sum())
    assert right / len(dataset) >= 0.98


def test_encoder_file_is_as_documented() -> None:
    path = find_model("digits-encoder").ensure()
    assert path.stat().st_size < 250_000
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert opset(model) == {"": 17}
    image = (onnx.TensorProto.FLOAT, ["batch", 1, 8, 8])
    assert shapes(list(model.graph.input)) == {"image": image}
    assert shapes(list(model.graph.output)) == {"logits": (onnx.TensorProto.FLOAT, ["batch", 10])}
    assert properties(model)["qaickit.random_weights"] == "false"
    readme = (path.parent / "README.md").read_text(encoding="utf-8")
    for fact in ("10.24432/C50P49", "CC BY 4.0", "tools/train_encoder.py"):
        assert fact in readme


def test_encoder_heldout_accuracy() -> None:
    dataset = load_dataset("digits", [("image", "float32", (1, 8, 8))])
    run = session(onnx.load(MODELS["digits-encoder"].path)).run
    (logits,) = run(["logits"], {"image": dataset.inputs["image"]})
    assert (logits.argmax(axis=1) == dataset.labels).mean() >= 0.96


def test_digits_readme_names_source_and_licence() -> None:
    text = (DIGITS_DIR / "README.md").read_text(encoding="utf-8")
    for words in ("Alpaydin", "Kaynak", "10.24432/C50P49", "CC BY 4.0", "BSD 3-Clause"):
        assert words in text


# --- resnet50-shaped


def test_resnet50_full_size_has_its_parameters() -> None:
    model = make_resnet50()
    # 25,557,032 of the usual count, less one of the two vectors of each folded batch norm.
    assert parameter_count(model) == 25_530_472
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 53
    assert not any(node.op_type == "BatchNormalization" for node in model.graph.node)
    assert shapes(list(model.graph.input)) == {
        "image": (onnx.TensorProto.FLOAT, ["batch", 3, 224, 224])
    }
    assert shapes(list(model.graph.output)) == {"logits": (onnx.TensorProto.FLOAT, ["batch", 1000])}
    assert opset(model) == {"": 17}
    assert properties(model)["qaickit.random_weights"] == "true"


def test_resnet50_strides_are_those_of_v1_5() -> None:
    model = make_resnet50(width=4, image=32)
    strided = [
        node.output[0]
        for node in model.graph.node
        if node.op_type == "Conv"
        for attribute in node.attribute
        if attribute.name == "strides" and list(attribute.ints) == [2, 2]
    ]
    assert strided == [
        "stem.conv",
        *(f"stage{stage}.block1.{part}" for stage in (2, 3, 4) for part in ("conv2", "project")),
    ]


def test_resnet50_inner_shapes() -> None:
    model = onnx.shape_inference.infer_shapes(
        make_resnet50(width=4, image=224, batch=2), strict_mode=True, data_prop=True
    )
    found = shapes(list(model.graph.value_info))
    assert [found[f"stage{stage}.block1.add.relu"][1] for stage in (1, 2, 3, 4)] == [
        [2, 16, 56, 56],
        [2, 32, 28, 28],
        [2, 64, 14, 14],
        [2, 128, 7, 7],
    ]
    assert found["head.pool"][1] == [2, 128, 1, 1]


@pytest.mark.parametrize("batch", [1, 3])
def test_resnet50_tiny_runs_and_stays_finite(batch: int) -> None:
    model = make_resnet50(width=8, image=64, classes=12)
    onnx.checker.check_model(model, full_check=True)
    image = np.random.default_rng(1).standard_normal((batch, 3, 64, 64), dtype=np.float32)
    (logits,) = session(model).run(["logits"], {"image": image})
    assert (logits.dtype, logits.shape) == (np.float32, (batch, 12))
    assert np.isfinite(logits).all()
    assert 0 < np.abs(logits).max() < 100


def test_resnet50_activations_fit_half_precision() -> None:
    model = make_resnet50(width=8, image=64)
    relus = [node.output[0] for node in model.graph.node if node.op_type == "Relu"]
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in relus
    )
    image = np.random.default_rng(1).standard_normal((1, 3, 64, 64), dtype=np.float32)
    for name, values in zip(relus, session(model).run(relus, {"image": image}), strict=True):
        assert values.max() > 0, name
        assert values.max() < 1000, name


def test_resnet50_fixed_batch() -> None:
    model = make_resnet50(width=4, image=32, batch=5)
    assert shapes(list(model.graph.input))["image"][1] == [5, 3, 32, 32]
    assert shapes(list(model.graph.output))["logits"][1] == [5, 1000]


def test_resnet50_seed_decides_the_bytes(tmp_path: Path) -> None:
    def build(name: str, seed: int) -> bytes:
        path = build_resnet50(tmp_path / name, seed=seed, width=4, image=32)
        assert path == tmp_path / name
        return path.read_bytes()

    assert build("a.onnx", 0) == build("b.onnx", 0)
    assert build("a.onnx", 0) != build("c.onnx", 1)


def test_resnet50_build_replaces_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "r.onnx"
    path.write_bytes(b"old")
    build_resnet50(str(path), width=4, image=32)
    onnx.checker.check_model(onnx.load(path))
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.onnx"]


def test_resnet50_failed_build_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(QaicKitError, match=r"cannot write the model .*r.onnx.*disk full"):
        build_resnet50(tmp_path / "r.onnx", width=4, image=32)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [("seed", -1, 0), ("batch", 0, 1), ("width", 0, 1), ("image", 0, 1), ("classes", -3, 1)],
)
def test_resnet50_bad_arguments(tmp_path: Path, name: str, value: int, least: int) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        build_resnet50(tmp_path / "r.onnx", **{name: value})
    assert str(caught.value) == f"{name}: expected an integer of {least} or more, got {value}"
    assert list(tmp_path.iterdir()) == []


# --- bert-large-shaped

TINY_BERT = {"layers": 2, "hidden": 32, "heads": 4, "inner": 64, "sequence": 12, "vocabulary": 50}


def test_bert_full_size_has_its_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted without making the 1.3 GB of noise."""
    counts: dict[str, int] = {}

    def count(_: object, name: str, shape: tuple[int, ...], _std: float) -> str:
        counts[name] = math.prod(shape)
        return name

    keep = Builder.constant

    def count_scales(builder: Builder, name: str, values: object) -> str:
        if name.endswith(".scale"):
            counts[name] = np.size(values)
        return keep(builder, name, values)

    monkeypatch.setattr(Builder, "random", count)
    monkeypatch.setattr(Builder, "constant", count_scales)
    model = make_bert()
    assert sum(counts.values()) == 334_094_338
    assert sum(node.op_type == "Softmax" for node in model.graph.node) == 24


@pytest.mark.parametrize("batch", [1, 3])
def test_bert_tiny_is_what_its_formulas_say(batch: int) -> None:
    model = make_bert(**TINY_BERT)
    onnx.checker.check_model(model, full_check=True)
    random = np.random.default_rng(1)
    feeds = {
        "input_ids": random.integers(0, 50, (batch, 12)),
        "attention_mask": np.ones((batch, 12), np.int64),
        "token_type_ids": random.integers(0, 2, (batch, 12)),
    }
    start, end = session(model).run(["start_logits", "end_logits"], feeds)
    assert (start.dtype, start.shape, end.shape) == (np.float32, (batch, 12), (batch, 12))
    assert np.isfinite(start).all()
    assert not np.array_equal(start, end)
    # A token that is masked out changes no answer of the others.
    feeds["attention_mask"][:, -1] = 0
    before = session(model).run(["start_logits"], feeds)[0]
    feeds["input_ids"][:, -1] = (feeds["input_ids"][:, -1] + 1) % 50
    after = session(model).run(["start_logits"], feeds)[0]
    np.testing.assert_allclose(before[:, :-1], after[:, :-1], rtol=1e-5)
    assert not np.allclose(before[:, -1], after[:, -1])


def test_bert_seed_decides_and_the_model_says_that_it_is_random() -> None:
    models = [make_bert(seed=seed, batch=2, **TINY_BERT) for seed in (0, 0, 1)]
    assert models[0] == models[1] != models[2]
    assert properties(models[0])["qaickit.random_weights"] == "true"
    assert shapes(list(models[0].graph.output))["end_logits"] == (onnx.TensorProto.FLOAT, [2, 12])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": 0}, "layers: expected an integer of 1 or more, got 0"),
        ({"hidden": 30}, "hidden: expected a multiple of 4 heads, got 30"),
        ({"positions": 11}, "positions: expected an integer of 12 or more, got 11"),
        ({"batch": 0}, "batch: expected an integer of 1 or more, got 0"),
    ],
)
def test_bert_bad_arguments(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        make_bert(**{**TINY_BERT, **arguments})
    assert str(caught.value) == message


# --- command line


@pytest.fixture
def tiny_resnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the registry's ResNet a tiny one, cached under `tmp_path`; return its path."""

    def builder(path: Path) -> Path:
        return build_resnet50(path, width=4, image=32)

    path = tmp_path / "cache" / "resnet.onnx"
    spec = dataclasses.replace(MODELS["resnet50-shaped"], path=path, builder=builder)
    monkeypatch.setitem(MODELS, "resnet50-shaped", spec)
    return path


def test_cli_list(tiny_resnet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert "digits" in out
    assert "measures speed only  [not built yet]" in out
    assert str(tiny_resnet) in out


def test_cli_build_into_the_cache(tiny_resnet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "resnet50-shaped"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{tiny_resnet}\n"
    assert captured.err == "random weights: this model measures speed only\n"
    assert tiny_resnet.is_file()


def test_cli_build_to_a_path(
    tiny_resnet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "new" / "out.onnx"
    assert main(["build", "resnet50-shaped", "--output", str(output)]) == 0
    assert capsys.readouterr().out == f"{output}\n"
    assert output.is_file()
    assert not tiny_resnet.exists()


def test_cli_build_of_a_shipped_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "digits"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{MODELS['digits'].path}\n"
    assert captured.err == ""


def test_cli_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "digist"]) == 1
    assert "error: model 'digist': not known" in capsys.readouterr().err
    assert main(["build", "digits", "--output", str(tmp_path / "d.onnx")]) == 1
    assert "error: model 'digits' is not built but shipped, at" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
