"""System messages for families without system turns: they open the next user turn, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sagewire.types import Message, TextPart
from sagewire.types.conversation import Part

__all__ = ["folded", "joined"]


def folded(messages: Sequence[Message]) -> Iterator[tuple[Message, ...]]:
    """Yield the conversation with fewer system messages: first without the later ones, then without any.

    If the last ones follow a tool's result, they stand in the user's turn before it in a last form.

    Example:
        >>> [[turn.role for turn in turns] for turns in folded([Message("system", "s"), Message("user", "u")])]
        [['user']]
    """
    roles = [message.role for message in messages]
    if "system" in roles[1:]:
        yield _fold(messages, keep_first=roles[0] == "system")
    if roles[:1] == ["system"]:
        yield _fold(messages, keep_first=False)
    if roles[-1:] == ["system"] and "user" in roles:
        place = max(index for index, role in enumerate(roles) if role == "user")
        before = [*messages[:place], *(turn for turn in messages[place + 1 :] if turn.role == "system")]
        moved = (*before, *(turn for turn in messages[place:] if turn.role != "system"))
        yield _fold(moved, keep_first=roles[0] == "system")
        yield _fold(moved, keep_first=False)


def _fold(messages: Sequence[Message], *, keep_first: bool) -> tuple[Message, ...]:
    turns: list[Message] = []
    waiting: Message | None = None
    for index, message in enumerate(messages):
        if message.role == "system" and not (keep_first and index == 0):
            asked = replace(message, role="user")
            waiting = asked if waiting is None else joined(waiting, asked)
            continue
        if waiting is not None and message.role == "user":
            message = joined(waiting, message)
        elif waiting is not None:
            _close(turns, waiting)
        waiting = None
        turns.append(message)
    if waiting is not None:
        _close(turns, waiting)
    return tuple(turns)


def _close(turns: list[Message], waiting: Message) -> None:
    """Add a system text that no user turn follows."""
    if turns and turns[-1].role == "user":
        turns[-1] = joined(turns[-1], waiting)
    else:
        turns.append(waiting)


def joined(first: Message, second: Message) -> Message:
    """Return two messages as one, an empty line between their texts."""
    if isinstance(first.content, str) and isinstance(second.content, str):
        return replace(second, content="\n\n".join(filter(None, (first.content, second.content))))
    return replace(second, content=(*_parts(first), TextPart("\n\n"), *_parts(second)))


def _parts(message: Message) -> tuple[Part, ...]:
    return (TextPart(message.content),) if isinstance(message.content, str) else tuple(message.content)
