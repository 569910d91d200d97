"""A conversation as the formats see it: sagewire's values and OpenAI-shaped dicts made one, foreign text guarded."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sagewire.errors import UnsupportedFeature, UsageError
from sagewire.types import ImagePart, Message, TextPart, Tool

__all__ = ["Call", "Conversation", "Turn", "read_tools", "read_turns"]

Guard = Callable[[str], str]


@dataclass(slots=True)
class Call:
    """A tool call in the history.

    Args:
        id: The call's id, guarded.
        name: The function's name, guarded.
        arguments: An object as a rule; a string where the model's JSON could not be read.
    """

    id: str
    name: str
    arguments: Any


@dataclass(slots=True)
class Turn:
    """One message, ready to be written.

    Args:
        role: `system`, `user`, `assistant`, `tool`, or a name no format knows by itself.
        text: The text parts joined, guarded, without the thinking that was found inside.
        calls: The tool calls of an assistant.
        thinking: The reasoning of an assistant, from its own field or from tags in the text; guarded.
        name: The speaker's or the tool's name, guarded; empty where there is none.
        call_id: The id of the call a tool answers, guarded; empty where there is none.
        final: The prompt ends inside this turn, because the caller wants it continued.
        value: A tool's result as the caller gave it, where it was given as an object and not as text.
        extra: Fields of the caller's dict that only some formats know.
    """

    role: str
    text: str
    calls: tuple[Call, ...] = ()
    thinking: str | None = None
    name: str = ""
    call_id: str = ""
    final: bool = False
    value: Any = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Conversation:
    """Everything one call to `render` has to say.

    Args:
        turns: The messages in order.
        tools: The tools as dicts in OpenAI's shape, key order as given; empty where there are none.
        generate: End with the opening of the assistant's turn.
        now: The current time, or `None` for the clock.
        date_string: The date as text, for the families that take it as a variable.
        options: Template variables such as `enable_thinking`.
        guard: What foreign text goes through.
        strict: Refuse what the family's own template would drop or misplace.
        where: The format's name for error messages.
    """

    turns: list[Turn]
    tools: list[dict[str, Any]]
    generate: bool
    now: datetime | None
    date_string: str | None
    options: Mapping[str, Any]
    guard: Guard
    strict: bool
    where: str

    def lost(self, what: str, cure: str = "") -> None:
        """Refuse `what`, which the family's template loses or misplaces; under `strict=False` say nothing."""
        if self.strict:
            cure = cure or "strict=False follows the family's own template, which loses or misplaces it."
            raise UnsupportedFeature(what, self.where, cure)

    def lost_turn(self, turn: Turn) -> None:
        """Refuse to lose a turn that says something."""
        if turn.text.strip() or turn.calls:
            self.lost(f"a message of role {turn.role!r} at this place")

    def json(self, value: Any, indent: int | None = None) -> str:
        """Return JSON text as chat templates write it, guarded."""
        return self.guard(json.dumps(value, ensure_ascii=False, indent=indent))

    def time(self) -> datetime:
        """Return the time the caller gave, or the clock's."""
        # Chat templates speak of the reader's own date, as strftime_now does in Hugging Face's engine.
        return self.now or datetime.now()


def read_turns(
    messages: Sequence[Message | Mapping[str, Any]],
    guard: Guard,
    join: Callable[[Sequence[str]], str],
    split: Callable[[str], tuple[str | None, str]] | None,
    where: str,
) -> list[Turn]:
    """Return the messages as turns.

    Args:
        messages: sagewire messages or OpenAI-shaped dicts.
        guard: What foreign text goes through.
        join: Makes one text of the text parts; guarded afterwards, so that a token split over two parts is seen.
        split: Finds the thinking inside an assistant's text, where the family writes it there.
        where: The format's name for error messages.

    Raises:
        UsageError: A message is not one, or misses its role.
        UnsupportedFeature: A message carries an image.
    """
    if isinstance(messages, str | Mapping | Message):
        raise UsageError("render takes a list of messages; for a single text use render_completion.")
    turns = []
    for message in messages:
        if isinstance(message, Message):
            turns.append(_from_message(message, guard, join, split, where))
        elif isinstance(message, Mapping):
            turns.append(_from_mapping(message, guard, join, split, where))
        else:
            raise UsageError(f"A message is a sagewire Message or a dict with 'role', not {type(message).__name__}.")
    return turns


def _from_message(message: Message, guard: Guard, join: Any, split: Any, where: str) -> Turn:
    content = message.content
    text = content if isinstance(content, str) else join([_part_text(part, where) for part in content])
    thinking = message.thinking
    if split is not None and message.role == "assistant" and thinking is None:
        thinking, text = split(text)
    return Turn(
        role=message.role,
        text=guard(text),
        calls=tuple(Call(guard(c.id), guard(c.name), _arguments(c.arguments)) for c in message.tool_calls),
        thinking=None if thinking is None else guard(thinking),
        name=guard(message.name or ""),
        call_id=guard(message.tool_call_id or ""),
    )


KNOWN_FIELDS = frozenset(
    ("role", "content", "tool_calls", "tool_call_id", "name", "reasoning_content", "reasoning", "thinking")
)


def _from_mapping(message: Mapping[str, Any], guard: Guard, join: Any, split: Any, where: str) -> Turn:
    role = message.get("role")
    if not isinstance(role, str) or not role:
        raise UsageError(f"A message needs a 'role' such as 'user'; this one has {role!r}.")
    role = {"developer": "system", "function": "tool"}.get(role, role)
    content, value = message.get("content"), None
    if isinstance(content, str):
        text = content
    elif content is None:
        text = ""
    elif isinstance(content, Mapping) and role == "tool":
        text, value = json.dumps(content, ensure_ascii=False), content
    elif isinstance(content, Sequence):
        text = join([_part_text(part, where) for part in content])
    else:
        raise UsageError(f"'content' is text, a list of parts or None, not {type(content).__name__}.")
    thinking = message.get("reasoning_content")
    if thinking is None:
        thinking = message.get("thinking", message.get("reasoning"))
    if not isinstance(thinking, str):
        thinking = None
    if split is not None and role == "assistant" and thinking is None:
        thinking, text = split(text)
    return Turn(
        role=guard(role),
        text=guard(text),
        calls=_calls(message.get("tool_calls"), guard),
        thinking=None if thinking is None else guard(thinking),
        name=guard(str(message.get("name") or "")),
        call_id=guard(str(message.get("tool_call_id") or "")),
        value=value,
        extra={k: v for k, v in message.items() if k not in KNOWN_FIELDS} if len(message) > 2 else {},
    )


def _part_text(part: Any, where: str) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, TextPart):
        return part.text
    if isinstance(part, Mapping) and isinstance(part.get("text"), str):
        return str(part["text"])
    kind = "image" if isinstance(part, ImagePart) else part.get("type") if isinstance(part, Mapping) else type(part)
    cure = "A prompt is text only: use a handler that speaks messages."
    raise UnsupportedFeature(f"a content part of type {kind!r}", where, cure)


def _calls(calls: Any, guard: Guard) -> tuple[Call, ...]:
    if not calls:
        return ()
    found = []
    for call in calls:
        function = call.get("function", call) if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise UsageError(f"A tool call is a dict with 'function': {{'name', 'arguments'}}, not {call!r:.200}.")
        found.append(
            Call(guard(str(call.get("id") or "")), guard(function["name"]), _arguments(function.get("arguments")))
        )
    return tuple(found)


def _arguments(arguments: Any) -> Any:
    """Return the arguments as an object; JSON text is read, since templates write it their own way."""
    if isinstance(arguments, str):
        if not arguments.strip():
            return {}
        try:
            return json.loads(arguments)
        except ValueError:
            return arguments
    return {} if arguments is None else arguments


def read_tools(tools: Sequence[Tool | Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """Return the tools as dicts in OpenAI's shape; a dict keeps its own keys and their order.

    Raises:
        UsageError: A tool is neither a `Tool` nor such a dict.
    """
    found = []
    for tool in tools or ():
        if isinstance(tool, Tool):
            function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
            found.append({"type": "function", "function": function})
        elif isinstance(tool, Mapping) and isinstance(tool.get("function"), Mapping):
            found.append(dict(tool))
        elif isinstance(tool, Mapping) and isinstance(tool.get("name"), str):
            found.append({"type": "function", "function": dict(tool)})
        else:
            raise UsageError(f"A tool is a sagewire Tool or a dict with 'function', not {tool!r:.200}.")
    return found
