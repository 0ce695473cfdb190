"""Words for messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """ "; did you mean 'x'?" for the nearest of `known`, or nothing when none is near."""
    matches = difflib.get_close_matches(given, list(known), n=1)
    return f"; did you mean '{matches[0]}'?" if matches else ""
