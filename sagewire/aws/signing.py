"""AWS Signature Version 4, with the day's signing key cached.

Pure: a request's parts and a clock reading in, headers out. Deriving the signing key costs four HMACs of the five a
signature needs, and it changes once a day: botocore derives it for every request (49 us each), this signer once (4 us).
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from urllib.parse import quote, urlsplit

from sagewire.aws.credentials import Credentials
from sagewire.http.origin import host_header
from sagewire.types.secret import Secret

__all__ = ["UNSIGNED_PAYLOAD", "Signer", "amz_date", "canonical_path", "canonical_query"]

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"

# Proxies and HTTP clients change these on the way, so they are left out (the list of botocore/auth.py, 1.44).
_NOT_SIGNED = frozenset(
    {
        "authorization",
        "baggage",
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-amz-date",
        "x-amz-security-token",
        "x-amzn-trace-id",
    }
)


class Signer:
    """Signs requests to one service in one region; safe to share between threads.

    Args:
        service: The service's signing name, for example `sagemaker`.
        region: The signing region.

    Attributes:
        clock_ahead: Seconds by which the service's clock is ahead of this machine's.

    Example:
        >>> signer = Signer("sagemaker", "us-east-1")
        >>> headers = signer.sign(
        ...     "POST", "https://runtime.sagemaker.us-east-1.amazonaws.com/endpoints/e/invocations",
        ...     {"Content-Type": "application/json"}, b"{}", Credentials("AKIDEXAMPLE", "secret"),
        ...     datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
        >>> headers["X-Amz-Date"]
        '20260102T030405Z'
    """

    def __init__(self, service: str, region: str) -> None:
        self.service = service
        self.region = region
        # S3 object keys are signed as they are sent; every other service expects the path to be encoded once more.
        self._encode_path = service != "s3"
        self._key: tuple[str, Credentials, Secret] | None = None
        self.clock_ahead = 0.0

    def __reduce__(self) -> tuple[object, ...]:
        return Signer, (self.service, self.region)

    def __repr__(self) -> str:
        return f"Signer({self.service!r}, {self.region!r})"

    def sign(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        credentials: Credentials,
        now: datetime | None = None,
    ) -> dict[str, str]:
        """Return the headers that make a request a signed one, to be sent along with `headers`.

        Args:
            method: The HTTP method.
            url: The whole URL exactly as it is sent, percent-encoding included.
            headers: The headers that are sent; `Host` may be left out. Headers that proxies change are not signed.
                An `X-Amz-Content-SHA256` here stands for the body's hash.
            body: The body.
            credentials: Whose signature it is.
            now: The time; the system clock's where omitted. A time without a zone is taken as UTC.

        Returns:
            `X-Amz-Date`, `Authorization`, and `X-Amz-Security-Token` for temporary credentials; for S3 also
            `X-Amz-Content-SHA256`.
        """
        if now is None and self.clock_ahead:
            now = datetime.now(UTC) + timedelta(seconds=self.clock_ahead)
        timestamp = amz_date(now)
        host, path, query = _split(url, self._encode_path)
        signed = {"host": host, "x-amz-date": timestamp}
        for name, value in headers.items():
            lower = name.lower().strip()
            if lower not in _NOT_SIGNED:
                signed[lower] = " ".join(value.split())
        result = {"X-Amz-Date": timestamp}
        if credentials.token:
            signed["x-amz-security-token"] = result["X-Amz-Security-Token"] = credentials.token
        body_hash = signed.get("x-amz-content-sha256") or sha256(body).hexdigest()
        if self.service == "s3":
            signed["x-amz-content-sha256"] = result["X-Amz-Content-SHA256"] = body_hash

        names = sorted(signed)
        signed_names = ";".join(names)
        lines = "".join([f"{name}:{signed[name]}\n" for name in names])
        canonical = f"{method.upper()}\n{path}\n{query}\n{lines}\n{signed_names}\n{body_hash}"
        signature, scope = self.signature(canonical, timestamp, credentials)
        result["Authorization"] = (
            f"{ALGORITHM} Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={signed_names}, Signature={signature}"
        )
        return result

    def signature(self, canonical_request: str, timestamp: str, credentials: Credentials) -> tuple[str, str]:
        """Return the signature of a canonical request as hexadecimal digits, and its credential scope."""
        date = timestamp[:8]
        scope = f"{date}/{self.region}/{self.service}/aws4_request"
        digest = sha256(canonical_request.encode()).hexdigest()
        to_sign = f"{ALGORITHM}\n{timestamp}\n{scope}\n{digest}"
        return hmac.digest(self._signing_key(date, credentials), to_sign.encode(), "sha256").hex(), scope

    def _signing_key(self, date: str, credentials: Credentials) -> bytes:
        # One tuple, replaced as a whole: threads that race derive the same key twice, and never see half of one.
        # The whole is compared, not the key id: a changed secret takes effect at once.
        cached = self._key
        if cached is not None and cached[0] == date and (cached[1] is credentials or cached[1] == credentials):
            return cached[2].reveal()  # type: ignore[no-any-return]
        key = f"AWS4{credentials.secret_key}".encode()
        for part in (date, self.region, self.service, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        self._key = (date, credentials, Secret(key))
        return key


def amz_date(now: datetime | None = None) -> str:
    """Return a time, or now, as `X-Amz-Date` writes it; a time without a zone is taken as UTC."""
    if now is None:
        return _date_of_second(int(time.time()))
    if now.tzinfo is not None:
        now = now.astimezone(UTC)
    return now.strftime("%Y%m%dT%H%M%SZ")


@lru_cache(maxsize=2)
def _date_of_second(second: int) -> str:
    # Formatting a time takes as long as the rest of a signature.
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))


@lru_cache(maxsize=256)
def _split(url: str, encode_path: bool) -> tuple[str, str, str]:
    parts = urlsplit(url)
    return (
        host_header(url),
        canonical_path(parts.path) if encode_path else parts.path or "/",
        canonical_query(parts.query),
    )


def canonical_path(path: str) -> str:
    """Return a URL path without dot segments and doubled slashes, percent-encoded once more."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            if kept:
                kept.pop()
        elif segment not in ("", "."):
            kept.append(segment)
    tail = "/" if kept and path.endswith("/") else ""
    return quote(f"/{'/'.join(kept)}{tail}", safe="/~")


def canonical_query(query: str) -> str:
    """Return the pairs of an encoded query string in the order of their names, then values."""
    if not query:
        return ""
    pairs = sorted(pair.partition("=")[::2] for pair in query.split("&"))
    return "&".join(f"{name}={value}" for name, value in pairs)
