"""Schemas of any kind as functions in OpenAI's shape, with every definition and reference they have."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from typing import Any, get_type_hints

from langchain_core.tools import BaseTool
from langchain_core.tools.base import create_schema_from_function
from langchain_core.utils.function_calling import convert_to_openai_function
from pydantic import BaseModel, PydanticUserError, TypeAdapter

from sagewire.errors import UsageError
from sagewire.types.openai_shape import function_name

__all__ = ["function_of"]

_SCHEMA_WORDS = frozenset({"type", "properties", "$ref", "$defs", "anyOf", "oneOf", "allOf", "items", "enum"})
# Keywords whose value maps names of the user's choice to schemas.
_NAMED = frozenset({"properties", "$defs", "definitions", "patternProperties", "dependentSchemas"})
# Keywords whose value is data, whatever it looks like.
_DATA = frozenset({"const", "default", "enum", "examples", "example", "required"})
_DEFINITIONS = ("$defs", "definitions")


def function_of(schema: Any, strict: bool | None = None) -> dict[str, Any]:
    """Return a schema as `{"name": ..., "description": ..., "parameters": ...}`.

    LangChain's own conversion resolves references, and loses what is below the first level of a recursive class;
    servers read `$defs` and `$ref` as pydantic writes them.

    Args:
        schema: A pydantic class, a TypedDict, a JSON schema, a function in OpenAI's shape, or a LangChain tool.
        strict: OpenAI's flag; with it objects take no further properties.

    Raises:
        UsageError: It is not a schema.
    """
    found = _described(schema)
    if found is None:
        try:
            function = convert_to_openai_function(schema, strict=strict)
        except (TypeError, ValueError, RuntimeError, NameError) as error:
            # It does not know all of what a TypedDict can hold: `Required`, classes of pydantic, itself.
            found = _described_by_pydantic(schema)
            if found is None:
                raise UsageError(f"this is not a schema: {error}") from error
        else:
            return {
                "parameters": {"type": "object", "properties": {}}, **function, "name": function_name(function["name"]),
            }  # fmt: skip
    name, description, parameters = found
    parameters = _without_titles(_at_root(parameters))
    function = {"name": function_name(name), "description": description, "parameters": parameters}
    if strict is not None:
        function["strict"] = strict
        if strict:
            named = {"required": list(parameters["properties"])} if parameters.get("properties") else {}
            function["parameters"] = _closed({**parameters, **named})
    return function if description else {key: value for key, value in function.items() if key != "description"}


def _described(schema: Any) -> tuple[str, str, dict[str, Any]] | None:
    """Return name, description and JSON schema where LangChain's conversion is not needed."""
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        parameters = schema.model_json_schema()
        return schema.__name__, parameters.get("description") or (schema.__doc__ or "").strip(), parameters
    if isinstance(schema, BaseTool):
        arguments = schema.tool_call_schema
        if isinstance(arguments, type) and issubclass(arguments, BaseModel):
            parameters = arguments.model_json_schema()
            return (schema.name, schema.description, parameters) if "$defs" in parameters else None
        if isinstance(arguments, Mapping) and '"$ref"' in json.dumps(arguments, default=str):
            # Of MCP's servers: a JSON schema.
            return schema.name, schema.description, dict(arguments)
    if isinstance(schema, type) and is_dataclass(schema):
        found = _described_by_pydantic(schema)
        return found if found and "$defs" in found[2] else None
    if inspect.isroutine(schema):
        # As LangChain's own conversion does.
        made = create_schema_from_function(
            schema.__name__,
            schema,
            filter_args=(),
            parse_docstring=True,
            error_on_invalid_docstring=False,
            include_injected=False,
        )
        if issubclass(made, BaseModel):
            parameters = made.model_json_schema()
            return (schema.__name__, parameters.get("description", ""), parameters) if "$defs" in parameters else None
    if isinstance(schema, Mapping) and _SCHEMA_WORDS & schema.keys() and not {"name", "function"} & schema.keys():
        return str(schema.get("title") or "answer"), str(schema.get("description") or ""), dict(schema)
    return None


def _described_by_pydantic(schema: Any) -> tuple[str, str, dict[str, Any]] | None:
    """Return name, description and JSON schema of a TypedDict or a dataclass, `None` if it is neither."""
    is_typed_dict = isinstance(schema, type) and hasattr(schema, "__required_keys__")
    if not (is_typed_dict or (isinstance(schema, type) and is_dataclass(schema))):
        return None
    try:
        parameters = TypeAdapter(schema).json_schema()
        hints = get_type_hints(schema, include_extras=True)
    except (PydanticUserError, NameError) as error:
        raise UsageError(f"this is not a schema: {error}") from error
    root = _at_root(parameters)
    for name, part in root.get("properties", {}).items():
        # LangChain's way to describe a field: `Annotated[str, ..., "the city's name"]`.
        words = [each for each in getattr(hints.get(name), "__metadata__", ()) if isinstance(each, str)]
        if words and "$ref" not in part:
            part.setdefault("description", words[-1])
    return schema.__name__, parameters.get("description") or inspect.getdoc(schema) or "", parameters


def _at_root(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with an object at its root, if the root only refers to one (recursive classes)."""
    reference = schema.get("$ref")
    for keyword in _DEFINITIONS:
        definitions = schema.get(keyword) or {}
        if isinstance(reference, str) and reference.startswith(f"#/{keyword}/"):
            root = definitions.get(reference.removeprefix(f"#/{keyword}/"))
            if isinstance(root, Mapping):
                return {**root, keyword: definitions}
    return {key: value for key, value in schema.items() if key != "description"}


def _without_titles(schema: Any) -> Any:
    if isinstance(schema, Mapping):
        schema = {key: value for key, value in schema.items() if not (key == "title" and isinstance(value, str))}
    return _mapped(schema, _without_titles)


def _closed(schema: Any) -> Any:
    closed = _mapped(schema, _closed)
    if not isinstance(closed, dict) or closed.get("type") != "object":
        return closed
    # A dictionary with keys of the model's choice (`dict[str, int]`) would have to be empty otherwise.
    is_map = not closed.get("properties") and closed.get("additionalProperties")
    return closed if is_map or "patternProperties" in closed else closed | {"additionalProperties": False}


def _mapped(schema: Any, change: Callable[[Any], Any]) -> Any:
    """Return a schema with every schema directly inside it changed; data and names stay as they are."""
    if isinstance(schema, list):
        return [change(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    changed: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _NAMED and isinstance(value, Mapping):
            changed[key] = {name: change(item) for name, item in value.items()}
        else:
            changed[key] = value if key in _DATA else change(value)
    return changed
