"""Prompt templates: text with column names in braces."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter
from typing import Any

from sagewire.bulk.rows import dump_json
from sagewire.errors import UsageError

__all__ = ["Template"]


class Template:
    """A text with column names in braces; `{{` and `}}` are braces.

    Columns that hold lists or objects are written as JSON. Names are looked up and never evaluated, so that a template
    reaches nothing but the row: `{a.b}` is the column of that name.

    Args:
        text: The template.

    Raises:
        UsageError: The braces do not match, or hold more than a name.

    Example:
        >>> Template("Summarise: {body}").fill({"body": "It rained."})
        'Summarise: It rained.'
    """

    def __init__(self, text: str) -> None:
        try:
            pieces = list(Formatter().parse(text))
        except ValueError as error:
            raise UsageError(f"template: {error}; write {{{{ for a brace") from None
        for _, name, spec, conversion in pieces:
            if name is not None and (not name or spec or conversion):
                whole = f"{name}{f'!{conversion}' if conversion else ''}{f':{spec}' if spec else ''}"
                raise UsageError(f"template: {{{whole}}} must hold a column's name and nothing else")
        self._pieces = [(literal, name) for literal, name, _, _ in pieces]

    @property
    def columns(self) -> list[str]:
        """The columns it names, in order."""
        return list(dict.fromkeys(name for _, name in self._pieces if name is not None))

    def fill(self, values: Mapping[str, Any]) -> str:
        """Return the text for a row.

        Raises:
            KeyError: The row lacks the column, or its cell is empty.
        """
        return "".join(literal + (_text(values, name) if name is not None else "") for literal, name in self._pieces)


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    if value is None:
        raise KeyError(name)
    if isinstance(value, str):
        return value
    if isinstance(value, list | dict):
        return dump_json(value).decode()
    return str(value)
