"""Types of pydantic fields that hold secrets: given as text, kept where no dump, copy or debugger shows them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, cast
from urllib.parse import unquote_plus

from pydantic import BeforeValidator, PlainSerializer, SecretStr, WithJsonSchema

from sagewire.errors import UsageError
from sagewire.http.secret_urls import check_login, hide_url, shown_url
from sagewire.types.secret import Secret, hide, reveal

__all__ = ["SecretHeaders", "SecretText", "SecretToken", "SecretUrl", "hidden_headers", "hidden_url", "revealed"]

_TEXT = {"type": "string"}
_MASK = "***"
_MASKED_LOGIN = re.compile(r"://[^/?#]*(?:\*\*\*|(?:%2A){3})@", re.IGNORECASE)


def _text(value: Any) -> Secret | None:
    if value is None or isinstance(value, Secret):
        return value
    if isinstance(value, SecretStr):
        return hide(value.get_secret_value())
    if not isinstance(value, str):
        # The value itself may be the secret, and is not shown.
        raise ValueError(f"must be text, not {type(value).__name__}")
    return hide(value)


def _token(value: Any) -> Secret | None:
    return hide(value) if callable(value) else _text(value)


def hidden_headers(value: Any) -> dict[str, Secret | None] | None:
    """Return headers with their values as secrets.

    Raises:
        ValueError: They are no mapping of texts; a value that is `None` would be sent as that word.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a mapping, not {type(value).__name__}")
    for name, text in value.items():
        if text is None:
            raise ValueError(f"{str(name)!r} is None, which is not text; leave it out")
    return {str(name): _text(text) for name, text in value.items()}


def hidden_url(name: str | None, value: Any) -> Any:
    """Return a field's value, a URL with a key in it as a secret: fields may be assigned to, and nothing reads these.

    Args:
        name: The field's name.
        value: Its value.
    """
    return hide_url(value) if isinstance(value, str) and name is not None and name.endswith("url") else value


def _check_mask(url: str) -> None:
    query = url.partition("#")[0].partition("?")[2]
    values = [unquote_plus(pair.rpartition("=")[2]) for pair in query.split("&")]
    if _MASK in values or _MASKED_LOGIN.search(url):
        raise UsageError("the key was masked when this was written; give the URL again")


def _url(value: Any) -> str | Secret:
    if not isinstance(value, str | Secret):
        raise ValueError(f"must be a URL, not {type(value).__name__}")
    _check_mask(cast(str, reveal(value)))
    check_login(value)
    return hide_url(value)


SecretText = Annotated[Secret | None, BeforeValidator(_text), WithJsonSchema(_TEXT)]
"""Text."""

SecretToken = Annotated[Secret | None, BeforeValidator(_token), WithJsonSchema(_TEXT)]
"""Text, or a function that returns it."""

SecretHeaders = Annotated[dict[str, Any] | None, BeforeValidator(hidden_headers), WithJsonSchema({"type": "object"})]
"""Names, and texts that may be secrets. The type is what a caller gives; the texts are kept as secrets."""

SecretUrl = Annotated[
    str | Secret, BeforeValidator(_url), PlainSerializer(shown_url, return_type=str), WithJsonSchema(_TEXT)
]
"""A URL. With a key in its query it is a secret, and written with the key masked."""


def revealed(values: Mapping[str, Secret] | None) -> dict[str, Any]:
    """Return headers or cookies as they are sent."""
    return {name: reveal(value) for name, value in (values or {}).items()}
