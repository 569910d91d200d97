"""What `Client.stream` and `AsyncClient.stream` return: deltas as they arrive, and the reply they add up to."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from types import TracebackType
from typing import Self

from sagewire.client.prepared_call import PreparedCall, ResponseReader
from sagewire.errors import ModelStreamError, ResponseTooLarge, UsageError, WireError
from sagewire.streaming.accumulate import unfold
from sagewire.telemetry import Outcome
from sagewire.transports.base import AsyncTransport, Transport
from sagewire.types import Delta, Invocation, Reply, TextDelta

__all__ = ["AsyncReplyStream", "ReplyStream"]

# Given an prepared whose answer could not be read: another one, if the container turns out to speak differently now.
Redetect = Callable[[PreparedCall], PreparedCall | None]
AsyncRedetect = Callable[[PreparedCall], Awaitable[PreparedCall | None]]


class _Kept:
    """What a running stream has read: its reading, or the whole reply where the container cannot stream.

    Apart from the stream, so that the running generator does not refer to the object that holds it: dropping a
    half-read stream then ends it at once, rather than whenever the garbage collector comes by.
    """

    reading: ResponseReader | None = None
    whole: Reply | None = None

    def __init__(self, keep_reply: bool) -> None:
        self.keep_reply = keep_reply
        self._first = True

    @property
    def so_far(self) -> Reply:
        """The answer as far as it was read, or what is known about it."""
        if self.whole is not None:
            return self.whole
        return self.reading.reply if self.reading is not None else Reply()

    @property
    def reply(self) -> Reply:
        """The answer as far as it was read."""
        if not self.keep_reply:
            raise UsageError("this stream keeps no reply (keep_reply=False); take from its deltas what you need")
        return self.so_far

    def request(self, prepared: PreparedCall) -> Invocation:
        """Return what to send. An answer that nobody keeps may be of any length."""
        return prepared.invocation if self.keep_reply else replace(prepared.invocation, bounded=False)

    def misread(self, error: WireError) -> bool:
        """Return whether the container may speak differently by now; true once, and only before the first delta."""
        first, self._first = self._first, False
        begun = self.whole is not None or (self.reading is not None and self.reading.begun)
        return first and not begun and not isinstance(error, ModelStreamError | ResponseTooLarge)


class ReplyStream:
    """Iterate over it for deltas. The request is sent when the iteration starts.

    Leaving the `with` block early, or dropping the stream, closes the connection, so the container can stop generating.

    Example:
        >>> with client.stream("Why is the sky blue?") as stream:  # doctest: +SKIP
        ...     for text in stream.text:
        ...         print(text, end="", flush=True)
        ...     usage = stream.reply.usage
    """

    def __init__(
        self,
        prepare: Callable[[], PreparedCall],
        connect: Callable[[], Transport],
        watch: Callable[[PreparedCall], AbstractContextManager[Outcome]],
        redetect: Redetect,
        keep_reply: bool = True,
    ) -> None:
        self._kept = _Kept(keep_reply)
        self._deltas = _run(self._kept, prepare, connect, watch, redetect)

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
            UsageError: The stream was asked for with `keep_reply=False`.
        """
        return self._kept.reply

    @property
    def text(self) -> Iterator[str]:
        """The answer's text pieces, of the first choice."""
        return (delta.text for delta in self._deltas if isinstance(delta, TextDelta) and delta.choice == 0)

    def close(self) -> None:
        """Stop reading and close the connection if the answer is not complete."""
        self._deltas.close()


def _run(
    kept: _Kept,
    prepare: Callable[[], PreparedCall],
    connect: Callable[[], Transport],
    watch: Callable[[PreparedCall], AbstractContextManager[Outcome]],
    redetect: Redetect,
) -> Generator[Delta, None, None]:
    prepared, transport = prepare(), connect()
    while True:
        try:
            with watch(prepared) as outcome:
                outcome.answer = lambda: kept.so_far
                if not prepared.streams:
                    body = transport.invoke(prepared.invocation)
                    kept.whole = prepared.read_whole(body.data, body.info)
                    yield from unfold(kept.whole)
                    return
                with transport.stream(kept.request(prepared)) as body_stream:
                    kept.reading = reading = prepared.reading(body_stream.info, keep_reply=kept.keep_reply)
                    with reading.attaching_partial():
                        for chunk in body_stream:
                            yield from reading.feed(chunk)
                            if reading.stopped:
                                break
                        # What the service says at the end (timings) is known only now.
                        reading.info = body_stream.info
                        yield from reading.close()
            return
        except WireError as error:
            other = redetect(prepared) if kept.misread(error) else None
            if other is None:
                raise
            prepared = other


class AsyncReplyStream:
    """`ReplyStream` for `async for` and `async with`."""

    def __init__(
        self,
        prepare: Callable[[], Awaitable[PreparedCall]],
        connect: Callable[[], AsyncTransport],
        watch: Callable[[PreparedCall], AbstractContextManager[Outcome]],
        redetect: AsyncRedetect,
        keep_reply: bool = True,
    ) -> None:
        self._kept = _Kept(keep_reply)
        self._deltas = _arun(self._kept, prepare, connect, watch, redetect)

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
            UsageError: The stream was asked for with `keep_reply=False`.
        """
        return self._kept.reply

    @property
    def text(self) -> AsyncIterator[str]:
        """The answer's text pieces, of the first choice."""
        return (delta.text async for delta in self._deltas if isinstance(delta, TextDelta) and delta.choice == 0)

    async def close(self) -> None:
        """Stop reading and close the connection if the answer is not complete."""
        await self._deltas.aclose()


async def _arun(
    kept: _Kept,
    prepare: Callable[[], Awaitable[PreparedCall]],
    connect: Callable[[], AsyncTransport],
    watch: Callable[[PreparedCall], AbstractContextManager[Outcome]],
    redetect: AsyncRedetect,
) -> AsyncGenerator[Delta, None]:
    prepared, transport = await prepare(), connect()
    while True:
        try:
            with watch(prepared) as outcome:
                outcome.answer = lambda: kept.so_far
                if not prepared.streams:
                    body = await transport.invoke(prepared.invocation)
                    kept.whole = prepared.read_whole(body.data, body.info)
                    for delta in unfold(kept.whole):
                        yield delta
                    return
                async with transport.stream(kept.request(prepared)) as body_stream:
                    kept.reading = reading = prepared.reading(body_stream.info, keep_reply=kept.keep_reply)
                    with reading.attaching_partial():
                        async for chunk in body_stream:
                            for delta in reading.feed(chunk):
                                yield delta
                            if reading.stopped:
                                break
                        # What the service says at the end (timings) is known only now.
                        reading.info = body_stream.info
                        for delta in reading.close():
                            yield delta
            return
        except WireError as error:
            other = await redetect(prepared) if kept.misread(error) else None
            if other is None:
                raise
            prepared = other
