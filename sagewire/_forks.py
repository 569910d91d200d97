"""Locks and connections in a forked child: what the parent's other threads held there would stay held for ever."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet

__all__ = ["reset_in_child"]


class _Resettable(Protocol):
    def reset_after_fork(self) -> None: ...


_known: WeakSet[_Resettable] = WeakSet()


def reset_in_child(thing: _Resettable) -> None:
    """Have `thing.reset_after_fork()` called in every process forked from this one, as long as `thing` lives."""
    _known.add(thing)


def _reset() -> None:
    for thing in list(_known):
        thing.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset)
