"""A call's arguments, as templates of both kinds expect them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["Arguments"]


class Arguments(dict[str, Any]):
    """A call's arguments: an object for templates that look into it, its JSON text for those that write it as it is."""

    def __init__(self, value: Mapping[str, Any], text: str) -> None:
        super().__init__(value)
        self._text = text

    def __str__(self) -> str:
        return self._text

    __repr__ = __str__

    def __add__(self, other: Any) -> Any:
        return self._text + other

    def __radd__(self, other: Any) -> Any:
        return other + self._text
