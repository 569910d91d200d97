"""URLs without their secrets, for messages and metrics."""

from __future__ import annotations

__all__ = ["public_url"]


def public_url(url: str) -> str:
    """Return a URL without what may be secret in it: user, password, query and fragment.

    Example:
        >>> public_url("http://me:secret@host:8000/v1?api_key=secret")
        'http://host:8000/v1'
    """
    head, mark, rest = url.partition("://")
    place = rest if mark else head
    place = place.partition("?")[0].partition("#")[0]
    authority, slash, path = place.partition("/")
    return f"{head + mark if mark else ''}{authority.rpartition('@')[2]}{slash}{path}"
