"""Forced tool calls for containers that take plain text and have no request field for them.

If the container can be held to a JSON schema, the schema is that of a tool call: the model cannot write anything
else. Otherwise the prompt demands it, and an answer without a call is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from sagewire.content_handlers.base import ContentHandler
from sagewire.errors import ToolCallMissing, UnsupportedFeature, excerpt
from sagewire.streaming.base import BaseDecoder, Decoder
from sagewire.types import ChatRequest, Delta, FinishDelta, Message, TextDelta, Tool, ToolCallDelta

__all__ = ["RequireToolCall", "call_schema", "force_call"]


def force_call(
    chat: ChatRequest, handler: ContentHandler
) -> tuple[ChatRequest, Callable[[], Decoder[str, Delta]] | None]:
    """Return a request that makes the model call a tool, and the parser for its answer.

    Args:
        chat: A request whose `tool_choice` is `required` or a tool's name.
        handler: The container's handler.

    Returns:
        The request, and the factory of parsers for the answer; `None` if the prompt format's own parser reads it.

    Raises:
        UnsupportedFeature: The answer is to be held to another schema at the same time.
    """
    wanted = tuple(tool for tool in chat.tools if chat.tool_choice in ("required", tool.name))
    # The parsers of all model families take longer to load than a call takes, and hardly any call needs one.
    from sagewire.prompt_formats.output_parsers import get_output_parser

    if not handler.can.response_format:
        told = (*chat.messages, Message("system", _instruction(wanted)))
        return replace(chat, messages=_merge_system(told), tools=wanted), None
    if chat.options.response_format is not None:
        raise UnsupportedFeature(
            "a forced tool call together with a response_format", f"handler '{handler.name}'", "Ask for one of them."
        )
    schema = {"type": "json_schema", "json_schema": {"name": "tool_call", "schema": call_schema(wanted)}}
    options = replace(chat.options, response_format=schema)
    return (
        replace(chat, options=options, tools=wanted),
        lambda: get_output_parser("llama3_json", wanted, prompt_opened_thinking=False),
    )


def call_schema(tools: Sequence[Tool]) -> dict[str, Any]:
    """Return the JSON schema of a call of one of these tools: `{"name": ..., "arguments": {...}}`.

    Example:
        >>> call_schema([Tool("now")])["properties"]["name"]
        {'const': 'now'}
    """
    definitions: dict[str, Any] = {}
    calls = [_one_call(tool, definitions) for tool in tools]
    schema = calls[0] if len(calls) == 1 else {"anyOf": calls}
    return schema | {"$defs": definitions} if definitions else schema


class RequireToolCall(BaseDecoder[Delta, Delta]):
    """A check that raises if an answer ends without any tool call; one cut off by its length passes."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._settled: set[int] = set()
        self._calls: set[tuple[int, int]] = set()
        self._texts: dict[int, str] = {}

    def _decode(self, delta: Delta, out: list[Delta]) -> None:
        out.append(delta)
        if isinstance(delta, ToolCallDelta):
            # A call that began may still turn out to be text.
            change = self._calls.discard if delta.cancelled else self._calls.add
            change((delta.choice, delta.index))
        elif isinstance(delta, TextDelta):
            # Only as much as an error message shows.
            self._texts[delta.choice] = (self._texts.get(delta.choice, "") + delta.text)[:400]
        elif isinstance(delta, FinishDelta):
            if delta.reason != "length":
                self._check(delta.choice)
            self._settled.add(delta.choice)

    def _finish(self, out: list[Delta]) -> None:
        # Some containers do not report the end of an answer or its reason.
        for choice in self._texts:
            self._check(choice)

    def _check(self, choice: int) -> None:
        if choice not in self._settled and not any(choice == called for called, _ in self._calls):
            self._settled.add(choice)
            text = excerpt(self._texts.get(choice, ""))
            raise ToolCallMissing(f"the model had to call {' or '.join(map(repr, self._names))} and answered: {text!r}")


def _instruction(tools: Sequence[Tool]) -> str:
    names = " or ".join(f"`{tool.name}`" for tool in tools)
    return f"You must call the function {names} now; do not answer in any other way. This tool call is required."


def _merge_system(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Move the last message into the first system turn: most formats have room for one, at the start."""
    *rest, added = messages
    if rest and rest[0].role == "system" and isinstance(rest[0].content, str):
        return (replace(rest[0], content=f"{rest[0].content}\n\n{added.content}"), *rest[1:])
    return (added, *rest)


def _one_call(tool: Tool, definitions: dict[str, Any]) -> dict[str, Any]:
    parameters = dict(tool.parameters) or {"type": "object", "properties": {}}
    # References point from the root of a schema; the tools' own definitions move there, under their own names.
    names: dict[str, str] = {}
    moved: dict[str, Any] = {}
    for keyword in ("$defs", "definitions"):
        for name, definition in (parameters.pop(keyword, None) or {}).items():
            # As a JSON pointer writes it, and as a URL's fragment does.
            pointer = name.replace("~", "~0").replace("/", "~1")
            for written in (name, pointer, quote(pointer, safe="~")):
                names[f"#/{keyword}/{written}"] = f"#/$defs/{tool.name}.{pointer}"
            moved[f"{tool.name}.{name}"] = definition
    root = f"#/$defs/{tool.name}"
    definitions |= {name: _renamed(definition, names, root) for name, definition in moved.items()}
    arguments = _renamed(parameters, names, root)
    if _refers_to(root, (arguments, moved and definitions)):
        # To the parameters as a whole (`#`), or to a part of them (`#/properties/a`).
        definitions[tool.name] = arguments
        arguments = {"$ref": root}
    return {
        "type": "object",
        "properties": {"name": {"const": tool.name}, "arguments": arguments},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _renamed(schema: Any, names: Mapping[str, str], root: str) -> Any:
    if isinstance(schema, Mapping):
        return {
            key: _moved(value, names, root)
            if key == "$ref" and isinstance(value, str)
            else _renamed(value, names, root)
            for key, value in schema.items()
        }
    return [_renamed(item, names, root) for item in schema] if isinstance(schema, list | tuple) else schema


def _moved(reference: str, names: Mapping[str, str], root: str) -> str:
    if not reference.startswith("#"):
        return reference
    # Into one of the definitions, perhaps deeper than its top.
    for old, new in names.items():
        if reference == old or reference.startswith(f"{old}/"):
            return new + reference[len(old) :]
    return root + reference[1:]


def _refers_to(root: str, schema: Any) -> bool:
    if isinstance(schema, Mapping):
        target = schema.get("$ref")
        if isinstance(target, str) and (target == root or target.startswith(f"{root}/")):
            return True
        return any(_refers_to(root, value) for value in schema.values())
    return isinstance(schema, list | tuple) and any(_refers_to(root, item) for item in schema)
