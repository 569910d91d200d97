"""OpenAI's `response_format` in the words of servers that want a grammar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagewire.errors import UnsupportedFeature, UsageError

__all__ = ["json_grammar", "json_schema_of"]


def json_schema_of(response_format: Mapping[str, Any], handler: str) -> Mapping[str, Any] | None:
    """Return the JSON schema an OpenAI `response_format` demands, `None` for plain text.

    Raises:
        UnsupportedFeature: The format is not a JSON schema.
        UsageError: It names the kind but lacks the schema.
    """
    kind = response_format.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        schema = response_format.get("schema") or response_format.get("value")
        return schema if isinstance(schema, Mapping) else {"type": "object"}
    if kind == "json_schema":
        holder = response_format.get("json_schema")
        schema = holder.get("schema") if isinstance(holder, Mapping) else None
        if not isinstance(schema, Mapping):
            raise UsageError("response_format of type 'json_schema' needs {'json_schema': {'schema': {...}}}")
        return schema
    raise UnsupportedFeature(f"a response_format of type {kind!r}", f"handler '{handler}'")


def json_grammar(response_format: Mapping[str, Any], handler: str) -> dict[str, Any] | None:
    """Return TGI's grammar for an OpenAI `response_format`; TGI's own forms (`json`, `regex`) are passed on.

    Example:
        >>> json_grammar({"type": "json_object"}, "tgi")
        {'type': 'json', 'value': {'type': 'object'}}
    """
    if response_format.get("type") in ("json", "regex") and "value" in response_format:
        return dict(response_format)
    schema = json_schema_of(response_format, handler)
    return None if schema is None else {"type": "json", "value": schema}
