"""What a request of OpenAI's client carries as a secret, kept out of the answers that it raises as exceptions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping
from contextlib import aclosing, closing
from functools import cached_property
from typing import Any

from sagewire.errors import SagewireError
from sagewire.http.request import Request
from sagewire.transports.secrets import Redactor, secrets_of
from sagewire.transports.sent_secrets import is_own_id

__all__ = ["SentRequest", "hide_headers"]

# OpenAI's client says with these what it is, and what it runs on.
_TELLING = ("x-stainless-", "openai-")
_REQUEST_IDS = ("x-request-id", "x-amzn-requestid", "x-amzn-trace-id")
# A line that is longer is handed on as it arrives.
_LONGEST_LINE = 1 << 20


class SentRequest:
    """A request that was sent, and the masking of its secrets.

    Args:
        request: The request.
        proxy_headers: What a proxy is told.
    """

    def __init__(self, request: Request, proxy_headers: Mapping[str, str]) -> None:
        self._request = request
        self._proxy_headers = proxy_headers

    @cached_property
    def redactor(self) -> Redactor:
        """What masks the secrets."""
        return Redactor(secrets_of({**_secret(self._request.headers), **self._proxy_headers}, self._request.path))

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
        lines = _Lines(self)
        with closing(chunks):  # type: ignore[type-var]
            try:
                for chunk in chunks:
                    if whole := lines.feed(chunk):
                        yield whole
            except SagewireError as error:
                self.redactor.error(error)
                raise
        if lines.rest:
            yield lines.end()

    async def async_pieces(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        """Yield an answer as it arrives, its errors without the secrets."""
        lines = _Lines(self)
        async with aclosing(chunks):  # type: ignore[type-var]
            try:
                async for chunk in chunks:
                    if whole := lines.feed(chunk):
                        yield whole
            except SagewireError as error:
                self.redactor.error(error)
                raise
        if lines.rest:
            yield lines.end()


class _Lines:
    """An answer's lines; an event is read only once its line is whole, so nothing waits for this."""

    def __init__(self, sent: SentRequest) -> None:
        self._sent = sent
        self.rest = bytearray()

    def feed(self, chunk: bytes) -> bytes:
        """Return the lines that are whole now."""
        at = max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) + 1
        if at == 0 and len(self.rest) + len(chunk) < _LONGEST_LINE:
            self.rest += chunk
            return b""
        cut = at or len(chunk)
        whole, self.rest = bytes(self.rest) + chunk[:cut], bytearray(chunk[cut:])
        return self._masked(whole)

    def end(self) -> bytes:
        """Return what came behind the last line's end."""
        return self._masked(bytes(self.rest))

    def _masked(self, lines: bytes) -> bytes:
        return self._sent.body(lines) if b"error" in lines else lines


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
