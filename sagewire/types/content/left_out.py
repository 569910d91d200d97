"""The log of what a message loses on its way to a server: each thing is told of once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["note_left_out", "say_left_out"]

_log = logging.getLogger("sagewire")
_SAID: set[tuple[str, str]] = set()
# Keys of parts that say nothing to a server.
_BOOKKEEPING = {"type", "id", "index"}
# A type and a value: nearly all parts have no more.
_USUAL = 2


def say_left_out(what: str, names: Iterable[str]) -> None:
    """Log the names of things that are not sent on, each once.

    Args:
        what: Their kind: "fields of message parts", for example.
        names: Their names.
    """
    new = sorted(name for name in {*names} if (what, name) not in _SAID)
    if new:
        _SAID.update((what, name) for name in new)
        _log.info("%s that are not sent on are left out: %s", what, new)


def note_left_out(part: Mapping[str, Any], *carried: str) -> None:
    """Log, once for each name, the fields of a part that are not sent on: `cache_control` and the like."""
    if len(part) <= _USUAL:
        return
    names = {str(name) for name, value in part.items() if value is not None} - _BOOKKEEPING - {*carried}
    say_left_out("fields of message parts", names)
