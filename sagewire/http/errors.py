"""Errors of an HTTP connection: time limits, connections that fail, TLS, answers that break off; and `Retry-After`."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from sagewire.errors import EndpointError, EndpointTimeout, StreamTruncated

__all__ = ["connection_error", "retry_after_of", "timeout_error", "tls_error", "truncated"]


def timeout_error(limit: str, seconds: float | None, where: str) -> EndpointTimeout:
    """Return the error for a time limit that ran out.

    Args:
        limit: `connect`, `first_byte`, `idle` or `total`.
        seconds: The limit.
        where: Who was being called.
    """
    waited = f"within {seconds:g} s" if seconds is not None else "in time"
    happened = {
        "connect": f"no connection to {where} {waited}",
        "first_byte": f"no answer from {where} {waited}",
        "idle": f"nothing more arrived from {where} {waited}",
        "total": f"the call to {where} did not end {waited}",
    }[limit]
    cure = "; a longer limit is Timeouts(first_byte=...), and streaming starts sooner" if limit == "first_byte" else ""
    return EndpointTimeout(happened + cure, code=limit, retry_safe=limit == "connect")


def connection_error(error: BaseException | str, where: str, *, code: str = "connection") -> EndpointError:
    """Return the error for a connection that could not be made or broke before the answer.

    Args:
        error: What went wrong.
        where: Who was being called.
        code: `connection` where the request cannot have arrived, `connection_lost` where it may have.
    """
    text = str(error) or type(error).__name__
    verb = "cannot connect to" if code == "connection" else "lost the connection to"
    return EndpointError(f"{verb} {where}: {text}", code=code, retry_safe=True)


def tls_error(error: BaseException, where: str) -> EndpointError:
    """Return the error for a certificate that is not trusted, or a TLS handshake that failed.

    A server that hung up during the handshake objected to nothing: that is a connection which could not be made.
    """
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return connection_error("the server hung up during the TLS handshake", where)
    return EndpointError(
        f"no trusted TLS connection to {where}: {error}; for a private CA set AWS_CA_BUNDLE or REQUESTS_CA_BUNDLE",
        code="tls",
    )


def truncated(error: BaseException | str, where: str) -> StreamTruncated:
    """Return the error for an answer that broke off."""
    text = str(error) or type(error).__name__
    return StreamTruncated(f"the answer of {where} broke off: {text}")


def retry_after_of(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a `Retry-After` header, which holds seconds or a date."""
    value = headers.get("retry-after")
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            when = parsedate_to_datetime(value)
        except ValueError:
            return None
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        seconds = (when - datetime.now(UTC)).total_seconds()
    # NaN compares false with everything, so it ends up as 0 as well.
    return seconds if 0 < seconds < 86_400 else 0.0
