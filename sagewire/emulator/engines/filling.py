"""Filling in a JSON schema with values that were said, or with plausible ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sagewire.emulator.engines.evidence import Evidence, words
from sagewire.emulator.engines.patterns import matching

__all__ = ["fill", "fill_properties"]

MAX_DEPTH = 8
_PLACES = {"location", "city", "place", "country", "address", "destination", "origin", "region", "town", "state"}
_FREE_TEXT = frozenset(
    "query question input text prompt message content q search task instruction arg1 request".split()  # noqa: SIM905
)
_DEFAULTS = {
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "date": "2025-01-15",
    "date-time": "2025-01-15T12:00:00Z",
    "time": "12:00:00",
    "uuid": "123e4567-e89b-12d3-a456-426614174000",
    "ipv4": "192.0.2.1",
}


def fill(schema: Mapping[str, Any], evidence: Evidence) -> Any:
    """Return a value that fits a JSON schema.

    Example:
        >>> fill({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}, Evidence("f(3)"))
        {'a': 3}
    """
    return _Filler(schema, evidence).value(schema, "", 0)


def fill_properties(schema: Mapping[str, Any], evidence: Evidence) -> dict[str, Any]:
    """Return values for a function's parameters."""
    value = fill({"type": "object"} | dict(schema), evidence)
    return value if isinstance(value, dict) else {}


class _Filler:
    def __init__(self, root: Mapping[str, Any], evidence: Evidence) -> None:
        self._root = root
        self._evidence = evidence

    def value(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        schema = self._resolve(schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._pick(schema["enum"])
        kind = self._kind(schema, name)
        if kind == "null":
            return None
        if kind == "object":
            return self._object(schema, depth) if depth <= MAX_DEPTH else {}
        if kind == "array":
            return self._array(schema, name, depth) if depth <= MAX_DEPTH else []
        if kind in ("integer", "number"):
            return self._number(schema, name, kind)
        if kind == "boolean":
            default = bool(schema.get("default", False))
            return not self._evidence.refuses(name) if self._evidence.mentions(name) else default
        return self._string(schema, name)

    def _resolve(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        for _ in range(MAX_DEPTH):
            if "$ref" in schema:
                schema = self._lookup(str(schema["$ref"])) | {k: v for k, v in schema.items() if k != "$ref"}
            elif schema.get("allOf"):
                merged: dict[str, Any] = {k: v for k, v in schema.items() if k != "allOf"}
                for part in schema["allOf"]:
                    merged |= self._resolve(part)
                schema = merged
            elif options := schema.get("anyOf") or schema.get("oneOf"):
                chosen = next((o for o in options if o.get("type") != "null"), options[0])
                schema = dict(chosen) | {k: v for k, v in schema.items() if k not in ("anyOf", "oneOf", "default")}
            else:
                break
        return schema

    def _lookup(self, reference: str) -> dict[str, Any]:
        found: Any = self._root
        for part in reference.removeprefix("#").strip("/").split("/"):
            found = found.get(part, {}) if isinstance(found, Mapping) and part else found
        return dict(found) if isinstance(found, Mapping) else {}

    def _kind(self, schema: Mapping[str, Any], name: str) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((item for item in kind if item != "null"), "null")
        if kind is None:
            kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
        return str(kind)

    def _pick(self, options: Sequence[Any]) -> Any:
        text = self._evidence.text.lower()
        said = [option for option in options if isinstance(option, str) and option and option.lower() in text]
        return max(said, key=len) if said else options[0]

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        required = schema.get("required", ())
        filled: dict[str, Any] = {}
        for name, property_schema in schema.get("properties", {}).items():
            nullable = _nullable(property_schema)
            if name not in required and not self._evidence.mentions(name):
                continue
            if nullable and (depth == MAX_DEPTH or not self._evidence.mentions(name)):
                filled[name] = None
            else:
                filled[name] = self.value(property_schema, name, depth + 1)
        return filled

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        items = self._resolve(schema.get("items") or {})
        least, most = schema.get("minItems", 0), schema.get("maxItems", math.inf)
        kind = self._kind(items, name)
        values: list[Any] = []
        free = not ({"enum", "const", "format", "pattern", "maxLength", "minLength"} & items.keys())
        if kind in ("integer", "number") and free:
            while self._evidence.numbers and len(values) < most:
                values.append(self._number(items, name, kind))
        elif kind == "string" and free:
            while len(values) < most and (quoted := self._evidence.take_quotation()) is not None:
                values.append(quoted)
        while len(values) < max(least, 0 if values or most == 0 else 1):
            values.append(self.value(items, name.removesuffix("s"), depth + 1))
        return values

    def _number(self, schema: Mapping[str, Any], name: str, kind: str) -> float | int:
        low = schema.get("minimum", schema.get("exclusiveMinimum", -math.inf))
        high = schema.get("maximum", schema.get("exclusiveMaximum", math.inf))
        found = self._evidence.take_number(name)
        if found is None:
            found = float(schema.get("default") or (low if low > 0 else 1))
        found = float(min(max(found, low), high))
        if found == schema.get("exclusiveMinimum"):
            found += 1
        elif found == schema.get("exclusiveMaximum"):
            found -= 1
        return (
            int(found)
            if kind == "integer" or (found.is_integer() and "." not in str(schema.get("default", "")))
            else found
        )

    def _string(self, schema: Mapping[str, Any], name: str) -> str:
        if pattern := schema.get("pattern"):
            return matching(pattern)
        found = self._said(schema, name)
        if found is None:
            found = schema.get("default") or (schema.get("examples") or [None])[0] or self._made_up(schema, name)
        text = str(found)
        if len(text) < (least := schema.get("minLength", 0)):
            text = text.ljust(least, ".")
        return text[: schema.get("maxLength", len(text))]

    def _said(self, schema: Mapping[str, Any], name: str) -> str | None:
        evidence, parts = self._evidence, set(words(name))
        if kind := schema.get("format"):
            return evidence.take_shape(kind) or _DEFAULTS.get(kind)
        for shape, hints in (("email", {"email"}), ("uri", {"url", "uri", "link"})):
            if parts & hints and (found := evidence.take_shape(shape)) is not None:
                return found
        if parts & {"expression", "equation", "formula"}:
            return evidence.expression()
        if (found := evidence.labelled(name)) is not None:
            return found
        if parts & _PLACES:
            return evidence.take_place()
        if parts & _FREE_TEXT:
            return evidence.take_quotation() or evidence.text.strip() or None
        return evidence.take_quotation() or evidence.take_name()

    def _made_up(self, schema: Mapping[str, Any], name: str) -> str:
        return str(schema.get("description") or " ".join(words(name)) or "text")


def _nullable(schema: Mapping[str, Any]) -> bool:
    kinds = schema.get("type")
    options = schema.get("anyOf") or schema.get("oneOf") or ()
    return (isinstance(kinds, list) and "null" in kinds) or any(option.get("type") == "null" for option in options)
