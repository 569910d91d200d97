"""The differences between kinds of servers, as pure functions; the common part is in the two transports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from sagewire.aws.credentials import Credentials
from sagewire.errors import EndpointError
from sagewire.http.request import Request
from sagewire.types import Invocation, ResponseInfo, Timings

__all__ = ["Target"]


class Target(Protocol):
    """A server: how it is asked, and how its answers are read. Headers are looked up case-insensitively."""

    @property
    def name(self) -> str:
        """The name of the server, for messages and logs."""
        ...

    def check(self, call: Invocation, *, stream: bool) -> None:
        """Raise if the server cannot take the call."""
        ...

    def request(self, call: Invocation, credentials: Credentials | None, *, stream: bool) -> Request:
        """Return the request for a call."""
        ...

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> EndpointError:
        """Return the error for an answer whose status is not 2xx."""
        ...

    def set_clock(self, ahead: float) -> bool:
        """Go by the server's clock, `ahead` of this machine's by so many seconds; return whether that matters."""
        ...

    def info(self, headers: Mapping[str, str], timings: Timings, *, stream: bool) -> ResponseInfo:
        """Return what the headers of an answer say, and how long it took to come."""
        ...
