"""What one rendering of a foreign template may cost: time, and the size of everything it makes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, MappingView
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateRuntimeError

__all__ = ["BUDGET", "MAX_TOKENS", "Budget", "TemplateLimit", "TemplateLimits"]

# The longest templates of published models have 3,000.
MAX_TOKENS = 20_000
MAX_NESTING = 60
# Larger numbers can be made to collide in a table, whose time then grows with the square of their count.
MAX_BITS = 64
STEPS_PER_LOOK = 8
# What an element takes beside its text, at work of one for a byte.
ELEMENT = 32
# A character outside of ASCII may take four bytes.
WIDE = 4
CONTAINERS = (list, tuple, Mapping, MappingView)


class TemplateLimit(TemplateRuntimeError):
    """A template asked for more than it may have."""


@dataclass(frozen=True, slots=True)
class TemplateLimits:
    """What a template may cost.

    Args:
        template: Characters of the template's source.
        value: Characters and elements of one value, the prompt included.
        work: Bytes and steps of one rendering, intermediate values included, an element of a list being 32 bytes.
        seconds: Seconds of one rendering.
    """

    template: int = 512 * 1024
    value: int = 8 * 1024 * 1024
    work: int = 256 * 1024 * 1024
    seconds: float = 10.0


class Budget:
    """What is left for one rendering.

    No operation between two looks at the clock can take long, since every value is bounded when it is made.
    """

    __slots__ = ("_deadline", "_limits", "_steps", "_weights", "_work")

    def __init__(self, limits: TemplateLimits) -> None:
        self._limits = limits
        self._work = limits.work
        self._deadline = time.monotonic() + limits.seconds
        self._steps = 0
        # The containers are kept, so that no other one can get the same id.
        self._weights: dict[int, tuple[Any, int]] = {}

    def spend(self, work: int = 0) -> None:
        """Take one step that makes `work` bytes."""
        self._work -= work + 1
        self._steps += 1
        if self._work < 0:
            raise TemplateLimit(f"the chat template makes more than {self._limits.work} bytes on its way")
        if (work > 10_000 or self._steps % STEPS_PER_LOOK == 0) and time.monotonic() > self._deadline:
            raise TemplateLimit(f"the chat template takes longer than {self._limits.seconds:g} seconds")

    def allow(self, size: int) -> None:
        """Refuse a value of this size before it is made."""
        if size > self._limits.value:
            raise TemplateLimit(f"the chat template makes a value larger than {self._limits.value} characters")

    def check(self, value: Any) -> Any:
        """Return a value that was just made, if it is not too large."""
        if isinstance(value, str):
            self.allow(len(value))
            self.spend(len(value) if value.isascii() else WIDE * len(value))
        elif isinstance(value, int):
            if value.bit_length() > MAX_BITS:
                raise TemplateLimit("the chat template makes too large a number")
        elif isinstance(value, CONTAINERS):
            self.spend(ELEMENT * len(value))
            self.allow(self.weigh(value))
        elif isinstance(value, Iterator):
            return self.each(value)
        return value

    def each(self, items: Iterable[Any]) -> Iterator[Any]:
        """Pass items on, one step each."""
        for item in items:
            self.spend()
            yield item

    def weigh(self, value: Any, depth: int = 0) -> int:
        """Return the size of a value written out."""
        if isinstance(value, str):
            return len(value) + 1
        if isinstance(value, int):
            return 1 + value.bit_length() // 3
        if not isinstance(value, CONTAINERS):
            return 1
        known = self._weights.get(id(value))
        if known is not None:
            return known[1]
        if depth > MAX_NESTING:
            raise TemplateLimit("the chat template nests its values too deeply")
        items: Iterable[Any] = value  # type: ignore[assignment]  # views can be iterated over, too
        if isinstance(value, Mapping):
            items = (item for pair in value.items() for item in pair)
        weight = 1
        for item in items:
            weight += self.weigh(item, depth + 1)
            self.allow(weight)
        self.spend(len(value))
        self._weights[id(value)] = (value, weight)
        return weight


BUDGET: ContextVar[Budget] = ContextVar("sagewire_template_budget")
