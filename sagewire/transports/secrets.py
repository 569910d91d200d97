"""Keeping what was sent as a secret out of errors: debug pages and proxies repeat the headers they were sent."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from sagewire.errors import SagewireError

__all__ = ["redact", "redact_error", "secrets_of"]

MASK = "***"
# Headers whose values are not secrets. Any other may be: gateways read their keys from headers of any name.
_HARMLESS = frozenset(
    {
        "accept",
        "accept-encoding",
        "content-type",
        "host",
        "user-agent",
        "x-amz-content-sha256",
        "x-amz-date",
        "x-request-id",
    }
)
_HARMLESS_PREFIX = "x-amzn-sagemaker-"
# Masking shorter words would make messages unreadable, and so short a value is not a secret.
_SHORTEST = 6


def secrets_of(headers: Mapping[str, str]) -> tuple[str, ...]:
    """Return what must not be shown of a request's headers, the longest first.

    Example:
        >>> secrets_of({"Authorization": "Bearer hf_0123456789", "Accept": "application/json"})
        ('Bearer hf_0123456789', 'hf_0123456789')
    """
    found: set[str] = set()
    for name, value in headers.items():
        lower = name.lower()
        if lower in _HARMLESS or lower.startswith(_HARMLESS_PREFIX):
            continue
        found |= {value, value.partition(" ")[2].strip(), value.rpartition("Signature=")[2]}
    return tuple(sorted((value for value in found if len(value) >= _SHORTEST), key=len, reverse=True))


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return a text in which secrets are masked, also as JSON, HTML and URLs write them."""
    for secret in secrets:
        for written in {secret, secret.replace("/", "\\/"), html.escape(secret), quote(secret, safe="")}:
            text = text.replace(written, MASK)
    return text


def redact_error(error: SagewireError, secrets: tuple[str, ...]) -> None:
    """Mask secrets in all that an error says."""
    if not secrets:
        return
    error.args = tuple(redact(value, secrets) if isinstance(value, str) else value for value in error.args)
    for name, value in list(vars(error).items()):
        if isinstance(value, str):
            setattr(error, name, redact(value, secrets))
