"""The checks that every content handler must pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sagewire.content_handlers.base import ContentHandler, Request
from sagewire.errors import SagewireError, StreamTruncated
from sagewire.streaming.accumulate import fold
from sagewire.streaming.base import Pipeline, decode
from sagewire.streaming.eventstream import EventStreamDecoder, encode_payload_part
from sagewire.testing.cuts import chop, drain
from sagewire.testing.request_checks import check_requests
from sagewire.types import (
    ChatRequest,
    Delta,
    Message,
    PromptRequest,
    Reply,
    TextDelta,
    ThinkingDelta,
)

__all__ = ["check_handler"]


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

    Requests become bytes, twice the same. Everything the handler declares reaches the request: each option, images,
    tools, tool choice, parallel tool calls, and the tool calls and results of earlier turns. Everything it does not
    declare is refused. The whole sample parses, and anything else is a `WireError`. The streamed sample gives the same
    deltas at every cut, and again behind SageMaker's framing; its fold says what the whole sample says; cut short, it
    ends in `StreamTruncated`.

    Args:
        handler: The handler to check.
        request: A request it takes; default: a short one of the kind it takes.
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
    check_requests(handler, request or _sample_request(handler))
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
        # The rest after the end of the last answer (token counts, [DONE], blank lines) may be missing.
        assert fold(deltas).choices == reply.choices, f"cut short after {end} bytes, StreamTruncated was not raised"
