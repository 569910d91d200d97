"""An HTTP request as a value."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Request"]


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request, complete and signed.

    Args:
        path: Path and query as they are sent.
        headers: All headers but `Host` and `Content-Length`.
        body: The body.
        method: The HTTP method.
    """

    path: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    method: str = "POST"
