"""An HTTP request as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sagewire.errors import UsageError

__all__ = ["Request"]

# Each call of every client comes here, and a comprehension takes three times as long.
_LINE = "%s: %s".__mod__


@dataclass(slots=True)
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

    def head(self, host: str, prefix: str = "", further: Mapping[str, str] | None = None) -> bytes:
        """Return the request line and the headers as they are sent.

        Args:
            host: The `Host` header, unless the request names its own.
            prefix: The text before the path: the whole address for a proxy that forwards.
            further: More headers.

        Raises:
            UsageError: A header cannot be sent.
        """
        lines = [f"{self.method} {prefix}{self.path} HTTP/1.1"]
        if not self.names_host:
            lines.append(f"Host: {host}")
        if further:
            lines += map(_LINE, further.items())
        lines += map(_LINE, self.headers.items())
        lines.append(f"Content-Length: {len(self.body)}\r\n\r\n")
        text = "\r\n".join(lines)
        if text.count("\n") != len(lines) + 1 or text.count("\r") != len(lines) + 1 or "\0" in text:
            raise UsageError("a header's value cannot be sent: it holds a line break or a null byte")
        try:
            return text.encode("latin-1")
        except UnicodeEncodeError:
            raise UsageError("a header's value holds characters that HTTP cannot carry") from None
