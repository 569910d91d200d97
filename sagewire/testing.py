"""A kit for testing what is built on sagewire: cuts of a byte string, checks for content handlers, recorded transports.

It needs no test framework: what fails is an `AssertionError` that says what was expected.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from itertools import repeat
from typing import TypeVar

from sagewire.content_handlers.base import ContentHandler, Request
from sagewire.errors import SagewireError, StreamTruncated, UnsupportedFeature
from sagewire.streaming.accumulate import fold
from sagewire.streaming.base import Pipeline, decode
from sagewire.streaming.eventstream import EventStreamDecoder, encode_payload_part
from sagewire.transports.base import Body
from sagewire.types import (
    ChatRequest,
    Delta,
    ImagePart,
    Invocation,
    Message,
    PromptRequest,
    Reply,
    ResponseInfo,
    TextDelta,
    TextPart,
    ThinkingDelta,
    Tool,
)

__all__ = ["AsyncFakeTransport", "FakeTransport", "Recording", "check_handler", "chop", "drain"]

T = TypeVar("T")

PNG = b"\x89PNG\r\n\x1a\n"


def chop(data: bytes, *, random_cuts: int = 8, seed: int = 0) -> Iterator[list[bytes]]:
    """Yield the ways in which a connection may cut a byte string: whole, with empty pieces, byte by byte, at random.

    Args:
        data: What is cut.
        random_cuts: How many random cuts, from many small pieces to a few large ones.
        seed: Makes the random cuts repeatable.

    Example:
        >>> [len(pieces) for pieces in chop(b"abcd", random_cuts=0)]
        [1, 3, 4]
    """
    yield [data]
    yield [b"", data, b""]
    yield [data[i : i + 1] for i in range(len(data))]
    rng = random.Random(seed)
    for number in range(random_cuts):
        longest = max(2, len(data) >> number)
        pieces, position = [], 0
        while position < len(data):
            end = position + rng.randint(1, longest)
            pieces.append(data[position:end])
            position = end
        yield pieces


def drain(values: Iterable[T]) -> tuple[list[T], SagewireError | None]:
    """Return the values up to the error that ends them, and that error.

    Example:
        >>> from sagewire.streaming import JsonEventDecoder
        >>> drain(decode(JsonEventDecoder(), [b'{"a": 1}{"b'])) # doctest: +ELLIPSIS
        ([{'a': 1}], StreamTruncated(...))
    """
    taken: list[T] = []
    try:
        # The loop keeps what came before the error.
        for value in values:
            taken.append(value)  # noqa: PERF402
    except SagewireError as error:
        return taken, error
    return taken, None


def check_handler(
    handler: ContentHandler,
    *,
    request: Request | None = None,
    whole: bytes | None = None,
    stream: bytes | None = None,
    content_type: str = "",
    ends_visibly: bool = True,
) -> None:
    """Check what every content handler owes, on sample bytes of its container.

    Requests become bytes, twice the same; what the handler says it cannot do is refused. The whole sample parses, and
    what is no answer is a `WireError`. The streamed sample gives the same deltas at every cut, and again behind
    SageMaker's framing; its fold says what the whole sample says; cut short, it ends in `StreamTruncated`.

    Args:
        handler: What is checked.
        request: A request it takes; by default a short one of the kind it speaks.
        whole: A whole response body, as the container sent it.
        stream: A streamed response body. If `whole` is given too, both must hold the same answer.
        content_type: The content type of `stream`.
        ends_visibly: False for the few wires whose streams have no end marker, so that a cut cannot be noticed.

    Raises:
        AssertionError: A check failed; the message says which and why.

    Example:
        >>> from sagewire.content_handlers import get_handler
        >>> check_handler(get_handler("tgi"), whole=b'[{"generated_text": "Hello"}]')
    """
    _check_requests(handler, request or _sample_request(handler))
    reply = _check_whole(handler, whole) if whole is not None else None
    if stream is None:
        return
    assert handler.can.streaming, f"{handler!r} says that it cannot stream, but a stream was given"
    deltas, error = drain(decode(handler.stream_decoder(content_type), [stream]))
    assert error is None, f"the streamed sample ends in an error: {error!r}"
    assert deltas, f"{handler!r} finds nothing in the streamed sample"
    _check_cuts(handler, content_type, stream, deltas)
    if reply is not None:
        _check_same(fold(deltas), reply)
    if ends_visibly:
        _check_cut_short(handler, content_type, stream, fold(deltas))


def _sample_request(handler: ContentHandler) -> Request:
    return PromptRequest("Hello") if handler.speaks == "prompt" else ChatRequest((Message("user", "Hello"),))


def _check_requests(handler: ContentHandler, request: Request) -> None:
    for streamed in (False, True) if handler.can.streaming else (False,):
        asked = replace(request, stream=streamed)
        body = handler.transform_input(asked)
        assert isinstance(body, bytes), f"transform_input must return bytes, not {type(body).__name__}"
        assert handler.transform_input(asked) == body, "transform_input must give the same bytes for the same request"
    for feature, refused in _beyond(handler, replace(request, stream=False)):
        try:
            handler.transform_input(refused)
        except UnsupportedFeature:
            continue
        raise AssertionError(f"can.{feature} is False, so transform_input must raise UnsupportedFeature for it")


def _beyond(handler: ContentHandler, request: Request) -> Iterator[tuple[str, Request]]:
    """Yield requests for what the handler says it cannot do."""
    options, can = request.options, handler.can
    if not can.n:
        yield "n", replace(request, options=replace(options, n=2))
    if not can.logprobs:
        yield "logprobs", replace(request, options=replace(options, logprobs=True))
    if not can.response_format:
        yield "response_format", replace(request, options=replace(options, response_format={"type": "json_object"}))
    if isinstance(request, ChatRequest):
        if not can.tools:
            yield "tools", replace(request, tools=(Tool("look"),))
        if not can.images:
            image = Message("user", (TextPart("What is this?"), ImagePart(data=PNG)))
            yield "images", replace(request, messages=(image,))


def _check_whole(handler: ContentHandler, whole: bytes) -> Reply:
    reply = handler.transform_output(whole)
    assert isinstance(reply, Reply), f"transform_output must return a Reply, not {type(reply).__name__}"
    assert handler.transform_output(whole) == reply, "transform_output must give the same reply for the same body"
    if handler.accept == "application/json":
        for garbage in (b"", b"<html>Bad Gateway</html>", whole.rstrip()[:-1]):
            try:
                handler.transform_output(garbage)
            except SagewireError:
                continue
            raise AssertionError(f"transform_output must raise WireError for {garbage[:40]!r}")
    return reply


def _check_cuts(handler: ContentHandler, content_type: str, stream: bytes, deltas: Sequence[Delta]) -> None:
    expected = _merged(deltas)
    for pieces in chop(stream):
        plain = decode(handler.stream_decoder(content_type), pieces)
        framed = Pipeline(EventStreamDecoder(), handler.stream_decoder(content_type))
        for how, values in (
            ("cutting the stream into", plain),
            ("framing the stream in", decode(framed, map(encode_payload_part, pieces))),
        ):
            got, error = drain(values)
            where = f"{how} {len(pieces)} pieces"
            assert error is None, f"{where} ends in an error: {error!r}"
            assert _merged(got) == expected, f"{where} changes the deltas from {deltas!r} to {got!r}"


def _merged(deltas: Iterable[Delta]) -> list[Delta]:
    """Join neighbouring texts: a container of plain text is free to be cut anywhere."""
    merged: list[Delta] = []
    for delta in deltas:
        last = merged[-1] if merged else None
        if isinstance(delta, TextDelta | ThinkingDelta) and type(last) is type(delta) and last.choice == delta.choice:
            merged[-1] = replace(last, text=last.text + delta.text)
        else:
            merged.append(delta)
    return merged


def _check_same(streamed: Reply, whole: Reply) -> None:
    assert len(streamed.choices) == len(whole.choices), "the stream and the whole sample differ in how many answers"
    for number, (one, other) in enumerate(zip(streamed.choices, whole.choices, strict=True)):
        for name in ("text", "thinking", "finish_reason"):
            _same(f"{name} of answer {number}", getattr(one, name), getattr(other, name))
        # Servers make up new ids for each response.
        calls = [[(call.name, call.arguments) for call in choice.tool_calls] for choice in (one, other)]
        _same(f"tool calls of answer {number}", *calls)
    if streamed.usage is not None and whole.usage is not None:
        for name in ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens"):
            counts = getattr(streamed.usage, name), getattr(whole.usage, name)
            # TGI counts the prompt's tokens in streams only.
            if None not in counts:
                _same(name, *counts)


def _same(what: str, streamed: object, whole: object) -> None:
    assert streamed == whole, f"the {what} differ: {streamed!r} in the stream, {whole!r} in the whole sample"


def _check_cut_short(handler: ContentHandler, content_type: str, stream: bytes, reply: Reply) -> None:
    step = max(1, len(stream) // 200)
    for end in range(0, len(stream), step):
        deltas, error = drain(decode(handler.stream_decoder(content_type), [stream[:end]]))
        if isinstance(error, StreamTruncated):
            continue
        assert error is None, f"cut short after {end} bytes, the stream ends in {error!r}, not in StreamTruncated"
        # What follows the end of the last answer (token counts, [DONE], blank lines) may be missing.
        assert fold(deltas).choices == reply.choices, f"cut short after {end} bytes, StreamTruncated was not raised"


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
        """What the service says ahead of the body."""
        return ResponseInfo(content_type=self.content_type, event_stream=self.event_stream)


Answers = Recording | bytes | Iterable[Recording | bytes] | Callable[[Invocation], Recording | bytes]


class _Player:
    """What both colours share.

    Attributes:
        calls: The invocations that reached the transport, oldest first.
        open_streams: Streams that were begun and not yet closed.
    """

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
            raise AssertionError("a call was made for which there is no recorded answer") from None

    return answer


class FakeTransport(_Player):
    """A `Transport` that plays back recorded bytes and remembers what was asked; see `_Player` for its attributes.

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
