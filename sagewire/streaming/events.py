"""JSON events, whichever of the two framings the server chose: server-sent events, or JSON documents in a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sagewire.errors import StreamTruncated, WireError, excerpt
from sagewire.streaming.base import BaseDecoder, finish, owed
from sagewire.streaming.byte_order_mark import ByteOrderMark
from sagewire.streaming.jsonlines import JsonDocumentsDecoder, parse_json
from sagewire.streaming.sse import KEEP_ALIVES, NamedEvent, SseDecoder

__all__ = ["JsonEventDecoder"]

_BLANK = b" \t\r\n"
_SSE_STARTS = (b":", b"data", b"event", b"id", b"retry", b"error")


class JsonEventDecoder(BaseDecoder[bytes, Any]):
    r"""Bytes to parsed JSON events.

    The first bytes that are not blank decide: `{` or `[` begin JSON documents (one per line or bare), a field of
    server-sent events begins those. Content types do not decide, because containers are often wrong about them: LMI
    says `application/jsonlines` in front of what vLLM framed, and SageMaker adds its own. Events without data, which
    some servers send to keep the connection alive, are skipped, and so are comments sent as data and `[DONE]`.

    Args:
        names: Return server-sent events that have a name as `NamedEvent`, with the parsed JSON as their data.

    Attributes:
        done: Whether `[DONE]` was seen.

    Raises:
        WireError: By `feed`, the bytes are neither framing, or an event's data is not JSON.
        StreamTruncated: By `close`, the last event is incomplete.

    Example:
        >>> JsonEventDecoder().feed(b'data: {"a": 1}\n\ndata: [DONE]\n\n')
        [{'a': 1}]
    """

    def __init__(self, *, names: bool = False) -> None:
        self.done = False
        self._names = names
        self._start = b""  # too few bytes to tell the framing
        self._mark = ByteOrderMark()
        self._documents: JsonDocumentsDecoder | None = None
        self._sse: SseDecoder | None = None

    def _decode_all(self, pieces: Sequence[bytes], out: list[Any]) -> None:
        # The frames around a stream may cut it anywhere, so what arrived together is read together.
        self._decode(pieces[0] if len(pieces) == 1 else b"".join(pieces), out)

    def _decode(self, data: bytes, out: list[Any]) -> None:
        if self._sse is not None:
            self._feed_sse(self._sse, data, out)
        elif self._documents is not None:
            self._feed_documents(self._documents, data, out)
        else:
            self._detect(data if self._mark.passed else self._mark.skip(data), out)

    def _finish(self, out: list[Any]) -> None:
        if self._documents is not None:
            out += self._documents.close()
        elif self._sse is not None:
            self._finish_sse(self._sse, out)
        elif start := self._start or self._mark.held_back:
            raise StreamTruncated(f"the stream ended inside its first line: {excerpt(start)}")

    def _finish_sse(self, sse: SseDecoder, out: list[Any]) -> None:
        held_back, error = finish(sse)
        try:
            if any((event.data if type(event) is NamedEvent else event) == b"" for event in held_back):
                raise WireError("its data is missing")
            self._parse(held_back, out)
        except WireError as problem:
            raise StreamTruncated(f"the stream ended inside an event: {problem}") from None
        if error is not None:
            raise error

    def _detect(self, data: bytes, out: list[Any]) -> None:
        # Blank lines may go on for long: nothing of them needs to be kept.
        start = (self._start + data).lstrip(_BLANK)
        if not start:
            self._start = b""
            return
        if start[:1] in b"{[":
            self._documents = JsonDocumentsDecoder()
            self._feed_documents(self._documents, start, out)
        elif start.startswith(_SSE_STARTS):
            self._sse = SseDecoder(strict=True, names=self._names)
            self._feed_sse(self._sse, start, out)
        elif any(field.startswith(start) for field in _SSE_STARTS):
            self._start = start
            return
        else:
            what = "an HTML or XML page" if start.startswith(b"<") else "this"
            raise WireError(f"expected server-sent events or JSON, got {what}: {excerpt(start)}")
        self._start = b""

    def _feed_documents(self, documents: JsonDocumentsDecoder, data: bytes, out: list[Any]) -> None:
        out += documents.feed(data)
        if error := owed(documents):
            raise error

    def _feed_sse(self, sse: SseDecoder, data: bytes, out: list[Any]) -> None:
        self._parse(sse.feed(data), out)
        if error := owed(sse):
            raise error

    def _parse(self, events: list[Any], out: list[Any]) -> None:
        for data in events:
            if type(data) is NamedEvent:
                parsed: list[Any] = []
                self._parse([data.data], parsed)
                out += [NamedEvent(data.name, value) for value in parsed]
                continue
            try:
                out.append(parse_json(data))
            except ValueError as error:
                text = data.strip()
                if text == b"[DONE]":
                    self.done = True
                # Proxies send comments as data while the model thinks: `data: : keepalive`.
                elif text and not text.startswith(b":") and text.lower() not in KEEP_ALIVES:
                    raise WireError(f"an event's data is not valid JSON ({error}): {excerpt(data)}") from None
