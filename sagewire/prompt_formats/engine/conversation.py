"""A conversation as the formats see it: sagewire's values and OpenAI-shaped dicts made one, foreign text guarded."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sagewire.errors import UnsupportedFeature, UsageError
from sagewire.prompt_formats.engine.tools import dump
from sagewire.types import ImagePart, Message, TextPart, parse_arguments, sendable_arguments

__all__ = ["SAME_ROLES", "THINK_OPENING", "Call", "Conversation", "Guard", "MessageReading", "Turn", "read_turns"]

Guard = Callable[[str], str]

# A model's own thinking begins with the tag on its own line; anything else is somebody's text about a tag.
THINK_OPENING = re.compile(r"\s*<think>(?=\s)")
KNOWN_FIELDS = frozenset(
    ("role", "content", "tool_calls", "tool_call_id", "name", "reasoning_content", "reasoning", "thinking")
)


# OpenAI's later and earlier names for the same roles.
SAME_ROLES = {role: role for role in ("system", "user", "assistant", "tool")} | {
    "developer": "system",
    "function": "tool",
}


@dataclass(slots=True)
class Call:
    """A tool call in the history.

    Args:
        id: The call's id, guarded.
        name: The function's name, guarded.
        arguments: An object as a rule; a string where the model's JSON could not be read.
        raw: The arguments as JSON text, as the model wrote them where that is known; guarded.
    """

    id: str
    name: str
    arguments: Any
    raw: str

    def fields(self) -> dict[str, Any]:
        """Return the arguments as an object, for families that write each by itself; unreadable ones are one of it."""
        return self.arguments if isinstance(self.arguments, dict) else {"invalid_json": self.arguments}


@dataclass(slots=True)
class Turn:
    """One message, ready to be written.

    Args:
        role: `system`, `user`, `assistant`, `tool`, or a name no format knows by itself.
        text: The text parts joined, guarded, without the thinking that was found inside.
        calls: The tool calls of an assistant.
        thinking: The reasoning of an assistant, from its own field or from tags in the text; guarded.
        name: The speaker's or the tool's name, guarded, or an empty text.
        call_id: The id of the call a tool answers, guarded, or an empty text.
        lead: The text before the message's own, inside the turn.
        null: The content was missing, not empty.
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
    lead: str = ""
    null: bool = False
    final: bool = False
    value: Any = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Conversation:
    """Everything one call to `render` has to say.

    Args:
        turns: The messages in order.
        tools: The tools as dicts in OpenAI's shape, key order as given; empty if there are none.
        generate: End with the opening of the assistant's turn.
        now: The current time, or `None` for the clock.
        date_string: The date as text, for the families that take it as a variable.
        options: Template variables such as `enable_thinking`.
        guard: The guard that foreign text goes through.
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

    def systems_first(self) -> tuple[list[Turn], list[Turn]]:
        """Return the system turns and the others, for templates that write all system texts first.

        Raises:
            UnsupportedFeature: A system turn stands behind others, and the format is strict.
        """
        systems, others = list[Turn](), list[Turn]()
        for turn in self.turns:
            if turn.role == "system" and others:
                self.lost_turn(turn)
            (systems if turn.role == "system" else others).append(turn)
        return systems, others

    def json(self, value: Any, indent: int | None = None) -> str:
        """Return JSON text as chat templates write it, guarded."""
        return self.guard(dump(value, indent))

    def tag(self, name: str) -> str:
        """Return a name and the ">" behind it, guarded together: a name could end where a token does."""
        return self.guard(name + ">")

    def before(self, character: str, text: str) -> str:
        """Return a text that forms no control string with the character the format goes on with."""
        return self.guard(text + character)[:-1]

    def option(self, name: str, default: Any = None) -> Any:
        """Return a template variable."""
        return self.options.get(name, default)

    def time(self) -> datetime:
        """Return the time the caller gave, or the clock's."""
        # Chat templates speak of the reader's own date, as strftime_now does in Hugging Face's engine.
        return self.now or datetime.now()


@dataclass(frozen=True, slots=True)
class MessageReading:
    """How a format wants messages read.

    Args:
        guard: The guard that foreign text goes through.
        join: Makes one text of the text parts; guarded afterwards, so that a token split over two parts is seen.
        split: Finds the thinking inside an assistant's text, where the family writes it there; it is told whether
            the message is the last one.
        keep_think: An assistant's text may open with `<think>`, which is not neutralised then.
        where: The format's name for error messages.
        skip_images: Leave images out.
    """

    guard: Guard
    join: Callable[[Sequence[str]], str]
    split: Callable[[str, bool], tuple[str | None, str]]
    keep_think: bool
    where: str
    skip_images: bool = False

    def text(self, content: Any, role: str) -> str:
        """Return a message's text, not yet guarded."""
        if isinstance(content, str):
            return content
        if content is None:
            return ""
        if isinstance(content, Mapping) and role == "tool":
            return dump(content)
        if isinstance(content, Sequence) and not isinstance(content, bytes | bytearray):
            return self.join([self.part(part) for part in content])
        raise UsageError(f"'content' is text, a list of parts or None, not {type(content).__name__}.")

    def part(self, part: Any) -> str:
        """Return the text of one part."""
        if isinstance(part, str):
            return part
        if isinstance(part, TextPart):
            return part.text
        if isinstance(part, Mapping) and isinstance(part.get("text"), str):
            return str(part["text"])
        if self.skip_images:
            return ""
        kind = "image" if isinstance(part, ImagePart) else part.get("type") if isinstance(part, Mapping) else part
        cure = "A prompt is text only: use a handler that takes messages."
        raise UnsupportedFeature(f"a content part of type {kind!r:.60}", self.where, cure)

    def answer(self, text: str, thinking: str | None, last: bool) -> tuple[str | None, str]:
        """Return the thinking and the text of an assistant, both guarded."""
        if thinking is None:
            thinking, text = self.split(text, last)
        if thinking is not None:
            thinking = self.guard(thinking)
        opening = THINK_OPENING.match(text) if self.keep_think and "<think>" in text else None
        if opening is None:
            return thinking, self.guard(text)
        inside, closing, rest = text[opening.end() :].partition("</think>")
        return thinking, opening.group() + self.guard(inside) + closing + self.guard(rest)


def read_turns(messages: Sequence[Message | Mapping[str, Any]], reading: MessageReading) -> list[Turn]:
    """Return the messages as turns.

    Raises:
        UsageError: A message is not one, or misses its role.
        UnsupportedFeature: A message carries an image.
    """
    if isinstance(messages, str | Mapping | Message):
        raise UsageError("render takes a list of messages; for a single text use render_completion.")
    turns = []
    final = len(messages) - 1
    for place, message in enumerate(messages):
        if isinstance(message, Message):
            turns.append(_from_message(message, reading, place == final))
        elif isinstance(message, Mapping):
            turns.append(_from_mapping(message, reading, place == final))
        else:
            raise UsageError(f"A message is a sagewire Message or a dict with 'role', not {type(message).__name__}.")
    return turns


def _from_message(message: Message, reading: MessageReading, last: bool) -> Turn:
    guard, thinking, text = reading.guard, message.thinking, message.content
    if not isinstance(text, str):
        text = reading.text(text, message.role)
    if message.role == "assistant":
        thinking, text = reading.answer(text, thinking, last)
    else:
        text = guard(text)
    if not message.tool_calls and message.tool_call_id is None and message.name is None:
        return Turn(message.role, text, (), thinking, null=not message.content)
    return Turn(
        role=message.role,
        text=text,
        calls=tuple(_call(call.id, call.name, call.arguments, guard) for call in message.tool_calls),
        thinking=thinking,
        name=guard(message.name or ""),
        call_id=guard(message.tool_call_id or ""),
        null=not message.content,
    )


def _from_mapping(message: Mapping[str, Any], reading: MessageReading, last: bool) -> Turn:
    role = message.get("role")
    if not isinstance(role, str) or not role:
        raise UsageError(f"A message needs a 'role' such as 'user'; this one has {role!r}.")
    guard, content = reading.guard, message.get("content")
    role = SAME_ROLES[role] if role in SAME_ROLES else guard(role)
    text = content if isinstance(content, str) else reading.text(content, role)
    plain = len(message) == 2 and "content" in message
    thinking = None if plain else _thinking(message)
    if role == "assistant":
        thinking, text = reading.answer(text, thinking, last)
    else:
        text = guard(text)
    if plain:
        return Turn(role, text, (), thinking, null=content is None)
    return Turn(
        role=role,
        text=text,
        calls=_calls(message.get("tool_calls"), guard),
        thinking=thinking,
        name=guard(str(message.get("name") or "")),
        call_id=guard(str(message.get("tool_call_id") or "")),
        null=content is None,
        value=content if isinstance(content, Mapping) else None,
        extra={key: value for key, value in message.items() if key not in KNOWN_FIELDS},
    )


def _thinking(message: Mapping[str, Any]) -> str | None:
    for name in ("reasoning_content", "thinking", "reasoning"):
        if isinstance(message.get(name), str):
            return str(message[name])
    return None


def _calls(calls: Any, guard: Guard) -> tuple[Call, ...]:
    if not calls:
        return ()
    found = []
    for call in calls:
        function = call.get("function", call) if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise UsageError(f"A tool call is a dict with 'function': {{'name', 'arguments'}}, not {call!r:.200}.")
        found.append(_call(str(call.get("id") or ""), function["name"], function.get("arguments"), guard))
    return tuple(found)


def _call(call_id: str, name: str, arguments: Any, guard: Guard) -> Call:
    """Return a call whose arguments are an object: JSON text is read, since families write it each in their own way."""
    if isinstance(arguments, dict):
        return Call(guard(call_id), guard(name), arguments, guard(dump(arguments)))
    text = arguments if isinstance(arguments, str) else dump(arguments)
    try:
        parse_arguments(text)
    except ValueError:
        return Call(guard(call_id), guard(name), text, guard(text))
    raw = sendable_arguments(text)
    return Call(guard(call_id), guard(name), json.loads(raw), guard(raw))
