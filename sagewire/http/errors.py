"""Errors of an HTTP connection: time limits, connections that fail, TLS, answers that break off; and `Retry-After`."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from sagewire.errors import EndpointError, EndpointTimeout, FrameError, StreamTruncated, WireError
from sagewire.http.content_encoding import EncodingError

__all__ = [
    "UNRESOLVED",
    "connection_error",
    "connection_lost",
    "protocol_error",
    "proxy_refusal",
    "retry_after_of",
    "timeout_error",
    "tls_error",
    "truncated",
    "unanswered",
    "unreadable",
]

UNRESOLVED = "check the address (or the AWS region in it), the network and DNS"


def timeout_error(limit: str, seconds: float | None, where: str) -> EndpointTimeout:
    """Return the error for a time limit that ran out.

    Args:
        limit: `connect`, `first_byte`, `idle` or `total`.
        seconds: The limit.
        where: The server that was being called.
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


def connection_error(error: BaseException | str, where: str) -> EndpointError:
    """Return the error for a connection that could not be made."""
    return EndpointError(f"cannot connect to {where}: {_text(error)}", code="connection", retry_safe=True)


def connection_lost(error: BaseException | str, where: str, *, sent: bool = True) -> EndpointError:
    """Return the error for a connection that broke before the answer.

    Args:
        error: The error.
        where: The server that was being called.
        sent: The whole request was sent, so the server may have acted on it: the code is `connection_lost`. Else it is
            `connection`, as if there had been no connection at all.
    """
    return EndpointError(
        f"lost the connection to {where}: {_text(error)}",
        code="connection_lost" if sent else "connection",
        retry_safe=True,
    )


def unanswered(error: EndpointError) -> EndpointError:
    """Return the error for a request that a kept connection took and lost: it is not for us to send it twice."""
    return EndpointError(
        f"{error.message}; the request was sent and may have been carried out, so it is not sent again unless "
        "Retries(resend=True) allows it",
        code="connection_lost",
    )


def protocol_error(reason: str, where: str) -> EndpointError:
    """Return the error for an answer that is not HTTP, or breaks its rules."""
    return EndpointError(f"{where} did not answer in HTTP: {reason}", code="protocol", fault="service")


def proxy_refusal(status: int, reason: str, where: str) -> EndpointError:
    """Return the error for a proxy that opens no tunnel; it does so no more the next time, if the fault is ours."""
    cure = ": user name and password belong into its URL, HTTPS_PROXY=http://user:password@host:port"
    return EndpointError(
        f"cannot connect to {where}: the proxy answered {status} {reason}".rstrip() + (cure if status == 407 else ""),
        code="connection",
        retry_safe=not 400 <= status < 500 or status in (408, 429),
    )


def _text(error: BaseException | str) -> str:
    # aiohttp's own words repeat the address, and that there is no connection.
    cause = getattr(error, "os_error", None)
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused"
    if isinstance(cause, OSError):
        return cause.strerror or str(cause)
    return str(error) or type(error).__name__


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


def unreadable(error: EncodingError, where: str) -> WireError:
    """Return the error for a compressed answer that cannot be unpacked."""
    if error.incomplete:
        return truncated(error, where)
    return FrameError(f"the answer of {where} cannot be read: {error}")


def truncated(error: BaseException | str, where: str) -> StreamTruncated:
    """Return the error for an answer that broke off."""
    return StreamTruncated(f"the answer of {where} broke off: {_text(error)}")


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
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        seconds = (when - datetime.now(UTC)).total_seconds()
    # NaN compares false with everything, so it ends up as 0 as well.
    return seconds if 0 < seconds < 86_400 else 0.0
