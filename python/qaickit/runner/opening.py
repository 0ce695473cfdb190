"""Which device `qaic-runner` runs on, and with which settings."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

from qaickit import _core
from qaickit._files import locate_model
from qaickit.errors import (
    InvalidArgumentError,
    NotFoundError,
    QaicKitError,
    ResourceExhaustedError,
    UnavailableError,
)
from qaickit.network_desc import decode
from qaickit.runner.arguments import OPTIONS
from qaickit.session import BACKEND_VARIABLE, Session

_CARD = "qaic"
_CARD_SETTINGS = ("threads_per_queue", "submit_retry_timeout_ms", "submit_num_retries")
# What only another device of a pool can help against.
_OF_THE_DEVICE = (NotFoundError, ResourceExhaustedError, UnavailableError)
# The steps between buffers and card, of an input and of an output, in the order of the vendor's io
# sets, which are named so.
_STAGES = {
    "quantize": ("QuantizeTransform", "DequantizeTransform"),
    "transpose": ("TransposeTransform", "TransposeTransform"),
    "d32convert": ("ConvertToD32Transform", "ConvertFromD32Transform"),
    "convert": ("ConvertTransform", "ConvertTransform"),
    "dma": ("CopyDMABufferTransform", "CopyDMABufferTransform"),
}

Warn = Callable[[str], None]


def open_session(args: argparse.Namespace, warn: Warn) -> Session:
    """The session, set up on the first device of the pool that takes it.

    A card is told what only cards know; for others it is left out, with a warning.
    """
    pool = _pool(args)
    locate_model(args.test_data)  # what is wrong with it is not wrong with a device
    for place, ids in enumerate(pool):
        try:
            return _open_on(ids, args, warn)
        except _OF_THE_DEVICE as error:
            if place == len(pool) - 1:
                raise
            warn(f"device {ids[0]} is passed over: {error}")
    raise AssertionError("a pool has one device at least")


def _pool(args: argparse.Namespace) -> list[list[int]]:
    """Each is a device, or those of a map in order. All cards where none is named."""
    if args.device is not None:
        return [[args.device]]
    if args.device_list is None:
        cards = _cards() if _is_card(args.backend) else []
        return [[card["id"]] for card in cards] or [[0]]
    maps = [part.split(":") for part in args.device_list.split(",")]
    if not all(id.isascii() and id.isdigit() for ids in maps for id in ids):
        raise InvalidArgumentError(
            f"device list '{args.device_list}': expected ids, as in 0,1 (one of these) or 0:1 (a "
            "program over these)"
        )
    return [[int(id) for id in ids] for ids in maps]


def _open_on(ids: list[int], args: argparse.Namespace, warn: Warn) -> Session:
    arguments: dict[str, Any] = {
        "backend": args.backend,
        "dev_id": ids[0],
        "num_activations": args.num_activations,
        "set_size": args.set_size,
    }
    if _is_card(args.backend):
        arguments["device_settings"] = _card_settings(ids, args, warn)
    session = Session(args.test_data, **arguments)
    try:
        session.setup()
    except QaicKitError:
        session.close()
        raise
    if session.backend != _CARD:
        _tell_host(session, ids, args, warn)
    return session


def _is_card(backend: str | None) -> bool:
    """Whether the program will run on one, by the rules of a session."""
    name = backend or os.environ.get(BACKEND_VARIABLE)
    if name:
        return name == _CARD
    return any(not card["simulated"] for card in _cards())


def _cards() -> list[_core.DeviceDict]:
    return next(row["devices"] for row in _core.backends() if row["name"] == _CARD)


def _card_settings(ids: list[int], args: argparse.Namespace, warn: Warn) -> dict[str, str]:
    settings = {
        name: str(value) for name in _CARD_SETTINGS if (value := getattr(args, name)) is not None
    }
    if len(ids) > 1:
        settings["dev_mapping"] = ":".join(map(str, ids))
    if args.pre_post_processing == "off":
        stage = _last_stage(locate_model(args.test_data).path)
        if stage is None:
            warn("--pre-post-processing off: the program has no such stages")
        else:
            settings["skip_stage"] = stage
    return settings


def _tell_host(session: Session, ids: list[int], args: argparse.Namespace, warn: Warn) -> None:
    """What only cards have was left out."""
    given = [name for name in _CARD_SETTINGS if getattr(args, name) is not None]
    if given:
        options = ", ".join(row.names[-1] for row in OPTIONS if row.dest in given)
        warn(f"{options}: only a card has that; {session.backend} does without")
    if len(ids) > 1:
        warn(f"device map: {session.backend} is no card, and runs the whole program on one device")
    if args.pre_post_processing == "off":
        warn(
            f"--pre-post-processing off: {session.backend} has no such stages; its buffers are "
            "those of the program"
        )


def _last_stage(qpc_path: str) -> str | None:
    """The last of the program's stages: with it all are skipped. None: it has none."""
    present = {segment["name"] for segment in _core.read_qpc(qpc_path)["segments"]}
    if "networkdesc.bin" not in present:
        return None
    network = decode(_core.qpc_segment(qpc_path, "networkdesc.bin"))
    found = [
        stage
        for stage, kinds in _STAGES.items()
        if any(
            step.get("kind") == kind
            for kind, side in zip(kinds, ("inputs", "outputs"), strict=True)
            for binding in network.get(side, ())
            for step in binding.get("transformseq", ())
        )
    ]
    return found[-1] if found else None
