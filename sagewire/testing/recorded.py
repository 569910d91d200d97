"""Transports that play back recorded bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import repeat

from sagewire.errors import SagewireError
from sagewire.transports.base import Body
from sagewire.types import Invocation, ResponseInfo

__all__ = ["AsyncFakeTransport", "FakeTransport", "Recording"]


@dataclass(frozen=True, slots=True)
class Recording:
    """A response to play back.

    Args:
        body: The bytes, in the pieces in which they arrived; one `bytes` is one piece.
        content_type: The container's content type.
        event_stream: `body` is framed by SageMaker, so the framing is read too.
        error: Raised instead of an answer, or behind the last piece of `body` if there is any.
    """

    body: bytes | Sequence[bytes] = b""
    content_type: str = "application/json"
    event_stream: bool = False
    error: SagewireError | None = None

    @property
    def pieces(self) -> Sequence[bytes]:
        """The body in pieces."""
        return (self.body,) if isinstance(self.body, bytes) else self.body

    @property
    def info(self) -> ResponseInfo:
        """The facts of the response ahead of the body."""
        return ResponseInfo(content_type=self.content_type, event_stream=self.event_stream)


Answers = Recording | bytes | Iterable[Recording | bytes] | Callable[[Invocation], Recording | bytes]


class _Player:
    """The part that sync and async share."""

    def __init__(self, answers: Answers) -> None:
        self.calls: list[Invocation] = []
        self.open_streams = 0
        if isinstance(answers, Recording | bytes):
            answers = repeat(answers)
        self._answer = answers if callable(answers) else _in_turn(answers)

    def _take(self, call: Invocation) -> Recording:
        self.calls.append(call)
        answer = self._answer(call)
        return Recording(answer) if isinstance(answer, bytes) else answer

    def _whole(self, call: Invocation) -> Body:
        recording = self._take(call)
        if recording.error is not None:
            raise recording.error
        return Body(b"".join(recording.pieces), recording.info)

    def _begin(self, call: Invocation) -> Recording:
        recording = self._take(call)
        if recording.error is not None and not any(recording.pieces):
            raise recording.error
        self.open_streams += 1
        return recording


def _in_turn(answers: Iterable[Recording | bytes]) -> Callable[[Invocation], Recording | bytes]:
    queue = iter(answers)

    def answer(call: Invocation) -> Recording | bytes:
        try:
            return next(queue)
        except StopIteration:
            raise AssertionError(
                "every recording has been played back already; record one more for this call"
            ) from None

    return answer


class FakeTransport(_Player):
    """A `Transport` that plays back recorded bytes and remembers the calls.

    Attributes:
        calls: The invocations that reached the transport, oldest first.
        open_streams: Streams that were begun and not yet closed.

    Args:
        answers: One recording for every call, one for each call in turn, or a function from the invocation to one.
            Bare `bytes` are a whole JSON body.

    Example:
        >>> from sagewire import Client
        >>> transport = FakeTransport(b'[{"generated_text": "Hello"}]')
        >>> Client(transport=transport, handler="tgi").complete("Hi").text
        'Hello'
    """

    def invoke(self, call: Invocation) -> Body:
        """Return the next recording as a whole."""
        return self._whole(call)

    @contextmanager
    def stream(self, call: Invocation) -> Iterator[_PlayedStream]:
        """Play the next recording piece by piece."""
        recording = self._begin(call)
        try:
            yield _PlayedStream(recording)
        finally:
            self.open_streams -= 1

    def close(self) -> None:
        """Do nothing: there is nothing to give back."""


class AsyncFakeTransport(_Player):
    """`FakeTransport`, awaited."""

    async def invoke(self, call: Invocation) -> Body:
        """Return the next recording as a whole."""
        return self._whole(call)

    def stream(self, call: Invocation) -> AbstractAsyncContextManager[_PlayedStream]:
        """Play the next recording piece by piece."""
        return self._stream(call)

    @asynccontextmanager
    async def _stream(self, call: Invocation) -> AsyncIterator[_PlayedStream]:
        recording = self._begin(call)
        try:
            yield _PlayedStream(recording)
        finally:
            self.open_streams -= 1

    async def close(self) -> None:
        """Do nothing: there is nothing to give back."""


class _PlayedStream:
    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self.info = recording.info

    def __iter__(self) -> Iterator[bytes]:
        yield from self._recording.pieces
        if self._recording.error is not None:
            raise self._recording.error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece
