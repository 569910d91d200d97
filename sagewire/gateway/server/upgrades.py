"""Requests that offer to go on in another protocol: they are served in HTTP/1.1, bodies and all.

Java's HTTP client offers HTTP/2 with its first request. httptools stops parsing behind the head of such a request.
"""

from __future__ import annotations

from typing import Any

import httptools

__all__ = ["parser_of_rest"]


class _Rest:
    """The callbacks of a parser that begins behind a head, of which it is told only how its body ends."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._behind_head = False
        self.on_body = protocol.on_body
        self.on_chunk_header = protocol.on_chunk_header
        self.on_message_complete = protocol.on_message_complete

    def on_message_begin(self) -> None:
        if self._behind_head:
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if self._behind_head:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._behind_head:
            self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._behind_head:
            self._protocol.on_headers_complete()
        self._behind_head = True


def parser_of_rest(protocol: Any, headers: list[tuple[bytes, bytes]]) -> httptools.HttpRequestParser:
    """Return a parser for what comes behind the head of a request, and for all further requests.

    Args:
        protocol: Gets its callbacks.
        headers: Those of the head, which another parser has checked.
    """
    framing = [b"%b: %b\r\n" % header for header in headers if header[0] in (b"content-length", b"transfer-encoding")]
    parser = httptools.HttpRequestParser(_Rest(protocol))
    parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(framing))
    return parser
