"""An HTTP request as a value."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Request"]


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request, complete and signed.

    Args:
        path: Path and query as they are sent.
        headers: All headers but `Content-Length`, and `Host` unless `names_host`.
        body: The body.
        method: The HTTP method.
        names_host: `Host` is among the headers; else it is the address that is called.
    """

    path: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    method: str = "POST"
    names_host: bool = False
