"""Checks for values out of a container's JSON; their exceptions become a `WireError` in the base class."""

from __future__ import annotations

from typing import Any

__all__ = ["as_text"]


def as_text(value: Any) -> str:
    """Return `value` if it is text; raise `TypeError` if the container sent something else."""
    if isinstance(value, str):
        return value
    raise TypeError(f"expected text, got {type(value).__name__}")
