"""Streamed answers, and the writers of their pieces as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

import orjson

from sagewire.types import Delta, Reply

__all__ = ["ChunkEvents", "Events", "Stream"]


class Stream(Protocol):
    """A reply stream of `AsyncClient.stream` or `stream_complete`, or one of events that are written already."""

    def __aiter__(self) -> AsyncIterator[Any]: ...

    @property
    def reply(self) -> Reply:
        """The answer as far as it was read: its token counts, and what the service said about it."""
        ...

    async def close(self) -> None:
        """Stop reading."""
        ...


class Events(Protocol):
    """The writer of deltas as the bytes of server-sent events."""

    def feed(self, delta: Delta) -> bytes:
        """Return the events for one more delta."""
        ...

    def end(self) -> bytes:
        """Return the last events."""
        ...

    def error(self, body: dict[str, Any]) -> bytes:
        """Return the event for an error in the middle of an answer."""
        ...


class _Chunks(Protocol):
    def encode(self, delta: Delta, /) -> list[dict[str, Any]]: ...

    def close(self) -> list[dict[str, Any]]: ...


class ChunkEvents:
    """OpenAI's older streams: unnamed events with a chunk each, then `[DONE]`."""

    def __init__(self, chunks: _Chunks) -> None:
        self._chunks = chunks

    def feed(self, delta: Delta) -> bytes:
        """Return the events for one more delta."""
        return b"".join([b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in self._chunks.encode(delta)])

    def end(self) -> bytes:
        """Return the last events."""
        return (
            b"".join([b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in self._chunks.close()])
            + b"data: [DONE]\n\n"
        )

    def error(self, body: dict[str, Any]) -> bytes:
        """Return the event for an error; OpenAI's clients raise on an `error` field whatever the event's name."""
        return b"event: error\ndata: " + orjson.dumps(body) + b"\n\n"
