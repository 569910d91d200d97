"""Short forms of values, as Python prints them: what was set, and of long values the beginning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Any

__all__ = ["ShortRepr", "shortened"]

_LONG = 80


class ShortRepr:
    """A base class for dataclasses with `repr=False`: shows the fields that are not at their defaults."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={shortened(value)}' for name, value in _set(self))})"


def shortened(value: object) -> str:
    """Return `repr(value)`, cut if it is long; of bytes the size.

    Example:
        >>> shortened("a" * 100)[-8:], shortened(b"a" * 100)
        ("aaaa'...", '<100 bytes>')
    """
    if isinstance(value, bytes) and len(value) > _LONG:
        return f"<{len(value):,} bytes>"
    if isinstance(value, str) and len(value) > _LONG:
        return f"{value[:_LONG]!r}..."
    text = repr(value)
    return text if len(text) <= 2 * _LONG else f"{text[: 2 * _LONG]}..."


def _set(value: Any) -> Iterator[tuple[str, object]]:
    for each in fields(value):
        if not each.repr:
            continue
        found = getattr(value, each.name)
        default = each.default_factory() if each.default_factory is not MISSING else each.default
        if default is MISSING or type(found) is not type(default) or found != default:
            yield each.name, found
