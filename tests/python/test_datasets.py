"""Datasets: the shipped digits, random data, and files, good and bad."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qaickit.datasets import DATASETS, DEFAULT_RANDOM_COUNT, Dataset, InputSpec, load_dataset
from qaickit.errors import (
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    QaicKitError,
    ResourceExhaustedError,
)

IMAGE = [("image", "float32", (1, 8, 8))]
PAIR = [("ids", "int64", (6,)), ("mask", "float32", (2, 3))]


def pair_arrays(count: int = 4) -> dict[str, Any]:
    return {
        "ids": np.arange(count * 6, dtype=np.int64).reshape(count, 6),
        "mask": np.arange(count * 6, dtype=np.float32).reshape(count, 2, 3),
    }


def save_directory(path: Path, **arrays: Any) -> Path:
    path.mkdir()
    for name, array in arrays.items():
        np.save(path / f"{name}.npy", array)
    return path


def save_npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


# --- Dataset


def test_dataset_counts_its_samples() -> None:
    dataset = Dataset("d", {"x": np.zeros((3, 2))}, np.arange(3), "made here")
    assert len(dataset) == 3
    assert dataset.random is False


@pytest.mark.parametrize(
    ("inputs", "labels", "message"),
    [
        ({}, None, "dataset 'd': expected at least one input, got none"),
        (
            {"x": np.float32(1).reshape(())},
            None,
            "dataset 'd': input 'x': expected the first axis to be the sample, got a single value",
        ),
        (
            {"x": np.zeros((2, 3), np.int8).T},
            None,
            "dataset 'd': input 'x': expected a C-contiguous array, got strides [1, 3] for shape "
            "[3, 2]; store numpy.ascontiguousarray(...) of it",
        ),
        (
            {"x": np.zeros((2, 3)), "y": np.zeros((3, 3))},
            np.zeros(2),
            "dataset 'd': expected equally many samples in all, "
            "got input 'x' 2, input 'y' 3, labels 2",
        ),
        (
            {"x": np.zeros((2, 3))},
            np.array(["a", "b"]),
            "dataset 'd': labels: expected an array of numbers, one entry per sample, got <U1 [2]",
        ),
        ({"x": np.zeros((0, 3))}, None, "dataset 'd': expected at least one sample, got none"),
    ],
)
def test_dataset_refuses(
    inputs: dict[str, np.ndarray[Any, Any]],
    labels: np.ndarray[Any, Any] | None,
    message: str,
) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        Dataset("d", inputs, labels, "made here")
    assert str(caught.value) == message
    assert isinstance(caught.value, ValueError)


# --- digits


def test_digits_fits_the_model() -> None:
    dataset = load_dataset("digits", IMAGE)
    image = dataset.inputs["image"]
    assert image.dtype == np.float32
    assert image.shape == (360, 1, 8, 8)
    assert len(dataset) == 360
    assert image.flags.c_contiguous
    assert (image.min(), image.max()) == (0.0, 1.0)
    assert dataset.labels is not None
    assert dataset.labels.dtype == np.int64
    assert dataset.labels.shape == (360,)
    assert dataset.random is False
    assert "CC BY 4.0" in dataset.source


@pytest.mark.parametrize("dims", [(64,), (8, 8), (8, 8, 1)])
def test_digits_takes_the_shape_and_name_of_the_input(dims: tuple[int, ...]) -> None:
    dataset = load_dataset("digits", [("pixels", np.float32, dims)])
    assert dataset.inputs["pixels"].shape == (360, *dims)


def test_digits_first_samples() -> None:
    whole, part = load_dataset("digits", IMAGE), load_dataset("digits", IMAGE, count=10)
    assert len(part) == 10
    assert whole.labels is not None
    assert part.labels is not None
    np.testing.assert_array_equal(part.inputs["image"], whole.inputs["image"][:10])
    np.testing.assert_array_equal(part.labels, whole.labels[:10])


@pytest.mark.parametrize(
    ("specs", "got"),
    [
        ([("image", "uint8", (1, 8, 8))], "'image' uint8 [1, 8, 8]"),
        ([("image", "float32", (3, 224, 224))], "'image' float32 [3, 224, 224]"),
        (PAIR, "'ids' int64 [6], 'mask' float32 [2, 3]"),
    ],
)
def test_digits_refuses_other_models(
    specs: list[tuple[str, str, tuple[int, ...]]], got: str
) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        load_dataset("digits", specs)
    assert str(caught.value) == (
        "dataset 'digits': expected a model with one float32 input of 64 values per sample, such "
        f"as [1, 8, 8], got {got}; use the model 'digits', or another dataset"
    )


# --- random


def test_random_fits_any_input() -> None:
    floats, wide = ["float16", "float32", "float64"], ["int16", "int32", "int64", "uint32"]
    kinds = [*floats, *wide, "int8", "uint8", "bool"]
    dataset = load_dataset("random", [(kind, kind, (3, 5)) for kind in kinds], count=40)
    assert dataset.random is True
    assert dataset.labels is None
    assert "speed only" in dataset.source
    for kind in kinds:
        array = dataset.inputs[kind]
        assert (array.dtype, array.shape) == (np.dtype(kind), (40, 3, 5))
        assert array.flags.c_contiguous
        assert len(np.unique(array)) > 1
    for kind in floats:
        assert dataset.inputs[kind].min() >= 0
        assert dataset.inputs[kind].max() <= 1
    assert dataset.inputs["uint8"].max() > 127
    assert dataset.inputs["int8"].min() < 0
    for kind in wide:
        assert set(np.unique(dataset.inputs[kind])) == {0, 1}


def test_random_is_seeded() -> None:
    def draw(seed: int) -> bytes:
        return load_dataset("random", IMAGE, count=2, seed=seed).inputs["image"].tobytes()

    assert draw(0) == draw(0)
    assert draw(0) != draw(1)


def test_random_default_count_and_scalar_samples() -> None:
    dataset = load_dataset("random", [InputSpec("x", np.dtype(np.float32), ())])
    assert dataset.inputs["x"].shape == (DEFAULT_RANDOM_COUNT,)


def test_random_refuses_what_it_cannot_make() -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        load_dataset("random", [("text", "S8", (2,))])
    assert str(caught.value) == (
        "dataset 'random': input 'text': expected a float, integer or bool dtype, got |S8; "
        "give the samples as a file"
    )
    with pytest.raises(InvalidArgumentError, match="seed: expected 0 or more, got -1"):
        load_dataset("random", IMAGE, seed=-1)


def test_random_too_large_for_memory() -> None:
    with pytest.raises(ResourceExhaustedError, match=r"input 'x': no memory for float32 .*count"):
        load_dataset("random", [("x", "float32", (1 << 31, 1 << 31, 4))], count=1)


# --- specs and names


@pytest.mark.parametrize("dim", [0, -1, "batch", None, 1.5])
def test_dims_must_be_fixed(dim: Any) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        load_dataset("random", [("x", "float32", (3, dim))])
    assert str(caught.value) == (
        "input 'x': expected fixed sample dims of 1 or more, "
        f"got {dim!r} for axis 1 of {[3, dim]}; choose a size for it"
    )


def test_bad_specs() -> None:
    with pytest.raises(InvalidArgumentError, match="spec_inputs: expected the model's inputs"):
        load_dataset("random", [])
    with pytest.raises(InvalidArgumentError, match="input 'x': expected each name once"):
        load_dataset("random", [("x", "float32", (1,)), ("x", "float32", (1,))])
    with pytest.raises(InvalidArgumentError, match="input 'x': expected a numpy dtype, got 'q4'"):
        load_dataset("random", [("x", "q4", (1,))])


@pytest.mark.parametrize("name", ["digits", "random"])
def test_count_must_be_positive(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="count: expected 1 or more samples, got 0"):
        load_dataset(name, IMAGE, count=0)


def test_count_beyond_the_samples() -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        load_dataset("digits", IMAGE, count=361)
    assert str(caught.value) == (
        "dataset 'digits': expected count of at most its 360 samples, got 361"
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [("digit", "; did you mean 'digits'?"), ("imagenet", ""), ("", "")],
)
def test_unknown_name(
    name: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgumentError) as caught:
        load_dataset(name, IMAGE)
    assert str(caught.value) == (
        f"dataset '{name}': not known; expected one of {', '.join(DATASETS)}, or the path of a "
        f".npz or .npy file or of a directory of .npy files{hint}"
    )


@pytest.mark.parametrize("name", ["gone.npz", "gone.npy", "some/where", Path("gone")])
def test_missing_path(name: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFoundError) as caught:
        load_dataset(name, IMAGE)
    assert isinstance(caught.value, FileNotFoundError)
    assert str(caught.value) == (
        f"dataset '{name}': expected a .npz or .npy file or a directory there, found nothing"
    )


# --- files that fit


def test_npz_with_labels(tmp_path: Path) -> None:
    arrays = pair_arrays()
    path = save_npz(tmp_path / "d.npz", **arrays, labels=np.array([3, 1, 2, 0], np.int32))
    dataset = load_dataset(path, PAIR)
    assert list(dataset.inputs) == ["ids", "mask"]
    for name, array in arrays.items():
        np.testing.assert_array_equal(dataset.inputs[name], array)
        assert dataset.inputs[name].dtype == array.dtype
    assert dataset.labels is not None
    assert dataset.labels.dtype == np.int32
    assert dataset.labels.tolist() == [3, 1, 2, 0]
    assert dataset.name == str(path)
    assert dataset.source == str(path.resolve())
    assert dataset.random is False


def test_npz_without_labels_and_compressed(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez_compressed(path, **pair_arrays())
    dataset = load_dataset(str(path), PAIR, count=2)
    assert dataset.labels is None
    assert len(dataset) == 2


def test_npy_is_mapped_and_read_only(tmp_path: Path) -> None:
    path = tmp_path / "samples.npy"
    array = np.arange(128, dtype=np.float32).reshape(2, 1, 8, 8)
    np.save(path, array)
    for dataset in (load_dataset(path, IMAGE), load_dataset(path, IMAGE, count=1)):
        image = dataset.inputs["image"]
        assert isinstance(image, np.memmap)
        assert not image.flags.writeable
        assert image.flags.c_contiguous
        np.testing.assert_array_equal(image, array[: len(dataset)])


def test_directory_is_mapped(tmp_path: Path) -> None:
    path = save_directory(tmp_path / "d", **pair_arrays(), labels=np.arange(4))
    (path / "NOTES.txt").write_text("not an array")
    dataset = load_dataset(path, PAIR)
    assert all(isinstance(array, np.memmap) for array in dataset.inputs.values())
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [0, 1, 2, 3]


def test_directory_named_like_a_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_directory(Path("digits"), **pair_arrays())
    assert list(load_dataset("./digits", PAIR).inputs) == ["ids", "mask"]


def test_input_called_labels_is_an_input(tmp_path: Path) -> None:
    path = save_npz(tmp_path / "d.npz", labels=np.zeros((2, 3), np.int64))
    dataset = load_dataset(path, [("labels", "int64", (3,))])
    assert list(dataset.inputs) == ["labels"]
    assert dataset.labels is None


# --- files that do not


@pytest.mark.parametrize("kind", ["npz", "directory"])
@pytest.mark.parametrize(
    ("arrays", "missing", "unknown", "advice"),
    [
        (("ids",), "'mask'", "none", "name each array as the model names its input"),
        (("ids", "mask", "x"), "none", "'x'", "take the others out"),
        (("ids", "msk"), "'mask'", "'msk'", "name each array as the model names its input"),
    ],
)
def test_names_must_match(
    kind: str, arrays: tuple[str, ...], missing: str, unknown: str, advice: str, tmp_path: Path
) -> None:
    content = {name: np.zeros((2, 6), np.int64) for name in arrays}
    if kind == "npz":
        path = save_npz(tmp_path / "d.npz", **content)
    else:
        path = save_directory(tmp_path / "d", **content)
    listed = ", ".join(f"'{name}'" for name in arrays)
    with pytest.raises(InvalidArgumentError) as caught:
        load_dataset(path, PAIR)
    assert str(caught.value) == (
        f"dataset '{path}': expected arrays 'ids', 'mask' and at most 'labels' beside, "
        f"got {listed}; missing {missing}, unknown {unknown}; {advice}"
    )


@pytest.mark.parametrize(
    ("array", "got", "advice"),
    [
        (np.zeros((2, 1, 8, 8)), "float64 [2, 1, 8, 8]", "cast with .astype('float32')"),
        (np.zeros((2, 1, 8, 8), ">f4"), ">f4 [2, 1, 8, 8]", "cast with .astype('float32')"),
        (np.zeros((2, 8, 8), np.float32), "float32 [2, 8, 8]", "the dims of one sample"),
        (np.zeros((2, 64), np.float32), "float32 [2, 64]", "the dims of one sample"),
        (np.float32(1).reshape(()), "float32 []", "the dims of one sample"),
    ],
)
@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_nothing_is_cast_or_reshaped(
    suffix: str, array: np.ndarray[Any, Any], got: str, advice: str, tmp_path: Path
) -> None:
    path = tmp_path / f"d{suffix}"
    if suffix == ".npz":
        np.savez(path, image=array)
    else:
        np.save(path, array)
    with pytest.raises(InvalidArgumentError) as caught:
        load_dataset(path, IMAGE)
    assert str(caught.value).startswith(
        f"dataset '{path}': input 'image': expected float32 [samples, 1, 8, 8], got {got}; {advice}"
    )


def test_scalar_where_samples_are_scalars(tmp_path: Path) -> None:
    path = tmp_path / "d.npy"
    np.save(path, np.float32(1))
    with pytest.raises(InvalidArgumentError, match=r"expected float32 \[samples\], got float32 \["):
        load_dataset(path, [("x", "float32", ())])


def test_numbers_of_samples_differ(tmp_path: Path) -> None:
    arrays = pair_arrays()
    path = save_npz(tmp_path / "d.npz", ids=arrays["ids"][:3], mask=arrays["mask"])
    with pytest.raises(InvalidArgumentError, match="got input 'ids' 3, input 'mask' 4"):
        load_dataset(path, PAIR)
    path = save_npz(tmp_path / "e.npz", **arrays, labels=np.arange(5))
    with pytest.raises(InvalidArgumentError, match="input 'mask' 4, labels 5"):
        load_dataset(path, PAIR)


def test_no_samples(tmp_path: Path) -> None:
    path = save_npz(tmp_path / "d.npz", **pair_arrays(0))
    with pytest.raises(InvalidArgumentError, match="expected at least one sample, got none"):
        load_dataset(path, PAIR)


def test_fortran_order_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.npy"
    np.save(path, np.asfortranarray(np.arange(128, dtype=np.float32).reshape(2, 1, 8, 8)))
    with pytest.raises(InvalidArgumentError, match="expected a C-contiguous array, got strides"):
        load_dataset(path, IMAGE)


def test_npy_for_a_model_of_two_inputs(tmp_path: Path) -> None:
    path = tmp_path / "d.npy"
    np.save(path, np.zeros((2, 6), np.int64))
    with pytest.raises(InvalidArgumentError) as caught:
        load_dataset(path, PAIR)
    assert str(caught.value) == (
        f"dataset '{path}': a .npy file holds one input, the model has 2 ('ids', 'mask'); "
        "give a .npz file or a directory"
    )


def test_other_suffix(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("1,2")
    with pytest.raises(InvalidArgumentError, match=r"directory of \.npy files, got .* '\.csv'"):
        load_dataset(path, IMAGE)


def test_directory_without_arrays(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="got none; missing 'image', unknown none"):
        load_dataset(tmp_path, IMAGE)


class _Mine:
    """Pickles to a call that makes a file, so that unpickling would be seen."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("kind", ["npz", "npy", "pickle.npz", "pickle.npy"])
def test_pickles_are_refused_and_not_run(kind: str, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    path = tmp_path / f"d.{kind}"
    objects = np.array([_Mine(mark), None], dtype=object)
    if kind == "npz":
        np.savez(path, image=objects)
    elif kind == "npy":
        np.save(path, objects, allow_pickle=True)
    else:
        path.write_bytes(pickle.dumps(objects))
    with pytest.raises(DataLossError, match="arrays of Python objects are refused") as caught:
        load_dataset(path, IMAGE)
    assert isinstance(caught.value, ValueError)
    assert str(path) in str(caught.value)
    assert not mark.exists()


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_every_truncation_is_an_error_of_ours(suffix: str, tmp_path: Path) -> None:
    whole = tmp_path / f"whole{suffix}"
    array = np.arange(64, dtype=np.float32).reshape(1, 1, 8, 8)
    if suffix == ".npz":
        np.savez(whole, image=array)
    else:
        np.save(whole, array)
    content = whole.read_bytes()
    assert len(load_dataset(whole, IMAGE)) == 1
    path = tmp_path / f"cut{suffix}"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(DataLossError, match="cannot read it as a"):
            load_dataset(path, IMAGE)


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_no_damaged_byte_escapes_as_another_error(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"d{suffix}"
    array = np.arange(64, dtype=np.float32).reshape(1, 1, 8, 8)
    if suffix == ".npz":
        np.savez_compressed(path, image=array)
    else:
        np.save(path, array)
    content = bytearray(path.read_bytes())
    refused = 0
    for position in range(len(content)):
        for flip in (0x01, 0x80, 0xFF):
            damaged = bytearray(content)
            damaged[position] ^= flip
            path.write_bytes(damaged)
            try:
                load_dataset(path, IMAGE)
            except QaicKitError:
                refused += 1
    assert refused > 100


def test_header_of_a_huge_array(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    header = tmp_path / "header"
    with header.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (1 << 45, 1, 8, 8)}
        )
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(header, "image.npy")
    with pytest.raises((ResourceExhaustedError, DataLossError), match="cannot read array 'image'"):
        load_dataset(path, IMAGE)


@pytest.mark.parametrize("member", ["image", "image.npy"])
def test_npz_member_that_is_no_array(member: str, tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, "only text, which numpy.load gives back as bytes")
    with pytest.raises(DataLossError, match=r"cannot read array 'image': not in the \.npy format"):
        load_dataset(path, IMAGE)


def test_names_in_messages_are_escaped(tmp_path: Path) -> None:
    path = save_npz(tmp_path / "d.npz", **{"\x1b[2J": np.zeros((1, 1, 8, 8), np.float32)})
    with pytest.raises(InvalidArgumentError, match=r"unknown '\\x1b\[2J'"):
        load_dataset(path, IMAGE)


def test_file_of_the_other_kind(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((1, 1, 8, 8), np.float32))
    (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    with pytest.raises(DataLossError, match=r"cannot read it as a \.npz archive"):
        load_dataset(tmp_path / "a.npz", IMAGE)
    np.savez(tmp_path / "b.npz", image=np.zeros((1, 1, 8, 8), np.float32))
    (tmp_path / "b.npz").rename(tmp_path / "b.npy")
    with pytest.raises(DataLossError, match=r"cannot read it as a \.npy file"):
        load_dataset(tmp_path / "b.npy", IMAGE)


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_permission_denied(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"d{suffix}"
    path.write_bytes(b"")

    # Root reads everything, so the refusal is made here.
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", os.fspath(path))

    target = "zipfile.ZipFile" if suffix == ".npz" else "numpy.lib.format.open_memmap"
    monkeypatch.setattr(target, refuse)
    with pytest.raises(PermissionDeniedError, match=r"cannot read it as a .*Permission denied"):
        load_dataset(path, IMAGE)
