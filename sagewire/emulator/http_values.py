"""The values between the server's shell and its pure parts: a request, a response, and the steps of a body.

A body is a list of steps rather than bytes alone, so that waiting, dying and being cut off are values like any other,
and can be tested without a socket.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import parse_qsl, unquote

import orjson

__all__ = ["Abort", "Request", "Response", "Step", "StreamFailure", "Wait", "json_response"]


@dataclass(frozen=True, slots=True)
class Wait:
    """A pause of this many seconds; infinity means until the client goes away."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Abort:
    """The end of the connection: with a reset if `reset`, else closed without the end of the body."""

    reset: bool = True


@dataclass(frozen=True, slots=True)
class StreamFailure:
    """A break of the container's stream; the front door reports it to the client in its own frame."""

    kind: str
    message: str
    code: str | None = None


Step: TypeAlias = bytes | Wait | Abort | StreamFailure


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request as it arrived.

    Args:
        method: `GET`, `POST`, ...
        target: Path and query exactly as sent, still percent-encoded: signatures cover these bytes.
        headers: Names in lower case; repeated headers joined with commas.
        body: The whole body.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def raw_path(self) -> str:
        """The path as sent."""
        return self.target.partition("?")[0]

    @property
    def raw_query(self) -> str:
        """The query as sent, without the question mark."""
        return self.target.partition("?")[2]

    @property
    def path(self) -> str:
        """The path, decoded."""
        return unquote(self.raw_path)

    @property
    def query(self) -> dict[str, str]:
        """The query, decoded; of a repeated name the last value."""
        return dict(parse_qsl(self.raw_query, keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response to send.

    Args:
        status: The HTTP status.
        headers: Header names and values.
        body: The whole body, or steps to be sent chunked, one write each.
        delay: Seconds before the status line; infinity never answers.
        reset: The connection is reset instead of answering.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Iterable[Step] = b""
    delay: float = 0.0
    reset: bool = False

    @property
    def data(self) -> bytes:
        """The body of a response that is not streamed.

        Raises:
            TypeError: It is streamed.
        """
        if not isinstance(self.body, bytes):
            raise TypeError("the body is a stream")
        return self.body


def json_response(status: int, document: object, **headers: str) -> Response:
    """Return a JSON response; underscores in header names become hyphens."""
    names = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, names, orjson.dumps(document))
