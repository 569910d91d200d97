"""The tools a prompt describes: sagewire's values and OpenAI-shaped dicts made one, and their schemas looked into."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sagewire.errors import UsageError
from sagewire.types import Tool

__all__ = ["dump", "fields_of", "read_tools"]


def dump(value: Any, indent: int | None = None) -> str:
    """Return JSON text as chat templates write it: with blanks, and non-ASCII characters as they are.

    Raises:
        UsageError: JSON has no way to write the value.
    """
    try:
        return json.dumps(value, ensure_ascii=False, indent=indent)
    except (TypeError, ValueError) as error:
        raise UsageError(f"A tool or its arguments cannot be written as JSON: {error}.") from error


def read_tools(tools: Sequence[Tool | Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """Return the tools as dicts in OpenAI's shape; a dict keeps its own keys and their order.

    Raises:
        UsageError: A tool is neither a `Tool` nor such a dict.
    """
    return [_read_tool(tool) for tool in tools or ()]


def _read_tool(tool: Any) -> dict[str, Any]:
    if isinstance(tool, Tool):
        function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
        return {"type": "function", "function": function}
    if isinstance(tool, Mapping):
        nested = tool.get("function")
        found: dict[str, Any] = (
            dict(tool) if isinstance(nested, Mapping) else {"type": "function", "function": dict(tool)}
        )
        parameters = found["function"].get("parameters")
        properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
        if isinstance(found["function"].get("name"), str):
            if (parameters is None or isinstance(parameters, Mapping)) and (
                properties is None or isinstance(properties, Mapping)
            ):
                return found
            raise UsageError(f"The 'parameters' of the tool {found['function']['name']!r} are not a JSON schema.")
    raise UsageError(f"A tool is a sagewire Tool or a dict with 'function', not {tool!r:.200}.")


def fields_of(function: Mapping[str, Any]) -> tuple[dict[str, Mapping[str, Any]], list[str]]:
    """Return the schemas of a function's arguments by name, and the names of those it requires.

    A schema that is not an object (JSON schema also knows `true`) says nothing, and is returned as an empty one.
    """
    parameters = function.get("parameters") or {}
    fields = {
        str(name): spec if isinstance(spec, Mapping) else {}
        for name, spec in (parameters.get("properties") or {}).items()
    }
    return fields, list(parameters.get("required") or ())
