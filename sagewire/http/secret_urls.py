"""URLs that hold a key in their query, as some servers take it: hidden where the rest of the URL is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import unquote_plus

from sagewire.errors import UsageError
from sagewire.http.origin import without_login
from sagewire.types.secret import Secret, reveal

__all__ = ["check_login", "check_pickled_proxies", "hide_url", "shown_url"]

_MASK = "***"
# Shorter values are no keys, and neither are those of these names.
_SHORTEST = 6
_HARMLESS = frozenset({"api-version", "api_version", "deployment", "format", "model", "region", "version"})


def shown_url(url: str | Secret) -> str:
    """Return a URL for messages: without user name and password, and with the keys in its query masked.

    Example:
        >>> shown_url("https://llm.example.org/v1?api-version=2024-10-21&code=hf_0123456789")
        'https://llm.example.org/v1?api-version=2024-10-21&code=***'
    """
    plain: str = reveal(url)
    # A fragment is never sent, but may be where a key was put.
    before, mark, query = without_login(plain).partition("#")[0].partition("?")
    return before + mark + "&".join(_shown_pair(pair) for pair in query.split("&"))


def _shown_pair(pair: str) -> str:
    name, equals, value = pair.partition("=")
    if not equals:
        return pair if len(unquote_plus(pair)) < _SHORTEST else _MASK
    return pair if name.lower() in _HARMLESS or len(unquote_plus(value)) < _SHORTEST else f"{name}={_MASK}"


def hide_url(url: str | Secret) -> str | Secret:
    """Return a URL that holds a key as a secret, and any other as it is."""
    return url if isinstance(url, Secret) or shown_url(url) == url else Secret(url)


def check_pickled_proxies(config: Any) -> None:
    """Raise `UsageError` if a `botocore.config.Config` holds the password of a proxy."""
    proxies = getattr(config, "proxies", None)
    if isinstance(proxies, Mapping) and any("@" in str(proxy) for proxy in proxies.values()):
        raise UsageError(
            "a proxy's password in Config(proxies=...) is a secret and is never pickled; use HTTPS_PROXY where the "
            "object is used"
        )


def check_login(url: str | Secret) -> None:
    """Raise `UsageError` for a URL with a user name or a password."""
    plain = cast(str, reveal(url))
    if "://" in plain and without_login(plain) != plain:
        raise UsageError(
            f"{shown_url(plain)}: a URL with a user name or password ends up in logs; use token= or headers="
        )
