"""Verifying Signature Version 4, in the header and in the query, as AWS does and with AWS's words.

Written from the published algorithm, apart from the code that signs: a mistake in one is found by the other.
"""

from __future__ import annotations

import calendar
import hashlib
import hmac
import posixpath
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, unquote, unquote_plus

from sagewire.emulator.aws.identity import Credentials, Identities, IdentityError
from sagewire.emulator.http_values import Request

__all__ = ["ALGORITHM", "Scope", "read_scope", "verify", "verify_query"]

ALGORITHM = "AWS4-HMAC-SHA256"
ALLOWED_SKEW = 300
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)
_FIELD = re.compile(r"(\w+)=([^,\s]+)")


@dataclass(frozen=True, slots=True)
class Scope:
    """The scope of a signature."""

    access_key: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str

    @property
    def text(self) -> str:
        """The credential scope, without the key."""
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def _scope(credential: str, signed_headers: str, signature: str) -> Scope:
    # An access key never holds a slash; the other four parts always follow it.
    parts = credential.split("/")
    if len(parts) != 5 or parts[4] != "aws4_request":
        raise IdentityError(
            "IncompleteSignatureException",
            f"Credential must have exactly 5 slash-delimited elements, got '{credential}'",
            400,
        )
    return Scope(parts[0], parts[1], parts[2], parts[3], tuple(signed_headers.split(";")), signature)


def read_scope(request: Request) -> Scope:
    """Return what the `Authorization` header says.

    Raises:
        IdentityError: The header is missing, or it is not a complete signature.
    """
    header = request.headers.get("authorization", "")
    if not header:
        raise IdentityError("MissingAuthenticationTokenException", "Missing Authentication Token")
    kind, _, rest = header.partition(" ")
    fields = dict(_FIELD.findall(rest))
    if kind != ALGORITHM or not {"Credential", "SignedHeaders", "Signature"} <= fields.keys():
        raise IdentityError(
            "IncompleteSignatureException",
            "Authorization header requires 'Credential', 'Signature' and 'SignedHeaders' parameters.",
            400,
        )
    return _scope(fields["Credential"], fields["SignedHeaders"], fields["Signature"])


def verify(
    request: Request, identities: Identities, clock: Callable[[], float], *, region: str, services: tuple[str, ...]
) -> Credentials:
    """Return the credentials that signed the request.

    Raises:
        IdentityError: The access key is unknown, or the signature is wrong, too old, or for another region or service.
    """
    scope = read_scope(request)
    stamp = request.headers.get("x-amz-date", "")
    caller = identities.find(scope.access_key, request.headers.get("x-amz-security-token"))
    _check_time(stamp, scope, clock())
    if scope.service not in services:
        raise IdentityError(
            "InvalidSignatureException", f"Credential should be scoped to correct service: '{services[0]}'."
        )
    if scope.region != region:
        raise IdentityError(
            "InvalidSignatureException", f"Credential should be scoped to a valid region, not '{scope.region}'."
        )
    missing = [name for name in scope.signed_headers if name not in request.headers]
    if missing or "host" not in scope.signed_headers:
        raise IdentityError("InvalidSignatureException", MISMATCH)
    payload_hash = _payload_hash(request)
    query = _canonical_query(request.raw_query)
    _compare(_signature(request, scope, caller.secret_key, stamp, query, payload_hash), scope.signature)
    return caller


def verify_query(
    request: Request, identities: Identities, clock: Callable[[], float], *, payload_hash: str = "UNSIGNED-PAYLOAD"
) -> tuple[Credentials, Scope]:
    """Return the credentials that presigned the request, and the scope of the signature in its query.

    Raises:
        IdentityError: The access key is unknown, or the signature is wrong or too old.
    """
    given = request.query
    if given.get("X-Amz-Algorithm") != ALGORITHM:
        raise IdentityError("MissingAuthenticationTokenException", "Missing Authentication Token")
    scope = _scope(
        given.get("X-Amz-Credential", ""), given.get("X-Amz-SignedHeaders", ""), given.get("X-Amz-Signature", "")
    )
    caller = identities.find(scope.access_key, given.get("X-Amz-Security-Token"))
    stamp = given.get("X-Amz-Date", "")
    signed_at, seconds = _seconds(stamp), given.get("X-Amz-Expires", "")
    if signed_at is None or not seconds.isdigit() or not 1 <= int(seconds) <= 604_800:
        raise IdentityError("IncompleteSignatureException", "X-Amz-Date and X-Amz-Expires must be valid", 400)
    if not signed_at - ALLOWED_SKEW <= clock() < signed_at + int(seconds):
        raise IdentityError("ExpiredTokenException", "The presigned request has expired")
    query = _canonical_query(request.raw_query, without="X-Amz-Signature")
    _compare(_signature(request, scope, caller.secret_key, stamp, query, payload_hash), scope.signature)
    return caller, scope


def _check_time(stamp: str, scope: Scope, now: float) -> None:
    seconds = _seconds(stamp)
    if seconds is None or not stamp.startswith(scope.date):
        raise IdentityError(
            "IncompleteSignatureException",
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP",
            400,
        )
    if abs(now - seconds) > ALLOWED_SKEW:
        here = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        text = "Signature expired" if seconds < now else "Signature not yet current"
        raise IdentityError("InvalidSignatureException", f"{text}: {stamp} is not within 5 minutes of {here}")


def _seconds(stamp: str) -> float | None:
    try:
        return float(calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ")))
    except ValueError:
        return None


def _payload_hash(request: Request) -> str:
    actual = hashlib.sha256(request.body).hexdigest()
    claimed = request.headers.get("x-amz-content-sha256", actual)
    if claimed not in (actual, "UNSIGNED-PAYLOAD"):
        raise IdentityError("InvalidSignatureException", MISMATCH)
    return claimed


def _canonical_query(raw: str, without: str = "") -> str:
    pairs = []
    for item in raw.split("&"):
        name, _, value = item.partition("=")
        # boto signs what it sends, and sends %20 for a blank; a plus sign in a query is a blank too.
        name, value = unquote_plus(name), unquote_plus(value)
        if item and name != without:
            pairs.append((quote(name, safe="-_.~"), quote(value, safe="-_.~")))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _canonical_path(request: Request, service: str) -> str:
    path = request.raw_path or "/"
    if service == "s3":
        return quote(unquote(path), safe="/-_.~")
    # Every service but S3 signs the normalised path, encoded once more than it was sent.
    normal = posixpath.normpath(path) + ("/" if path.endswith("/") and path != "/" else "")
    return quote("/" + normal.lstrip("/"), safe="/-_.~")


def _signature(request: Request, scope: Scope, secret: str, stamp: str, query: str, payload_hash: str) -> str:
    headers = "".join(f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in scope.signed_headers)
    canonical = "\n".join(
        (
            request.method,
            _canonical_path(request, scope.service),
            query,
            headers,
            ";".join(scope.signed_headers),
            payload_hash,
        )
    )
    text = "\n".join((ALGORITHM, stamp, scope.text, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{secret}".encode()
    for part in (scope.date, scope.region, scope.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _compare(expected: str, given: str) -> None:
    if not hmac.compare_digest(expected, given):
        raise IdentityError("InvalidSignatureException", MISMATCH)
