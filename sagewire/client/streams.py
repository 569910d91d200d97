"""The streams that `Client.stream` and `AsyncClient.stream` return: deltas, and the reply they add up to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Self

from sagewire.client.runner import CallRun, run, run_async
from sagewire.transports.base import AsyncTransport, Transport
from sagewire.types import Delta, Reply, TextDelta

__all__ = ["AsyncReplyStream", "ReplyStream"]


class ReplyStream:
    """An iterator over the deltas of an answer. The request is sent when the iteration starts.

    Leaving the `with` block early, or dropping the stream, closes the connection, so the container can stop generating.

    Example:
        >>> with client.stream("Why is the sky blue?") as stream:  # doctest: +SKIP
        ...     for text in stream.text:
        ...         print(text, end="", flush=True)
        ...     usage = stream.reply.usage
    """

    def __init__(self, call: CallRun, connect: Callable[[], Transport]) -> None:
        self._call = call
        self._deltas = run(call, connect)

    def __repr__(self) -> str:
        return "<ReplyStream: read it with `for`, or its .text; then .reply is the answer>"

    def __iter__(self) -> Iterator[Delta]:
        return self._deltas

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def reply(self) -> Reply:
        """The answer as far as it was read; whole once the iteration has ended.

        Raises:
            UsageError: The stream was started with `keep_reply=False`.
        """
        return self._call.reply

    @property
    def text(self) -> Iterator[str]:
        """The answer's text pieces, of the first choice."""
        return (delta.text for delta in self._deltas if isinstance(delta, TextDelta) and delta.choice == 0)

    def close(self) -> None:
        """Stop reading and close the connection if the answer is not complete; also from another thread."""
        try:
            self._deltas.close()
        except ValueError:
            # Another thread is reading: it finds the connection closed, and its loop ends.
            self._call.stop()


class AsyncReplyStream:
    """The `ReplyStream` of asyncio, for `async for` and `async with`."""

    def __init__(self, call: CallRun, connect: Callable[[], AsyncTransport]) -> None:
        self._call = call
        self._deltas = run_async(call, connect)

    def __repr__(self) -> str:
        return "<AsyncReplyStream: read it with `async for`, or its .text; then .reply is the answer>"

    def __aiter__(self) -> AsyncIterator[Delta]:
        return self._deltas

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def reply(self) -> Reply:
        """The answer as far as it was read; whole once the iteration has ended.

        Raises:
            UsageError: The stream was started with `keep_reply=False`.
        """
        return self._call.reply

    @property
    def text(self) -> AsyncIterator[str]:
        """The answer's text pieces, of the first choice."""
        return (delta.text async for delta in self._deltas if isinstance(delta, TextDelta) and delta.choice == 0)

    async def close(self) -> None:
        """Stop reading and close the connection if the answer is not complete; also from another task."""
        try:
            await self._deltas.aclose()
        except RuntimeError:
            # Another task is reading: it finds the connection closed, and its loop ends.
            self._call.stop()
