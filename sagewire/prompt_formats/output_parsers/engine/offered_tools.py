"""The tools a model was given: their names, and the types of their parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sagewire.errors import UsageError
from sagewire.types import Tool

__all__ = ["Offered", "from_json", "json_types", "resolve", "to_json", "typed_value"]

MAX_REFERENCES = 16
SIMPLE = {"integer": int, "number": (int, float), "object": dict, "array": list}


def to_json(value: Any) -> str:
    """Return compact-enough JSON text that any reader accepts; raise `ValueError` for what JSON cannot say."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        # Half a surrogate pair can be written in JSON, but only as an escape.
        return json.dumps(value, allow_nan=False)
    return text


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def from_json(text: str) -> Any:
    """Parse JSON as models write it, with line breaks in strings; raise `ValueError`."""
    try:
        return json.loads(text, strict=False, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


class Offered:
    """The tools of a request.

    Args:
        tools: sagewire tools or OpenAI-shaped dicts; `None` where it is not known what was offered. An empty sequence
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
            text: What the model wrote.
            untyped_is_json: Where the schema gives no type, read the text as JSON if it is.
        """
        return typed_value(text, self.schema(tool, parameter), self.root(tool), untyped_is_json=untyped_is_json)

    def takes_only_text(self, tool: str, parameter: str) -> bool:
        """Return whether the tool's schema wants a text here, and nothing else."""
        return json_types(self.schema(tool, parameter), self.root(tool)) == {"string"}

    def root(self, tool: str) -> Mapping[str, Any]:
        """Return the schema of a tool's arguments; empty if it is not known."""
        return (self._schemas or {}).get(tool, {})

    def schema(self, tool: str, parameter: str) -> Any:
        """Return the schema of a parameter; `None` if there is none."""
        properties = self.root(tool).get("properties")
        return properties.get(parameter) if isinstance(properties, Mapping) else None


def typed_value(text: str, schema: Any, root: Mapping[str, Any], *, untyped_is_json: bool = False) -> Any:
    """Return the value that an untyped text stands for; text that does not fit the schema stays text."""
    types = json_types(schema, root)
    if not types:
        return _as_json(text, object) if untyped_is_json else text
    if "null" in types and text.strip() in ("null", "None"):
        return None
    if "string" in types:
        return text
    if "boolean" in types and text.strip().lower() in ("true", "false"):
        return text.strip().lower() == "true"
    expected = tuple(kind for name in types for kind in _kinds(name))
    return _as_json(text, expected) if expected else text


def _kinds(name: str) -> tuple[type, ...]:
    kinds = SIMPLE.get(name, ())
    return kinds if isinstance(kinds, tuple) else (kinds,)


def _as_json(text: str, expected: Any) -> Any:
    try:
        value = from_json(text)
    except ValueError:
        return text
    # A bool is an int for Python, not for JSON.
    if isinstance(value, bool) and expected is not object:
        return text
    return value if isinstance(value, expected) else text


def _name_and_schema(tool: Tool | Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    if isinstance(tool, Tool):
        return tool.name, tool.parameters
    function = tool.get("function", tool) if isinstance(tool, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(name, str):
        raise UsageError(f"A tool is a sagewire Tool or a dict with 'function', not {tool!r:.200}.")
    parameters = function.get("parameters")
    return name, parameters if isinstance(parameters, Mapping) else {}


def json_types(schema: Any, root: Mapping[str, Any], depth: int = 0) -> frozenset[str]:
    """Return the JSON types a schema allows; empty if it does not say."""
    if not isinstance(schema, Mapping) or depth > MAX_REFERENCES:
        return frozenset()
    kind = schema.get("type")
    if isinstance(kind, str):
        return frozenset((kind,))
    if isinstance(kind, Sequence):
        return frozenset(name for name in kind if isinstance(name, str))
    reference = schema.get("$ref")
    if isinstance(reference, str):
        return json_types(resolve(reference, root), root, depth + 1)
    for key in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(key), Sequence):
            return frozenset().union(*(json_types(option, root, depth + 1) for option in schema[key]))
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    return frozenset(map(_type_of, values)) if isinstance(values, Sequence) else frozenset()


def resolve(reference: str, root: Mapping[str, Any]) -> Any:
    """Return what a reference into the same schema points to; `None` if it points nowhere."""
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    names = {type(None): "null", str: "string", int: "integer", float: "number", list: "array"}
    return names.get(type(value), "object")
