"""The streams that `Client.stream` and `AsyncClient.stream` return: deltas, and the reply they add up to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sagewire._names import NamesHelp, no_items, refuse
from sagewire.client.runner import CallRun, run, run_async
from sagewire.transports.base import AsyncTransport, Transport
from sagewire.types import Delta, Reply, TextDelta

__all__ = ["AsyncReplyStream", "ReplyStream"]

_READ = "for text in client.stream(...).text"
_NO_ITEMS = "a stream has no items yet: read it with `for`; then stream.reply is the whole answer"
_REST = {
    "choices": f"read it: `{_READ}`; then .reply.choices is there",
    "content": f"read it: `{_READ}`; then .reply.text is the whole text",
    "message": "read it with `for`; then .reply.message is the answer as a message",
    "tool_calls": "read it with `for`; then .reply.tool_calls are the calls",
    "usage": "read it with `for`; then .reply.usage are the counts",
    "finish_reason": "read it with `for`; then .reply.finish_reason is the reason",
    "text_stream": "use .text",
    "result": "use .reply",
}


class ReplyStream(NamesHelp):
    """An iterator over the deltas of an answer. The request is sent when the iteration starts.

    Leaving the `with` block early, or dropping the stream, closes the connection, so the container can stop generating.

    Example:
        >>> with client.stream("Why is the sky blue?") as stream:  # doctest: +SKIP
        ...     for text in stream.text:
        ...         print(text, end="", flush=True)
        ...     usage = stream.reply.usage
    """

    _instead = _REST

    def __init__(self, call: CallRun, connect: Callable[[], Transport]) -> None:
        self._call = call
        self._deltas = run(call, connect)

    def __repr__(self) -> str:
        return "<ReplyStream: read it with `for`, or its .text; then .reply is the answer>"

    def __iter__(self) -> Iterator[Delta]:
        return self._deltas

    def __next__(self) -> Delta:
        return next(self._deltas)

    if not TYPE_CHECKING:
        __bool__, __getitem__, __len__ = no_items(_NO_ITEMS)
        # Not `__aiter__`: whoever asks whether this is an AsyncIterable would take it for one.
        __aenter__ = __aexit__ = refuse(
            "this stream is read with `for` and `with`; sagewire.AsyncClient has one for `async for`"
        )

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


class AsyncReplyStream(NamesHelp):
    """The `ReplyStream` of asyncio, for `async for` and `async with`."""

    _instead = _REST

    def __init__(self, call: CallRun, connect: Callable[[], AsyncTransport]) -> None:
        self._call = call
        self._deltas = run_async(call, connect)

    def __repr__(self) -> str:
        return "<AsyncReplyStream: read it with `async for`, or its .text; then .reply is the answer>"

    def __aiter__(self) -> AsyncIterator[Delta]:
        return self._deltas

    async def __anext__(self) -> Delta:
        return await anext(self._deltas)

    if not TYPE_CHECKING:
        __bool__, __getitem__, __len__ = no_items(_NO_ITEMS.replace("`for`", "`async for`"))
        __enter__ = __exit__ = refuse(
            "this stream is read with `async for` and `async with`, for example `async for text in stream.text`; "
            "sagewire.Client has one for `for`"
        )

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
