"""Many objects of a framework's pydantic class that differ in a few values, as the chunks of a stream do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["Mould"]

T = TypeVar("T", bound="BaseModel")


class Mould(Generic[T]):
    """Casts copies of an object that was made, and checked, the proper way.

    The frameworks check each chunk of a stream anew: types, defaults, validators written in Python. More than half of
    the time of a stream went there, though chunks differ in nothing but their text. Lists and dictionaries of a cast
    are its own, as those of any other object.

    Args:
        pattern: What casts are like; made with the fields that `cast` is given, so that they count as set.

    Example:
        >>> from langchain_core.messages import AIMessageChunk
        >>> Mould(AIMessageChunk(content="", id="1")).cast(content="Hello").content
        'Hello'
    """

    __slots__ = ("_own", "_pattern")

    def __init__(self, pattern: T) -> None:
        self._pattern = pattern
        self._own = [(name, value.copy) for name, value in vars(pattern).items() if isinstance(value, list | dict)]

    def cast(self, **values: Any) -> T:
        """Return a new object with these values, which are taken as they are."""
        made = self._pattern.__copy__()
        # Assigning to the fields themselves would check them again.
        fields = vars(made)
        for name, copy in self._own:
            fields[name] = copy()
        fields.update(values)
        return made
