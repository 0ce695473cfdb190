"""Top-1 accuracy from LoadGen's own accuracy log, in the manner of MLPerf's accuracy-imagenet."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qaickit._documents import parse_json
from qaickit._files import write_file
from qaickit.errors import DataLossError, InvalidArgumentError
from qaickit.loadgen.results import ACCURACY_LOG

__all__ = [
    "ACCURACY_FILE",
    "Accuracy",
    "check_labels",
    "read_accuracy_log",
    "score",
    "top1",
    "write_accuracy_file",
]

ACCURACY_FILE = "accuracy.txt"
_LABEL = struct.Struct("<f")
_SHOWN = 5


@dataclass(frozen=True)
class Accuracy:
    """Right answers among all samples of a dataset."""

    good: int
    total: int

    @property
    def percent(self) -> float:
        """Top-1 in percent."""
        return 100.0 * self.good / self.total

    def __str__(self) -> str:
        return f"accuracy={self.percent:.3f}%, good={self.good}, total={self.total}"


def check_labels(labels: npt.NDArray[Any] | None, workload: str, dataset: str) -> npt.NDArray[Any]:
    """Return the labels, or say before a run why it could not be scored.

    Raises:
        InvalidArgumentError: no labels, not one a sample, or a workload without top-1.
    """
    if workload != "classification":
        raise InvalidArgumentError(
            f"--mode accuracy: no accuracy is defined for the workload '{workload}'; "
            "use --workload classification, or --mode performance"
        )
    if labels is None:
        raise InvalidArgumentError(
            f"--mode accuracy: the dataset '{dataset}' has no labels to score against; "
            "give one with labels by --dataset, or use --mode performance"
        )
    if labels.ndim != 1:
        raise InvalidArgumentError(
            f"--mode accuracy: expected one label a sample, the dataset '{dataset}' has labels of "
            f"shape {list(labels.shape)}"
        )
    return labels


def read_accuracy_log(output_dir: Path) -> list[dict[str, Any]]:
    """Read the entries of mlperf_log_accuracy.json, in LoadGen's order.

    Raises:
        DataLossError: the file is missing, cut off, or holds something else.
    """
    path = output_dir / ACCURACY_LOG
    try:
        entries = parse_json(path.read_bytes())
    except OSError as error:
        raise DataLossError(f"{path}: cannot read LoadGen's log: {error.strerror}") from None
    except ValueError:
        raise DataLossError(
            f"{path}: expected a JSON array; the file is cut off or damaged"
        ) from None
    if not isinstance(entries, list) or not all(_is_entry(entry) for entry in entries):
        raise DataLossError(f"{path}: expected entries with 'seq_id', 'qsl_idx' and 'data'")
    return entries


def _is_entry(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("qsl_idx"), int)
        and isinstance(entry.get("data"), str)
    )


def top1(entries: Iterable[Mapping[str, Any]]) -> dict[int, int]:
    """Return the label of each sample index. Of entries with one index the first counts.

    Raises:
        DataLossError: an answer is not one finite float32, or is missing.
    """
    labels: dict[int, int] = {}
    for entry in entries:
        index = entry["qsl_idx"]
        if index not in labels:
            labels[index] = _label(index, entry["data"])
    return labels


def _label(index: int, data: str) -> int:
    try:
        payload = bytes.fromhex(data)
    except ValueError:
        raise DataLossError(f"sample {index}: its answer in the log is not hexadecimal") from None
    if not payload:
        raise DataLossError(f"sample {index}: no answer in the log; it failed in the run")
    if len(payload) != _LABEL.size:
        raise DataLossError(
            f"sample {index}: expected an answer of {_LABEL.size} bytes (a label as float32), "
            f"got {len(payload)}"
        )
    (value,) = _LABEL.unpack(payload)
    if not np.isfinite(value):
        raise DataLossError(f"sample {index}: expected a label, got {value}")
    return int(value)


def score(
    entries: list[dict[str, Any]], labels: npt.NDArray[Any], *, spare_entries: int = 0
) -> Accuracy:
    """Score the answers of a run that had every sample of a dataset.

    Args:
        entries: from `read_accuracy_log`.
        labels: the right one for each sample.
        spare_entries: how many more entries than samples there may be (MultiStream pads its last
            query with samples that it has had).

    Raises:
        DataLossError: a sample without an answer, an answer without a sample, or too many.
    """
    answers = top1(entries)
    total = len(labels)
    _check_indices(answers, total)
    spare = len(entries) - total
    if spare > spare_entries:
        raise DataLossError(
            f"{ACCURACY_LOG}: expected {total} answers, got {len(entries)}: "
            f"{spare} samples were answered twice"
        )
    good = sum(answers[index] == label for index, label in enumerate(labels.tolist()))
    return Accuracy(good=good, total=total)


def _check_indices(answers: Mapping[int, int], total: int) -> None:
    expected = range(total)
    missing = [index for index in expected if index not in answers]
    unknown = [index for index in answers if index not in expected]
    for indices, what in ((missing, "have no answer"), (unknown, "are not in the dataset")):
        if indices:
            shown = ", ".join(str(index) for index in indices[:_SHOWN])
            more = ", ..." if len(indices) > _SHOWN else ""
            raise DataLossError(
                f"{ACCURACY_LOG}: {len(indices)} samples of a dataset of {total} {what}: "
                f"{shown}{more}"
            )


def write_accuracy_file(output_dir: Path, accuracy: Accuracy) -> Path:
    """Write accuracy.txt, where MLPerf's tools look for the accuracy of a run."""
    path = output_dir / ACCURACY_FILE
    write_file(path, f"{accuracy}\n".encode(), "the accuracy")
    return path
