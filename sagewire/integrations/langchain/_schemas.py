"""Schemas of any kind as functions in OpenAI's shape, with every definition and reference they have."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from langchain_core.tools import BaseTool
from langchain_core.tools.base import create_schema_from_function
from langchain_core.utils.function_calling import convert_to_openai_function
from pydantic import BaseModel

from sagewire.errors import UsageError

__all__ = ["function_of"]

_SCHEMA_WORDS = frozenset({"type", "properties", "$ref", "$defs", "anyOf", "oneOf", "allOf", "items", "enum"})
# Keywords whose value maps names of the user's choice to schemas.
_NAMED = frozenset({"properties", "$defs", "definitions", "patternProperties"})
_NOT_IN_NAMES = re.compile(r"[^\w-]+")


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
        except (TypeError, ValueError) as error:
            raise UsageError(f"this is not a schema: {error}") from error
        return {"parameters": {"type": "object", "properties": {}}, **function, "name": _tool_name(function["name"])}
    name, description, parameters = found
    parameters = _without_titles(_at_root(parameters))
    function = {"name": _tool_name(name), "description": description, "parameters": parameters}
    if strict is not None:
        function["strict"] = strict
        if strict:
            function["parameters"] = _closed({**parameters, "required": list(parameters.get("properties", {}))})
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


def _at_root(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with an object at its root, if the root only refers to one (recursive classes)."""
    reference = schema.get("$ref")
    definitions = schema.get("$defs") or {}
    if isinstance(reference, str) and reference.startswith("#/$defs/"):
        root = definitions.get(reference.removeprefix("#/$defs/"))
        if isinstance(root, Mapping):
            return {**root, "$defs": definitions}
    return {key: value for key, value in schema.items() if key != "description"}


def _without_titles(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_titles(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: {name: _without_titles(item) for name, item in value.items()}
        if key in _NAMED and isinstance(value, Mapping)
        else _without_titles(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
    }


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    closed = {
        key: {name: _closed(item) for name, item in value.items()}
        if key in _NAMED and isinstance(value, Mapping)
        else _closed(value)
        for key, value in schema.items()
    }
    return closed | {"additionalProperties": False} if closed.get("type") == "object" else closed


def _tool_name(name: str) -> str:
    # `Box[int]`: servers take letters, digits, underscores and hyphens.
    return _NOT_IN_NAMES.sub("_", name).strip("_") or "answer"
