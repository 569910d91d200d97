"""Ids of tool calls, unique within a conversation."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import replace

from sagewire.streaming.accumulate import made_up_id
from sagewire.streaming.text import DeltaStage
from sagewire.types import Delta, ToolCallDelta

__all__ = ["CallIdStage"]


class CallIdStage(DeltaStage):
    """Gives a call another id where an earlier turn has a call of the same: results are matched with calls by ids.

    That concerns calls to which the server gave no id, servers that count from `call_0` (`call_f_0`) in every
    turn, and ids that are made of the time in seconds. Any other id stays as it is.

    Args:
        taken: The ids of calls that are part of the conversation.

    Example:
        >>> CallIdStage(["call_0"]).feed(ToolCallDelta(0, None, "get_weather"))
        [ToolCallDelta(index=0, id='call_1', name='get_weather', arguments='', choice=0, cancelled=False)]
    """

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._first = len(self._taken)
        self._begun: set[tuple[int, int]] = set()

    def _decode(self, delta: Delta, out: list[Delta]) -> None:
        if isinstance(delta, ToolCallDelta):
            key = (delta.choice, delta.index)
            if delta.cancelled:
                self._begun.discard(key)
            elif key not in self._begun:
                self._begun.add(key)
                delta = self._renamed(delta)
        out.append(delta)

    def _renamed(self, delta: ToolCallDelta) -> ToolCallDelta:
        own = delta.id or made_up_id(delta.choice, delta.index)
        if own not in self._taken or not _is_made_up(own):
            return delta
        name, number = own, self._first + delta.index
        while name in self._taken:
            name = _numbered(own, number, delta.choice)
            number += 1
        self._taken.add(name)
        return replace(delta, id=name)


def _numbered(own: str, number: int, choice: int) -> str:
    if _COUNTED.fullmatch(own):
        return made_up_id(choice, number)
    if counted := _ENDS_IN_A_COUNT.fullmatch(own):
        return f"{counted[1]}{number}"
    # As short as before: Mistral's chat templates refuse any other kind of id.
    return hashlib.sha256(f"{own}:{number}".encode()).hexdigest()[:9]


_COUNTED = re.compile(r"call_\d+(_\d+)?")
_ENDS_IN_A_COUNT = re.compile(r"(.*[_:.-])\d{1,3}")
_HASHED = re.compile(r"[0-9a-f]{9}")


def _is_made_up(call_id: str) -> bool:
    return bool(_ENDS_IN_A_COUNT.fullmatch(call_id) or _HASHED.fullmatch(call_id))
