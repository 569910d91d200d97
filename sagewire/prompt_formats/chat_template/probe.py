"""What a chat template does, found out by rendering small conversations of known words.

Reading Jinja tells less: templates pass texts through macros, build markers from pieces, and ask in many ways for one
thing. What comes out of them does not lie.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from enum import Enum
from functools import cached_property
from typing import Any

from sagewire.errors import SagewireError
from sagewire.prompt_formats.chat_template.arguments import Arguments

__all__ = ["PROBE_CALL", "PROBE_TOOL", "ContentShape", "TemplateProbe", "WrittenCall"]

FIRST, SECOND = "Sagewireone", "Sagewiretwo"
PROBE_CALL = ("get_weather", {"city": "Oslo", "days": 3})
PROBE_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}
# Families check the shape of ids: nine letters and digits, or the name and a number.
CALL_IDS = ("call00001", "functions.get_weather:0")

TOKEN_OR_LINE = re.compile(r"[<\[\n]")
TOKEN_BEGUN = re.compile(r"[<\[][^<>\[\]\s]{0,20}\Z")

Render = Callable[[Sequence[dict[str, Any]], "list[dict[str, Any]] | None", bool], str]


class ContentShape(Enum):
    """How a template takes the content of one role's messages."""

    TEXT = "as one text"
    PARTS = "as a list of parts only"
    EITHER = "as it is"


class WrittenCall:
    """How a template writes the probe's call into the history.

    Attributes:
        prompt: The text before the model's own.
        text: The text that the model would have written.
    """

    __slots__ = ("prompt", "text")

    def __init__(self, prompt: str, text: str) -> None:
        self.prompt = prompt
        self.text = text


class TemplateProbe:
    """One template under examination.

    Args:
        render: Renders messages, tools and whether the answer is opened; raises a `SagewireError` where it cannot.
    """

    def __init__(self, render: Render) -> None:
        self._render = render
        self._shapes: dict[str, ContentShape] = {}

    def shape(self, role: str) -> ContentShape:
        """Return how the content of this role's messages is given to the template."""
        found = self._shapes.get(role)
        if found is None:
            found = self._shapes[role] = self._find_shape(role)
        return found

    @cached_property
    def written_calls(self) -> list[WrittenCall]:
        """The ways to cut the model's own text out of a conversation with a call; empty if no call is written."""
        for call_id in CALL_IDS:
            call = {
                "id": call_id,
                "type": "function",
                "function": {"name": PROBE_CALL[0], "arguments": Arguments(PROBE_CALL[1], json.dumps(PROBE_CALL[1]))},
            }
            before = self._try([_user()], [PROBE_TOOL], opened=True)
            turn = {"role": "assistant", "content": "", "tool_calls": [call]}
            written = self._try([_user(), turn], [PROBE_TOOL])
            answered = self._try([_user(), {"role": "assistant", "content": FIRST}], [PROBE_TOOL])
            common = _common_start(written, answered)
            # Both may go on with a token, of which the beginning is the same.
            starts = {before, common, TOKEN_BEGUN.sub("", common)}
            # Some templates open the next answer in any case: what ends both is not the call's.
            texts = dict.fromkeys((written, written.removesuffix(_common_end(written, answered))))
            found = [
                WrittenCall(start, text[len(start) :])
                for start in sorted(starts, key=len, reverse=True)
                for text in texts
                if start and text.startswith(start) and PROBE_CALL[0] in text[len(start) :]
            ]
            if found:
                return found
        return []

    def _find_shape(self, role: str) -> ContentShape:
        shape = ContentShape.TEXT
        parts = [{"type": "text", "text": FIRST}, {"type": "text", "text": SECOND}]
        for place in _places(role):
            text = self._try(*place(FIRST + SECOND))
            listed = self._try(*place(parts))
            takes_text = FIRST + SECOND in text
            takes_parts = (
                0 <= listed.find(FIRST) < listed.find(SECOND)
                # Not as Python or JSON would write the list.
                and _mentions_type(listed) <= _mentions_type(text)
            )
            if takes_text:
                return ContentShape.EITHER if takes_parts else ContentShape.TEXT
            if takes_parts:
                return ContentShape.PARTS
            if text or listed:
                # It is written in some other way, if at all: the template is given what the caller gave.
                shape = ContentShape.EITHER
        return shape

    def _try(
        self, messages: Sequence[dict[str, Any]], tools: list[dict[str, Any]] | None = None, *, opened: bool = False
    ) -> str:
        try:
            return self._render(messages, tools, opened)
        except SagewireError:
            return ""


def _common_start(one: str, other: str) -> str:
    pairs = enumerate(zip(one, other, strict=False))
    return one[: next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))]


def _common_end(one: str, other: str) -> str:
    """Return what ends both, from the beginning of a token or a line on."""
    end = _common_start(one[::-1], other[::-1])[::-1]
    found = TOKEN_OR_LINE.search(end)
    return end[found.start() :] if found is not None else ""


def _user() -> dict[str, Any]:
    return {"role": "user", "content": "Hello"}


def _mentions_type(text: str) -> int:
    return text.count("'type'") + text.count('"type"')


Place = Callable[[Any], "tuple[list[dict[str, Any]], list[dict[str, Any]] | None]"]


def _places(role: str) -> list[Place]:
    """Return conversations in which a message of this role may stand."""

    def first(content: Any) -> tuple[list[dict[str, Any]], None]:
        return [{"role": role, "content": content}, _user()], None

    def alone(content: Any) -> tuple[list[dict[str, Any]], None]:
        return [{"role": role, "content": content}], None

    def second(content: Any) -> tuple[list[dict[str, Any]], None]:
        return [_user(), {"role": role, "content": content}, _user()], None

    def result(content: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        call = {"name": PROBE_CALL[0], "arguments": Arguments(PROBE_CALL[1], json.dumps(PROBE_CALL[1]))}
        calls = [{"id": CALL_IDS[0], "type": "function", "function": call}]
        turn = {"role": "assistant", "content": "", "tool_calls": calls}
        answer = {"role": role, "content": content, "tool_call_id": CALL_IDS[0], "name": PROBE_CALL[0]}
        return [_user(), turn, answer], [PROBE_TOOL]

    if role == "user":
        return [alone]
    return [second, first] if role == "assistant" else [result, second] if role == "tool" else [first, second]
