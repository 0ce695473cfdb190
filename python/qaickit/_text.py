"""Words for messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def printable(text: str) -> str:
    """The text with what is neither printable nor a new line escaped.

    Names come from files, and nothing in them may steer a terminal.
    """
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


def nearest(given: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The name in `known` that is most like `given`; None where none is, `cutoff` being 0 to 1."""
    matches = difflib.get_close_matches(given, list(known), n=1, cutoff=cutoff)
    return matches[0] if matches else None


def did_you_mean(given: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """ "; did you mean 'x'?" for the `nearest` of `known`, or nothing when none is near."""
    found = nearest(given, known, cutoff=cutoff)
    return "" if found is None else f"; did you mean '{found}'?"
