"""A failed container's own words, dug out of what it sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from sagewire.errors import excerpt

__all__ = ["MAX_BODY_CHARACTERS", "MAX_CHARACTERS", "container_body", "container_message", "json_fields", "unwrap"]

MAX_CHARACTERS = 2000
# How much of an error's body is kept for the content handler.
MAX_BODY_CHARACTERS = 20_000
# The sentence SageMaker wraps around a container's body: `Received client error (422) from primary with message "..."`.
# The name is "primary", a container's host name, or the generated name of an inference component. Taken apart by hand,
# because a pattern for it takes quadratic time on a long message.
_WRAPPED = re.compile(r"Received (?:client|server) error \((\d{1,5})\) from ")
_MESSAGE = ' with message "'
_TAIL = re.compile(r'"?\.? See https?://\S')
# TGI reads what the model wrote for a tool call or a grammar as JSON, and fails if it was cut off.
_CUT_CALL = re.compile(
    r"(?i)^(?!.{0,200}\b(?:request|body|payload)\b)(?:.{0,200}[\s:])?"
    r"EOF while parsing an? (?:object|string|list|value)\b"
    r"(?! at line 1 column 0\b)",
    re.DOTALL,
)
_CUT_OFF = "the model's tool call ended early, as a rule at max_tokens: raise max_tokens"
_KEYS = ("message", "Message", "error", "detail", "errorMessage", "error_description", "errors", "msg")


def unwrap(message: str) -> tuple[int | None, str | None]:
    """Return the container's status and body out of SageMaker's sentence around them, `None` if it is not there."""
    match = _WRAPPED.search(message)
    if match is None:
        return None, None
    start = message.find(_MESSAGE, match.end(), match.end() + 500)
    # The body may hold quotes itself.
    end = message.rfind('"')
    body = message[start + len(_MESSAGE) : end] if start >= 0 and start + len(_MESSAGE) <= end else None
    return int(match[1]), body


def container_body(message: str, original: object) -> str:
    """Return the container's body: as SageMaker passed it on, or cut out of the sentence it was put in."""
    if isinstance(original, str) and original:
        return original
    _, body = unwrap(message)
    if body is not None:
        return body
    tail = _TAIL.search(message)
    return message if tail is None else message[: tail.start()]


def json_fields(body: bytes) -> Mapping[str, Any]:
    """Return the fields of a JSON object, none if the body is anything else."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return fields if isinstance(fields, dict) else {}


def container_message(body: str) -> str:
    """Return what a container said went wrong.

    Known shapes: a bare string, `{"error": "..."}` (TGI, TEI, Triton), `{"error": {"message": "..."}}` (OpenAI-like),
    `{"message": "..."}` (MMS, TorchServe, DJL), `{"detail": ...}` (FastAPI,
    with the field it is about), `{"errors": [...]}`, and lists of these.

    Example:
        >>> container_message('{"error": {"message": "too many tokens", "code": 400}}')
        'too many tokens'
    """
    try:
        found = _words(orjson.loads(body), 0)
    except orjson.JSONDecodeError:
        found = None
    said = excerpt((found or body).strip(), MAX_CHARACTERS)
    return f"{said} ({_CUT_OFF})" if _CUT_CALL.search(said) else said


def _words(value: Any, depth: int) -> str | None:
    if isinstance(value, str):
        return value.strip() or None
    if depth > 4:
        return None
    if isinstance(value, list):
        words = [found for item in value[:5] if (found := _words(item, depth + 1))]
        return "; ".join(words) or None
    if isinstance(value, dict):
        message, error = value.get("message"), value.get("error")
        if isinstance(message, str) and isinstance(error, str) and message and error:
            # DJL puts the kind of failure under one key and the reason under the other.
            return f"{message}: {error}"
        for key in _KEYS:
            found = _words(value.get(key), depth + 1)
            if found:
                return f"{path}: {found}" if (path := _path(value.get("loc"))) else found
    return None


def _path(loc: Any) -> str:
    """Return which field of the request FastAPI complains about: `messages.2.content`."""
    steps = loc if isinstance(loc, list) else [loc] if isinstance(loc, str) else []
    return ".".join(str(step) for step in (steps[1:] if steps[:1] == ["body"] else steps))
