"""Many objects of a framework's pydantic class that differ in a few values, as the chunks of a stream do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["ChunkTemplate"]

T = TypeVar("T", bound="BaseModel")


class ChunkTemplate(Generic[T]):
    """Casts copies of an object that was made, and checked, the proper way.

    The frameworks check each chunk of a stream anew: types, defaults, validators written in Python. More than half of
    the time of a stream went there, though chunks differ in nothing but their text. Lists and dictionaries of a cast
    are its own, as those of any other object.

    Args:
        pattern: What casts are like; made with the fields that `cast` is given, so that they count as set.

    Example:
        >>> from langchain_core.messages import AIMessageChunk
        >>> ChunkTemplate(AIMessageChunk(content="", id="1")).cast(content="Hello").content
        'Hello'
    """

    __slots__ = ("_containers", "_extra", "_fields", "_fields_set", "_private", "_type")

    def __init__(self, pattern: T) -> None:
        self._type = type(pattern)
        self._fields = fields = vars(pattern)
        self._containers = [(name, value.copy) for name, value in fields.items() if isinstance(value, list | dict)]
        self._fields_set = pattern.__pydantic_fields_set__
        self._extra = pattern.__pydantic_extra__
        self._private = pattern.__pydantic_private__

    def cast(self, **values: Any) -> T:
        """Return a new object with these values, which are taken as they are."""
        fields = {**self._fields, **values}
        for name, copy in self._containers:
            if name not in values:
                fields[name] = copy()
        made = self._type.__new__(self._type)
        # What a pickled object is restored by; copying the pattern, or `model_construct`, takes twice as long.
        made.__setstate__(
            {
                "__dict__": fields,
                "__pydantic_fields_set__": self._fields_set.copy(),
                "__pydantic_extra__": None if self._extra is None else self._extra.copy(),
                "__pydantic_private__": None if self._private is None else self._private.copy(),
            }
        )
        return made
