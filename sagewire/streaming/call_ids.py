"""Ids of tool calls that do not come twice in a conversation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sagewire.streaming.accumulate import made_up_id
from sagewire.streaming.text import DeltaStage
from sagewire.types import Delta, ToolCallDelta

__all__ = ["CallIdStage"]


class CallIdStage(DeltaStage):
    """Numbers calls on where `call_0` was a call of an earlier turn: results are matched with calls by their ids.

    That concerns calls to which the server gave no id, and servers that count from `call_0` in every turn. Any other id
    stays as it is.

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
            place = (delta.choice, delta.index)
            if delta.cancelled:
                self._begun.discard(place)
            elif place not in self._begun:
                self._begun.add(place)
                delta = self._renumbered(delta)
        out.append(delta)

    def _renumbered(self, delta: ToolCallDelta) -> ToolCallDelta:
        name = made_up_id(delta.choice, delta.index)
        if (delta.id or name) != name or name not in self._taken:
            return delta
        number = self._first + delta.index
        while name in self._taken:
            name = made_up_id(delta.choice, number)
            number += 1
        self._taken.add(name)
        return replace(delta, id=name)
