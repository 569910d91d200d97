"""What a text without a type stands for, by the schema of a tool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sagewire.prompt_formats.output_parsers.engine.json_text import from_json
from sagewire.prompt_formats.output_parsers.engine.python_literals import parse_literal

__all__ = ["json_types", "resolve", "typed_value"]

MAX_REFERENCES = 16
# Types as Python names them, which people write into schemas.
PYTHON_NAMES = {"int": "integer", "float": "number", "double": "number", "bool": "boolean", "str": "string"}
PYTHON_NAMES |= {"dict": "object", "list": "array", "tuple": "array", "NoneType": "null"}
SIMPLE = {"integer": int, "number": (int, float), "object": dict, "array": list}


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
    value = _as_json(text, expected) if expected else text
    if isinstance(value, str) and types & {"array", "object"}:
        # Templates that print a list or an object as Python does teach their models to.
        value = parse_literal(text, value)
        value = _as_json(_unescaped(text), expected) if isinstance(value, str) else value
        return value if isinstance(value, expected) else text
    return value


def _unescaped(text: str) -> str:
    """Return what stands inside a JSON string; models write lists and objects that way too."""
    try:
        return str(from_json(f'"{text.strip()}"')) if '\\"' in text else text
    except ValueError:
        return text


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


def json_types(schema: Any, root: Mapping[str, Any], depth: int = 0) -> frozenset[str]:
    """Return the JSON types a schema allows; empty if it does not say."""
    if not isinstance(schema, Mapping) or depth > MAX_REFERENCES:
        return frozenset()
    kind = schema.get("type")
    if isinstance(kind, str):
        return frozenset((PYTHON_NAMES.get(kind, kind),))
    if isinstance(kind, Sequence):
        return frozenset(PYTHON_NAMES.get(name, name) for name in kind if isinstance(name, str))
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
