"""Turns of assistants in the simpler forms that families know: one call in a message, and no text beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sagewire.types import Message

__all__ = ["simpler"]


def simpler(messages: Sequence[Message]) -> Iterator[tuple[Message, ...]]:
    """Yield the conversation in forms that say the same: one call in each message, then its text before it as well.

    Example:
        >>> from sagewire.types import ToolCall
        >>> called = Message("assistant", "Let me see.", tool_calls=(ToolCall("a", "f", "{}"),))
        >>> [[turn.text for turn in turns] for turns in simpler([called])]
        [['Let me see.', '']]
    """
    known = tuple(messages)
    for form in (_one_call_each(known), _text_before_calls(_one_call_each(known))):
        if form != known:
            yield form
            known = form


def _one_call_each(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return the conversation with every call followed by its own result; calls without one stay together."""
    found: list[Message] = []
    place = 0
    while place < len(messages):
        message = messages[place]
        end = place = place + 1
        if len(message.tool_calls) > 1:
            while end < len(messages) and messages[end].role == "tool":
                end += 1
        results = messages[place:end]
        found += _split(message, results) or (message, *results)
        place = end
    return tuple(found)


def _split(message: Message, results: Sequence[Message]) -> list[Message] | None:
    ids = [call.id for call in message.tool_calls]
    if not results or len(results) != len(ids):
        return None
    by_id = {result.tool_call_id: result for result in results}
    if len(by_id) == len(ids) and by_id.keys() == {*ids}:
        results = [by_id[call_id] for call_id in ids]
    elif any(result.tool_call_id not in (None, "", *ids) for result in results):
        return None
    found: list[Message] = []
    for number, (call, result) in enumerate(zip(message.tool_calls, results, strict=True)):
        # What was said and thought came before all of the calls.
        said = message if number == 0 else replace(message, content="", thinking=None)
        found += [replace(said, tool_calls=(call,)), result]
    return found


def _text_before_calls(messages: Sequence[Message]) -> tuple[Message, ...]:
    found: list[Message] = []
    for message in messages:
        if message.tool_calls and message.text.strip():
            found += [
                replace(message, tool_calls=(), thinking=None),
                replace(message, content=""),
            ]
        else:
            found.append(message)
    return tuple(found)
