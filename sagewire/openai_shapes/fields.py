"""Taking fields out of a request body, each checked for its type, with an error that names the field."""

from __future__ import annotations

import math
from collections.abc import KeysView, Mapping
from typing import Any, TypeVar

from sagewire.errors import UsageError

__all__ = ["BadRequest", "Fields"]


T = TypeVar("T")


class BadRequest(UsageError):
    """A request body is not what the API takes.

    Args:
        message: What is wrong, and the cure.
        param: The field it is about, as OpenAI's error object names it.
    """

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (*self.args, self.param)


class Fields:
    """The fields of a body that have not been taken yet; an explicit null counts as not given.

    Args:
        body: The parsed JSON body.

    Raises:
        BadRequest: It is not an object.
    """

    def __init__(self, body: Any) -> None:
        if not isinstance(body, Mapping):
            raise BadRequest(f"the request body must be a JSON object, not {_kind(body)}")
        self._left = {name: value for name, value in body.items() if value is not None}

    @property
    def names(self) -> KeysView[str]:
        """The names of those that were not taken."""
        return self._left.keys()

    def take(self, name: str) -> Any:
        """Return a field's value, `None` if it is not given, and forget it."""
        return self._left.pop(name, None)

    def text(self, name: str) -> str | None:
        """Take a string."""
        return self._typed(name, str, "a string")

    def flag(self, name: str) -> bool | None:
        """Take a boolean."""
        return self._typed(name, bool, "true or false")

    def items(self, name: str) -> list[Any] | None:
        """Take an array."""
        return self._typed(name, list, "an array")

    def object(self, name: str) -> dict[str, Any] | None:
        """Take an object."""
        return self._typed(name, dict, "an object")

    def number(self, name: str) -> float | None:
        """Take a number; whole ones stay `int`, because some servers refuse `1.0` for `top_k`."""
        value = self.take(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise BadRequest(f"{name!r} must be a number, not {_kind(value)}", name)
        return value

    def count(self, name: str, least: int = 0) -> int | None:
        """Take a whole number that is not below `least`."""
        value = self.number(name)
        if value is None:
            return None
        if value != int(value) or value < least:
            raise BadRequest(f"{name!r} must be a whole number of at least {least}, not {value}", name)
        return int(value)

    def rest(self) -> dict[str, Any]:
        """Return what was not taken."""
        return self._left

    def _typed(self, name: str, kind: type[T], words: str) -> T | None:
        value = self.take(name)
        if value is None or isinstance(value, kind):
            return value
        raise BadRequest(f"{name!r} must be {words}, not {_kind(value)}", name)


def _kind(value: Any) -> str:
    names: dict[type, str] = {
        dict: "an object",
        list: "an array",
        str: "a string",
        bool: "a boolean",
        type(None): "null",
    }
    return names.get(type(value), f"the number {value}")
