"""What a request of OpenAI's client carries as a secret, kept out of the answers that it raises as exceptions."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping
from contextlib import aclosing, closing
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, urlencode

from sagewire.errors import SagewireError
from sagewire.http.request import Request
from sagewire.transports.secrets import Redactor, secrets_of
from sagewire.transports.sent_secrets import is_own_id

__all__ = ["SentRequest", "hide_headers"]

# OpenAI's client says with these what it is, and what it runs on.
_TELLING = ("x-stainless-", "openai-")
_REQUEST_IDS = ("x-request-id", "x-amzn-requestid", "x-amzn-trace-id")
# An event, or a whole answer, that is longer is handed on as it arrives.
_LONGEST_BLOCK = 1 << 20
_LINE_ENDS = (b"\n", b"\r")
_BLANK_LINES = (b"\n\n", b"\r\r", b"\n\r", b"\n\r\n")
_LONGEST_END = 3
_BETWEEN_EVENTS = re.compile(rb"((?>\r\n|\n|\r){2,})")
# Without one of these nothing is an error.
_WORDS = (b"error", b"response.failed")
_FAILURES = ("error", "response.failed")
# JSON that does not end.
_BEGINS_AS_ERROR = re.compile(rb"\s*\{\s*\"error\"\s*:\s*[^\sn]")
# The headers, and parameters of a path, that let somebody in.
_CREDENTIAL = re.compile(
    r"(?:^|[-_])(?:authorization|auth|[a-z]*token|cookie|secret|password|credentials?|[a-z]*key)$", re.IGNORECASE
)


class SentRequest:
    """A request that was sent, and the masking of its secrets.

    Args:
        request: The request.
        proxy_headers: The headers for a proxy.
    """

    def __init__(self, request: Request, proxy_headers: Mapping[str, str]) -> None:
        self._request = request
        self._proxy_headers = proxy_headers

    @cached_property
    def redactor(self) -> Redactor:
        """What masks the secrets."""
        return Redactor(secrets_of({**_secret(self._request.headers), **self._proxy_headers}, self._request.path))

    @cached_property
    def _credentials(self) -> Redactor:
        """What masks only that which lets somebody in, and no other header."""
        headers = {name: value for name, value in _secret(self._request.headers).items() if _CREDENTIAL.search(name)}
        query = parse_qsl(self._request.path.partition("?")[2])
        keys = urlencode([(name, value) for name, value in query if _CREDENTIAL.search(name)])
        return Redactor(secrets_of({**headers, **self._proxy_headers}, f"?{keys}"))

    def redactor_for(self, block: bytes) -> Redactor | None:
        """Return what masks an event, or a body, of an answer whose status is good; `None` if it is no error."""
        if not any(word in block for word in _WORDS):
            return None
        name, data = _content(block)
        if name in (b"error", b"response.failed"):
            return self.redactor
        told = _read(data)
        if told is None:
            # It may have been cut.
            return self.redactor if _BEGINS_AS_ERROR.match(data) and b'"choices"' not in data else None
        if not isinstance(told, dict):
            return None
        if told.get("choices"):
            # The text of an answer must stay; but OpenAI's client raises this, too.
            return self._credentials if told.get("error") else None
        failed = told.get("error") or told.get("type") in _FAILURES or told.get("object") == "error"
        return self.redactor if failed else None

    def headers(self, status: int, arrived: Mapping[str, str]) -> dict[str, str]:
        """Return the headers of an answer without the secrets."""
        if status < 400:
            named = [name for name in arrived if name.lower() in _REQUEST_IDS and not is_own_id(arrived[name])]
            return {**arrived, **{name: self.redactor.text(arrived[name]) for name in named}}
        return {name: self.redactor.text(value) for name, value in arrived.items()}

    def body(self, body: bytes) -> bytes:
        """Return the body of an error without the secrets."""
        masked: bytes = self.redactor.value(body)
        return masked

    def pieces(self, chunks: Iterator[bytes]) -> Generator[bytes]:
        """Yield an answer as it arrives, its errors without the secrets."""
        blocks = _Blocks(self)
        with closing(chunks):  # type: ignore[type-var]
            try:
                for chunk in chunks:
                    if whole := blocks.feed(chunk):
                        yield whole
            except SagewireError as error:
                self.redactor.error(error)
                raise
        if blocks.rest:
            yield blocks.end()

    async def async_pieces(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        """Yield an answer as it arrives, its errors without the secrets."""
        blocks = _Blocks(self)
        async with aclosing(chunks):  # type: ignore[type-var]
            try:
                async for chunk in chunks:
                    if whole := blocks.feed(chunk):
                        yield whole
            except SagewireError as error:
                self.redactor.error(error)
                raise
        if blocks.rest:
            yield blocks.end()


class _Blocks:
    """An answer's events, lines of JSON, or whole JSON: OpenAI's client reads none before its end, so nothing waits."""

    def __init__(self, sent: SentRequest) -> None:
        self._sent = sent
        self._ends: tuple[bytes, ...] | None = None
        # Masks the block that is handed on before its end.
        self._long: Redactor | None = None
        self.rest = bytearray()

    def feed(self, chunk: bytes) -> bytes:
        """Return the blocks that are whole now."""
        seen = max(0, len(self.rest) - _LONGEST_END + 1)
        self.rest += chunk
        if self._ends is None:
            seen, self._ends = 0, _ends_of(self.rest)
        ends = self._ends or ()
        cut = max((at + len(end) for end in ends if (at := self.rest.rfind(end, seen)) >= 0), default=0)
        if cut:
            whole, self.rest = bytes(self.rest[:cut]), self.rest[cut:]
            return self._masked(whole)
        if len(self.rest) < _LONGEST_BLOCK:
            return b""
        piece, self.rest, self._ends = bytes(self.rest), bytearray(), ends
        self._long = self._long or self._sent.redactor_for(piece)
        return _without(piece, self._long)

    def end(self) -> bytes:
        """Return what came behind the last block's end."""
        return self._masked(bytes(self.rest))

    def _masked(self, blocks: bytes) -> bytes:
        if self._long is None and not any(word in blocks for word in _WORDS):
            return blocks
        split = _split(blocks, self._ends or ())
        first, self._long = self._long, None
        masks = [(first if at == 0 else None) or self._sent.redactor_for(block) for at, block in enumerate(split)]
        return b"".join(map(_without, split, masks))


def _ends_of(body: bytearray) -> tuple[bytes, ...] | None:
    """Return what ends a block of a body that begins like this; `None` if that cannot be told yet."""
    text = body.lstrip()
    if not text:
        return None
    if not text.startswith(b"{"):
        return _BLANK_LINES
    line, ended, _ = text.partition(b"\n")
    if not ended:
        return None
    return () if _read(line) is None else _LINE_ENDS


def _split(blocks: bytes, ends: tuple[bytes, ...]) -> list[bytes]:
    if ends == _BLANK_LINES:
        return _BETWEEN_EVENTS.split(blocks)
    return blocks.splitlines(keepends=True) if ends else [blocks]


def _without(block: bytes, redactor: Redactor | None) -> bytes:
    masked: bytes = block if redactor is None else redactor.value(block)
    return masked


def _content(block: bytes) -> tuple[bytes, bytes]:
    """Return an event's name and data; JSON by itself is data."""
    if block.lstrip().startswith(b"{"):
        return b"", block
    name, data = b"", []
    for line in block.splitlines():
        field, _, value = line.partition(b":")
        if field == b"event":
            name = value.strip()
        elif field == b"data":
            data.append(value)
    return name, b"\n".join(data)


def _read(data: bytes | bytearray) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def hide_headers(headers: Any) -> None:
    """Mask the secrets in the headers of a request that has been sent: OpenAI's exceptions hold it."""
    for name in _secret(dict(headers)):
        headers[name] = "***"


def _secret(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in headers.items()
        if not name.lower().startswith(_TELLING) and secrets_of({name: value})
    }
