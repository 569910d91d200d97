"""The tools a model was given: their names, and the types of their parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sagewire.errors import UsageError
from sagewire.prompt_formats.output_parsers.engine.typed_values import json_types, typed_value
from sagewire.types import Tool

__all__ = ["Offered"]


class Offered:
    """The tools of a request.

    Args:
        tools: sagewire tools or OpenAI-shaped dicts; `None` if it is not known what was offered. An empty sequence
            says that nothing was.

    Raises:
        UsageError: Something in `tools` is not a tool.
    """

    __slots__ = ("_schemas",)

    def __init__(self, tools: Sequence[Tool | Mapping[str, Any]] | None) -> None:
        self._schemas = None if tools is None else dict(map(_name_and_schema, tools))

    @property
    def known(self) -> bool:
        """Whether it is known what was offered."""
        return self._schemas is not None

    def knows(self, name: str) -> bool | None:
        """Return whether the tool was offered; `None` if that is not known."""
        return None if self._schemas is None else name in self._schemas

    def value(self, tool: str, parameter: str, text: str, *, untyped_is_json: bool = False) -> Any:
        """Return the value that an untyped text stands for, by the tool's schema; text that does not fit stays text.

        Args:
            tool: The function's name.
            parameter: The parameter's name.
            text: The model's text.
            untyped_is_json: Where the schema gives no type, read the text as JSON if it is.
        """
        return typed_value(text, self.schema(tool, parameter), self.root(tool), untyped_is_json=untyped_is_json)

    def takes_only_text(self, tool: str, parameter: str) -> bool:
        """Return whether the tool's schema wants a text here, and nothing else."""
        return json_types(self.schema(tool, parameter), self.root(tool)) == {"string"}

    def only_text(self, tool: str) -> str | None:
        """Return the name of a tool's parameter if it is the only one and takes a text; otherwise `None`."""
        properties = self.root(tool).get("properties")
        names = list(properties) if isinstance(properties, Mapping) else []
        return names[0] if len(names) == 1 and self.takes_only_text(tool, names[0]) else None

    def root(self, tool: str) -> Mapping[str, Any]:
        """Return the schema of a tool's arguments; empty if it is not known."""
        return (self._schemas or {}).get(tool, {})

    def schema(self, tool: str, parameter: str) -> Any:
        """Return the schema of a parameter; `None` if it has no schema."""
        properties = self.root(tool).get("properties")
        return properties.get(parameter) if isinstance(properties, Mapping) else None


def _name_and_schema(tool: Tool | Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    if isinstance(tool, Tool):
        return tool.name, tool.parameters
    function = tool.get("function", tool) if isinstance(tool, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(name, str):
        raise UsageError(f"A tool is a sagewire Tool or a dict with 'function', not {tool!r:.200}.")
    parameters = function.get("parameters")
    return name, parameters if isinstance(parameters, Mapping) else {}
