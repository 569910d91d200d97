"""Models that were made for a name, because it fits a pattern: the last ones that were used."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

__all__ = ["ModelCache"]

# Names come from callers, and each has connections of its own.
REMEMBERED = 256


class Cached(Protocol):
    """The parts of a model that the cache uses."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def in_flight(self) -> int:
        """How many calls are in flight."""
        ...

    def retire(self) -> None:
        """Close it once nothing is in flight."""
        ...


Model = TypeVar("Model", bound=Cached)


class ModelCache(Generic[Model]):
    """A bounded number of models; one that is dropped is closed after its last call in flight.

    Args:
        most: How many there may be, but for those that are all at work at once.
    """

    def __init__(self, most: int = REMEMBERED) -> None:
        self._most = most
        self._models: OrderedDict[str, Model] = OrderedDict()
        self._ended = False

    def __iter__(self) -> Iterator[Model]:
        return iter(tuple(self._models.values()))

    def get(self, name: str) -> Model | None:
        """Return the model of a name, `None` if it is not in the cache."""
        model = self._models.get(name)
        if model is not None:
            self._models.move_to_end(name)
        return model

    def add(self, model: Model) -> None:
        """Add a model; the least recently used one without calls in flight makes room."""
        if self._ended:
            model.retire()
            return
        self._models[model.name] = model
        if len(self._models) > self._most:
            idle = (one for one in self._models.values() if one is not model and not one.in_flight)
            oldest = next(idle, None)
            if oldest is not None:
                self.drop(oldest)

    def drop(self, model: Model) -> None:
        """Forget a model."""
        if not self._ended and self._models.get(model.name) is model:
            del self._models[model.name]
            model.retire()

    def end(self) -> None:
        """Stop caching: other owners close the models; those that still come are for requests that began before."""
        self._ended = True
