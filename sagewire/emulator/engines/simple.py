"""Engines that need no reading: `echo` says what it was told, `scripted` says what the test wrote."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sagewire.emulator.engines.base import Call, Counts, EngineFailure, Piece, Raw, Stop, Text, Thinking, Turn, text_of

__all__ = ["Echo", "Reply", "Scripted"]


class Echo:
    """An engine that answers with the prompt, or with the text of the last user message."""

    blocking = False

    def generate(self, turn: Turn, /) -> Iterator[Piece]:
        """Yield what was said."""
        if turn.prompt is not None:
            yield Text(turn.prompt)
            return
        for message in reversed(turn.messages):
            if message.role == "user":
                yield Text(text_of(message))
                return


@dataclass(frozen=True, slots=True)
class Reply:
    """One scripted answer.

    Args:
        text: The answer's text.
        thinking: Reasoning before it.
        calls: Tool calls after it.
        usage: Prompt and completion tokens to report instead of the emulator's own count.
        finish: The finish reason to report, in the words `stop`, `length`, `tool_calls`, `content_filter`, `error`.
        raw: The body to send instead of all the above, as it is.
        content_type: The media type of `raw`.
        status: The HTTP status of `raw`.
    """

    text: str = ""
    thinking: str = ""
    calls: Sequence[Call] = ()
    usage: tuple[int, int] | None = None
    finish: str | None = None
    raw: bytes | None = None
    content_type: str | None = None
    status: int = 200

    def pieces(self) -> Iterator[Piece]:
        """Yield the answer in the order a model produces it."""
        if self.raw is not None:
            yield Raw(self.raw, self.content_type, self.status)
            return
        if self.thinking:
            yield Thinking(self.thinking)
        if self.text:
            yield Text(self.text)
        yield from self.calls
        if self.usage is not None:
            yield Counts(*self.usage)
        if self.finish is not None:
            yield Stop(self.finish)


ScriptEntry: TypeAlias = str | Reply | Call | Exception


class Scripted:
    """An engine that answers with the given replies, one per request, in order; afterwards it fails.

    Args:
        replies: Texts, `Reply` values, single tool calls, or exceptions (`EngineFailure`) to be raised.
        loop: Start again after the last reply.

    Example:
        >>> engine = Scripted(["one", "two"])
        >>> [piece.text for piece in engine.generate(Turn(prompt="x"))]
        ['one']
    """

    blocking = False

    def __init__(self, replies: Iterable[ScriptEntry] = (), *, loop: bool = False) -> None:
        self._replies = list(replies)
        self._loop = loop
        self._next = 0
        # Requests may be answered on several threads if an engine of the same server blocks.
        self._lock = threading.Lock()

    def add(self, *replies: ScriptEntry) -> None:
        """Append replies to the script."""
        with self._lock:
            self._replies += replies

    def _take(self) -> ScriptEntry:
        with self._lock:
            if self._next >= len(self._replies):
                if not (self._loop and self._replies):
                    raise EngineFailure(f"The script has no more replies: all {len(self._replies)} are used up.")
                self._next = 0
            self._next += 1
            return self._replies[self._next - 1]

    def generate(self, turn: Turn, /) -> Iterator[Piece]:
        """Yield the next reply of the script."""
        entry = self._take()
        if isinstance(entry, Exception):
            raise entry
        if isinstance(entry, Call):
            yield entry
        elif isinstance(entry, Reply):
            yield from entry.pieces()
        else:
            yield Text(entry)
