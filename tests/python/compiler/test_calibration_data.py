"""Sources of calibration data, and how they become whole inputs of a model."""

from __future__ import annotations

import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qaickit.compiler.calibration.data import (
    FirstSamples,
    ModelInput,
    RandomNoise,
    RawFileList,
    Source,
    open_data,
)
from qaickit.compiler.calibration.feeds import feeds
from qaickit.datasets import Dataset
from qaickit.errors import DataLossError, InvalidArgumentError, NotFoundError

F32 = np.dtype(np.float32)
X = ModelInput("x", F32, (2, 3))
IDS = ModelInput("ids", np.dtype(np.int64), (2, 4))


def samples(count: int, dims: tuple[int, ...] = (3,)) -> np.ndarray:
    return np.arange(count * int(np.prod(dims)), dtype=np.float32).reshape(count, *dims)


def joined(source: Source, inputs: list[ModelInput]) -> tuple[np.ndarray, int]:
    found = list(feeds(source, [inputs]))
    for _, feed, _ in found:
        for i in inputs:
            assert feed[i.name].shape == i.dims
            assert feed[i.name].dtype == i.dtype
            assert feed[i.name].flags.c_contiguous
    return np.concatenate([feed["x"] for _, feed, _ in found]), sum(n for *_, n in found)


@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=6), batch=st.integers(1, 4))
def test_samples_come_in_order_whatever_their_batches(sizes: list[int], batch: int) -> None:
    data = samples(sum(sizes))
    ends = np.cumsum(sizes)
    items = [{"x": data[end - size : end]} for end, size in zip(ends, sizes, strict=True)]
    whole, count = joined(open_data(items), [ModelInput("x", F32, (batch, 3))])
    assert count == sum(sizes)
    assert np.array_equal(whole[:count], data)
    # What fills the last batch are the first samples.
    assert len(whole) == -(-count // batch) * batch
    fill = whole[count:]
    assert np.array_equal(fill, data[np.arange(len(fill)) % min(count, batch)])


def test_inputs_that_share_no_batch_are_taken_whole() -> None:
    inputs = [ModelInput("x", F32, (2, 3)), ModelInput("scale", F32, ())]
    items = [{"x": samples(2), "scale": np.array(3, F32)}] * 3
    found = list(feeds(open_data(items), [inputs]))
    assert [count for *_, count in found] == [1, 1, 1]
    assert found[0][1]["scale"].shape == ()


def test_dataset_mapping_and_name(tmp_path: Path) -> None:
    data = samples(5)
    np.save(tmp_path / "x.npy", data)
    np.savez(tmp_path / "all.npz", x=data)
    sources = [
        open_data({"x": data}),
        open_data(Dataset("mine", {"x": data}, None, "here")),
        open_data(tmp_path / "x.npy"),
        open_data(str(tmp_path / "all.npz")),
        open_data({"x": data[i : i + 1]} for i in range(5)),
    ]
    for source in sources:
        whole, count = joined(source, [X])
        assert (count, np.array_equal(whole[:5], data)) == (5, True), source.text
        assert not source.random


def test_digits_by_name() -> None:
    (feed, count), *_ = (
        (f, n) for _, f, n in feeds(open_data("digits"), [[ModelInput("i", F32, (8, 1, 8, 8))]])
    )
    assert (count, feed["i"].min(), feed["i"].max()) == (8, 0.0, 1.0)


@pytest.mark.parametrize("distribution", ["uniform", "gaussian"])
def test_noise(distribution: str) -> None:
    source = RandomNoise(distribution, samples=8)
    assert source.random
    first, second = (
        [feed for _, feed, _ in feeds(source, [[X, IDS]])] for _ in range(2)
    )  # fmt: skip
    assert len(first) == 4
    assert all(np.array_equal(a["x"], b["x"]) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0]["x"], first[1]["x"])
    assert {int(v) for feed in first for v in feed["ids"].flat} == {0, 1}
    below_zero = any(feed["x"].min() < 0 for feed in first)
    assert below_zero == (distribution == "gaussian")


# --- .npz files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_is_read_a_part_at_a_time(tmp_path: Path, save: Any) -> None:
    """32 MB of samples in steps of 32 KB: what is held is far below either."""
    data = np.tile(np.arange(4096, dtype=np.float32), (2048, 1))
    ids = np.arange(2048 * 4, dtype=np.int64).reshape(2048, 4)
    save(tmp_path / "all.npz", x=data, ids=ids)
    inputs = [ModelInput("x", F32, (2, 4096)), IDS]
    source = open_data(str(tmp_path / "all.npz"))
    seen = 0
    tracemalloc.start()
    try:
        for _, feed, count in feeds(source, [inputs]):
            assert np.array_equal(feed["x"], data[:2])
            assert np.array_equal(feed["ids"], ids[seen : seen + 2])
            seen += count
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seen == 2048
    assert peak < 4 << 20


def test_npz_with_nan_names_the_sample(tmp_path: Path) -> None:
    data = samples(6)
    data[5, 1] = np.nan
    np.savez(tmp_path / "all.npz", x=data)
    with pytest.raises(InvalidArgumentError, match=r"all\.npz', sample 4: input 'x'.*1 NaN"):
        list(feeds(open_data(str(tmp_path / "all.npz")), [[X]]))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_npz(tmp_path: Path, save: Any) -> None:
    """A value that changed is found by its checksum, at the latest at the end."""
    path = tmp_path / "all.npz"
    save(path, x=np.random.default_rng(0).random((50_000, 3), np.float32))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x55
    path.write_bytes(content)
    with pytest.raises(DataLossError, match=r"all\.npz': cannot read its arrays: array 'x': "):
        list(feeds(open_data(str(path)), [[X]]))


def npy(dtype: str, shape: tuple[int, ...], data: bytes, version: int = 1) -> bytes:
    """A .npy file that says what it is told to."""
    header = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    size = len(header).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + size + header + data


@pytest.mark.parametrize(
    ("content", "error", "text"),
    [
        (npy("<f4", (2, 3), b"\0" * 20), DataLossError, "says float32 .2, 3., 24 bytes; it has 20"),
        (npy("<f4", (2**40, 3), b"\0" * 24), DataLossError, "array 'x': its header says float32"),
        (npy("<f4", (-2, 3), b""), DataLossError, "array 'x'"),
        (npy("|O", (2, 3), b"\0" * 48), DataLossError, "it holds Python objects"),
        (npy("<f4", (2, 3), b"\0" * 24, 3), DataLossError, "expected 1.0 or 2.0"),
        (b"nothing of the kind", DataLossError, "array 'x'"),
        (npy("<f8", (2, 3), b"\0" * 48), InvalidArgumentError, "got float64 .2, 3.; cast"),
        (npy("<f4", (0, 3), b""), InvalidArgumentError, "at least one sample"),
    ],
)
def test_bad_npz(tmp_path: Path, content: bytes, error: type[Exception], text: str) -> None:
    path = tmp_path / "all.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", content)
    with pytest.raises(error, match=text):
        list(feeds(open_data(str(path)), [[X]]))


def test_npz_in_fortran_order_or_with_other_counts(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", x=np.asfortranarray(samples(2)))
    with pytest.raises(InvalidArgumentError, match="C-contiguous array, got Fortran order"):
        list(feeds(open_data(str(tmp_path / "f.npz")), [[X]]))
    np.savez(tmp_path / "l.npz", x=samples(2), labels=np.arange(3))
    with pytest.raises(InvalidArgumentError, match="input 'x' 2, labels 3"):
        list(feeds(open_data(str(tmp_path / "l.npz")), [[X]]))


# --- raw files -----------------------------------------------------------------------------------


def write_list(directory: Path, lines: list[str]) -> RawFileList:
    path = directory / "inputs.txt"
    path.write_text("\n".join(lines) + "\n")
    return RawFileList(str(path))


def test_raw_files(tmp_path: Path) -> None:
    data, ids = samples(4), np.arange(16, dtype=np.int64).reshape(4, 4)
    for i in range(2):
        data[2 * i : 2 * i + 2].tofile(tmp_path / f"x{i}.raw")
        ids[2 * i : 2 * i + 2].tofile(tmp_path / f"ids{i}.raw")
    source = write_list(tmp_path, ["x0.raw,ids0.raw", "", f" {tmp_path}/x1.raw , ids1.raw "])
    found = list(feeds(source, [[X, IDS]]))
    assert np.array_equal(np.concatenate([f["x"] for _, f, _ in found]), data)
    assert np.array_equal(np.concatenate([f["ids"] for _, f, _ in found]), ids)


def test_raw_files_of_single_samples_fill_a_batch(tmp_path: Path) -> None:
    data = samples(3)
    for i in range(3):
        data[i].tofile(tmp_path / f"{i}.raw")
    whole, count = joined(write_list(tmp_path, ["0.raw", "1.raw", "2.raw"]), [X])
    assert count == 3
    assert np.array_equal(whole, data[[0, 1, 2, 0]])


def test_raw_file_digest_follows_content(tmp_path: Path) -> None:
    samples(2).tofile(tmp_path / "a.raw")
    source = write_list(tmp_path, ["a.raw"])
    before = source.digest()
    assert before == source.digest()
    (samples(2) + 1).tofile(tmp_path / "a.raw")
    assert source.digest() != before


@pytest.mark.parametrize(
    ("lines", "error", "text"),
    [
        (["a.raw", "none.raw"], NotFoundError, r"line 2: cannot read '.*none\.raw' for input 'x'"),
        (["a.raw,a.raw"], InvalidArgumentError, r"line 1: expected 1 files, for 'x'.*got 2"),
        (["short.raw"], InvalidArgumentError, r"multiple of 12 bytes \(float32 \[3\]\), got 10"),
        (["empty.raw"], InvalidArgumentError, "got 0"),
        ([""], InvalidArgumentError, "at least one sample"),
        (["nan.raw"], InvalidArgumentError, r"line 1: input 'x'.*1 NaN and 0 infinite"),
        (["."], InvalidArgumentError, "line 1"),
    ],
)
def test_bad_raw_files(tmp_path: Path, lines: list[str], error: type[Exception], text: str) -> None:
    samples(2).tofile(tmp_path / "a.raw")
    (tmp_path / "short.raw").write_bytes(b"0123456789")
    (tmp_path / "empty.raw").write_bytes(b"")
    np.array([1, np.nan, 3], F32).tofile(tmp_path / "nan.raw")
    with pytest.raises(error, match=text):
        list(feeds(write_list(tmp_path, lines), [[X]]))


def test_bad_lists(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="the list of input files"):
        list(feeds(RawFileList(str(tmp_path / "none.txt")), [[X]]))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataLossError, match="text file"):
        list(feeds(RawFileList(str(tmp_path / "binary")), [[X]]))


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ([], "at least one sample"),
        ([{"x": samples(2)}, {"y": samples(2)}], r"item 1: .*missing \['x'\], unknown \['y'\]"),
        ([{"x": samples(2).astype(np.float64)}], r"item 0: input 'x': expected float32"),
        ([{"x": samples(2, (4,))}], r"\[samples, 3\], got float32 \[2, 4\]"),
        ([{"x": samples(0)}], r"got float32 \[0, 3\]"),
        ([{"x": [1, 2, 3]}], "input 'x': expected a numpy array of numbers, got list"),
        ([{"x": np.array([{}])}], "expected a numpy array of numbers, got object"),
        ([7], "item 0: expected a dict of arrays by input name, got int"),
        ([samples(2)], "item 0: expected a dict"),
        ([{"x": samples(2)}, {"x": np.full((2, 3), np.inf, F32)}], "item 1.*0 NaN and 6 infinite"),
    ],
)
def test_bad_arrays(items: list[Any], text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=text):
        list(feeds(open_data(items), [[X]]))


def test_unequal_counts() -> None:
    items = [{"x": samples(2), "ids": np.zeros((3, 4), np.int64)}]
    with pytest.raises(InvalidArgumentError, match="equally many samples"):
        list(feeds(open_data(items), [[X, IDS]]))


def test_what_is_no_data() -> None:
    with pytest.raises(InvalidArgumentError, match="got int"):
        open_data(7)


def test_digest_of_arrays() -> None:
    one, other = open_data([{"x": samples(2)}]), open_data([{"x": samples(2) + 1}])
    assert one.digest() == open_data([{"x": samples(2)}]).digest() != other.digest()


def test_an_iterator_is_read_once() -> None:
    source = open_data({"x": samples(2)} for _ in range(2))
    assert len(list(feeds(source, [[X]]))) == 2
    with pytest.raises(InvalidArgumentError, match="only once, and it has been"):
        list(feeds(source, [[X]]))


def test_an_iterator_has_the_digest_of_what_was_read() -> None:
    items = [{"x": samples(2) + number} for number in range(3)]
    source = open_data(iter(items))
    nothing = source.digest()
    assert len(list(feeds(source, [[X]]))) == 3
    assert nothing != source.digest() == open_data(items).digest()
    first = FirstSamples(open_data(iter(items)), 4)
    assert len(list(feeds(first, [[X]]))) == 2
    assert first.source.digest() == open_data(items[:2]).digest()


def test_what_has_no_digest_is_refused_as_data_is() -> None:
    for junk in ([7], [{"x": np.array([{}])}], [{"x": [1.0]}]):
        with pytest.raises(InvalidArgumentError, match="calibration data, item 0: "):
            open_data(junk).digest()


def test_arrays_that_the_caller_fills_anew() -> None:
    """Samples that wait for a batch to be full are not what the array holds later."""
    buffer = np.zeros((1, *X.dims[1:]), X.dtype)

    def filled() -> Iterator[dict[str, np.ndarray]]:
        for number in range(X.dims[0] + 1):
            buffer[:] = number
            yield {"x": buffer}

    first, last = feeds(open_data(filled()), [[X]])
    rows = [int(row.flat[0]) for row in first[1]["x"]]
    assert rows == list(range(X.dims[0]))
    assert [int(row.flat[0]) for row in last[1]["x"]][:2] == [X.dims[0], 0]
