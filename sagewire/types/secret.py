"""A secret that only one method shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, cast

from sagewire.errors import UsageError

__all__ = ["Secret", "hide", "reveal"]


class Secret:
    """A value that no `repr`, `vars`, `dataclasses.asdict`, copy, JSON or pickle shows; `reveal` returns it.

    Args:
        value: The secret.

    Example:
        >>> Secret("hf_0123456789")
        Secret('***')
        >>> Secret("hf_0123456789").reveal()
        'hf_0123456789'
    """

    __slots__ = ("_reveal",)

    def __init__(self, value: Any) -> None:
        # In a closure, where programs that walk through the attributes of objects do not look.
        self._reveal: Callable[[], Any] = lambda: value

    def reveal(self) -> Any:
        """Return the value."""
        return self._reveal()

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self._reveal())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and bool(self._reveal() == other._reveal())

    def __hash__(self) -> int:
        return hash(self._reveal())

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise UsageError("a secret is never pickled; give it where it is used")


def hide(value: Any) -> Secret | None:
    """Return a value as a secret; one that is a secret, or nothing, as it is."""
    return value if value is None or isinstance(value, Secret) else Secret(value)


def reveal(value: Any) -> Any:
    """Return the value in a secret; anything else as it is."""
    return cast(Any, value.reveal()) if isinstance(value, Secret) else value
