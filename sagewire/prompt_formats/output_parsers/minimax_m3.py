"""MiniMax M3: an element for each argument, nested ones for objects and lists, every tag behind its own token.

    ]<]minimax[>[<tool_call>
    ]<]minimax[>[<invoke name="f">]<]minimax[>[<city>Oslo]<]minimax[>[</city>]<]minimax[>[</invoke>
    ]<]minimax[>[</tool_call>

The items of a list are elements named `item`; the tool's schema says what a text is (vLLM parser/minimax_m3.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from sagewire.prompt_formats.output_parsers.engine.json_text import to_json
from sagewire.prompt_formats.output_parsers.engine.markers import Markers
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import OutputSyntax, ThinkingTags
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source, Wait
from sagewire.prompt_formats.output_parsers.engine.typed_values import json_types, resolve, typed_value
from sagewire.prompt_formats.output_parsers.invoke import read_name

__all__ = ["MINIMAX_M3"]

TOKEN = "]<]minimax[>["
SECTION, CALL = f"{TOKEN}<tool_call>", f"{TOKEN}<invoke name="
MAX_DEPTH = 100

NEXT_TOKEN = Markers((TOKEN,))
NAME = re.compile(r"[^<>\"\n]*")

# The text of an element, or the elements inside it.
Element: TypeAlias = "str | list[tuple[str, Element]]"


def _read_section(source: Source, calls: Calls) -> Wait[None]:
    yield from source.skip_space()
    yield from source.expect(CALL)
    source.opened()
    yield from _read_call(source, calls)


def _read_call(source: Source, calls: Calls) -> Wait[None]:
    name = yield from read_name(source)
    yield from source.expect(">")
    if not name.strip():
        raise NotACall
    calls.begin(name)
    arguments = _arguments((yield from _read_elements(source, "invoke", 0)), calls, name)
    calls.write(arguments)
    calls.commit(name, arguments)


def _read_elements(source: Source, name: str, depth: int) -> Wait[Element]:
    """Read what stands between the tags of an element, of which the opening one has been read."""
    if depth > MAX_DEPTH:
        raise NotACall(here=True)
    inside: list[tuple[str, Element]] = []
    texts: list[str] = []
    while True:
        text, _ = yield from source.until(NEXT_TOKEN)
        texts.append(text)
        if (yield from source.accept(f"</{name}>")):
            break
        yield from source.expect("<")
        child = yield from source.read(NAME)
        yield from source.expect(">")
        if not child.strip() or child.startswith("/"):
            raise NotACall
        inside.append((child, (yield from _read_elements(source, child, depth + 1))))
    text = "".join(texts)
    if not inside:
        return text
    if text.strip():
        # Text between elements has no place in an object.
        raise NotACall
    return inside


def _arguments(elements: Element, calls: Calls, name: str) -> str:
    if isinstance(elements, str):
        if elements.strip():
            raise NotACall
        return "{}"
    root = calls.offered.root(name)
    try:
        return to_json(_object(elements, root, root))
    except ValueError:
        raise NotACall from None


def _value(element: Element, schema: Any, root: Mapping[str, Any]) -> Any:
    types = json_types(schema, root)
    if isinstance(element, str):
        if not element.strip() and "string" not in types:
            # An empty list and an empty object are both written as an empty element.
            if "array" in types:
                return []
            if "object" in types:
                return {}
        return typed_value(element, schema, root)
    if all(name == "item" for name, _ in element) and (not types or "array" in types):
        items = _member("items", schema, root)
        return [_value(inside, items, root) for _, inside in element]
    return _object(element, schema, root)


def _object(elements: list[tuple[str, Element]], schema: Any, root: Mapping[str, Any]) -> dict[str, Any]:
    properties = _member("properties", schema, root)
    values: dict[str, list[Any]] = {}
    for name, element in elements:
        inner = properties.get(name) if isinstance(properties, Mapping) else None
        values.setdefault(name, []).append(_value(element, inner, root))
    # An element that stands there several times is a list, too.
    return {name: found[0] if len(found) == 1 else found for name, found in values.items()}


def _member(key: str, schema: Any, root: Mapping[str, Any]) -> Any:
    """Return a member of a schema, or of the first of its alternatives that has it."""
    return next((found[key] for found in _alternatives(schema, root) if key in found), None)


def _alternatives(schema: Any, root: Mapping[str, Any], depth: int = 0) -> Iterator[Mapping[str, Any]]:
    if not isinstance(schema, Mapping) or depth > 16:
        return
    yield schema
    if isinstance(schema.get("$ref"), str):
        yield from _alternatives(resolve(schema["$ref"], root), root, depth + 1)
    for key in ("anyOf", "oneOf", "allOf"):
        options = schema.get(key)
        for option in options if isinstance(options, list | tuple) else ():
            yield from _alternatives(option, root, depth + 1)


MINIMAX_M3 = OutputSyntax(
    name="minimax_m3",
    blocks={SECTION: _read_section, CALL: _read_call},
    closers=(f"{TOKEN}</tool_call>",),
    # Without reasoning the model still begins with the closing tag.
    silent=("</mm:think>",),
    thinking=(ThinkingTags("<mm:think>", "</mm:think>"),),
    often_opened=True,
)
