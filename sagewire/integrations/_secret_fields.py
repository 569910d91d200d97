"""Types of pydantic fields that hold secrets: given as text, kept where no dump, copy or debugger shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, SecretStr, WithJsonSchema

from sagewire.http.secret_urls import check_login, hide_url, shown_url
from sagewire.types.secret import Secret, hide, reveal

__all__ = ["SecretHeaders", "SecretText", "SecretToken", "SecretUrl", "hidden_headers", "revealed"]

_TEXT = {"type": "string"}


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
        ValueError: They are no mapping of texts.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a mapping, not {type(value).__name__}")
    return {str(name): _text(text) for name, text in value.items()}


def _url(value: Any) -> str | Secret:
    if not isinstance(value, str | Secret):
        raise ValueError(f"must be a URL, not {type(value).__name__}")
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
