"""JSON as models write it, and as every parser reads it."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["from_json", "to_json"]


def to_json(value: Any) -> str:
    """Return compact-enough JSON text that any reader accepts; raise `ValueError` for what JSON cannot say."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        # Half a surrogate pair can be written in JSON, but only as an escape.
        return json.dumps(value, allow_nan=False)
    return text


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def from_json(text: str) -> Any:
    """Parse JSON as models write it, with line breaks in strings; raise `ValueError`."""
    try:
        return json.loads(text, strict=False, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
