"""Google's Gemma 4."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sagewire.prompt_formats.engine.conversation import Call, Conversation, Turn
from sagewire.prompt_formats.engine.turns import PromptBuilder, TurnFormat

__all__ = ["DIFFUSION_GEMMA", "GEMMA4", "GEMMA4_0709", "GEMMA4_SMALL"]

QUOTE = '<|"|>'
THOUGHTS = re.compile(r"<\|channel>.*?<channel\|>", re.DOTALL)
# Keys that a schema has itself; the published template takes an argument of such a name for one of them.
SCHEMA_KEYS = ("description", "type", "properties", "required", "nullable")


@dataclass(frozen=True, kw_only=True, repr=False)
class Gemma4(TurnFormat):
    """Gemma 4: tools and calls in their own notation, results inside the model's turn.

    Args:
        thoughtless: What an answer without thoughts begins with.
    """

    thoughtless: str = "<|channel>thought\n<channel|>"
    # How a missing value is written in calls and results, and what stands around texts.
    none: ClassVar[str] = "None"
    quote: ClassVar[str] = QUOTE

    def join_parts(self, parts: Sequence[str]) -> str:
        """Return the text of a message that was given in parts, each without the blanks around it."""
        return "".join(part.strip() for part in parts)

    def split_answer(self, text: str, last: bool) -> tuple[str | None, str]:
        """Return the answer without its thoughts, which are not written back."""
        if self.policy == "allow":
            return None, "".join(part.split("<|channel>")[0] for part in text.split("<channel|>")).strip()
        # One mark alone is somebody's text about a mark.
        return None, THOUGHTS.sub("", text).strip()

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns, thinks = conversation.turns, bool(conversation.option("enable_thinking"))
        page.add(self.bos)
        system = turns[0] if turns[0].role == "system" else None
        if system or thinks or conversation.tools:
            page.add("<|turn>system\n", "<|think|>\n" if thinks else "", "" if system is None else system.text.strip())
            page.add(*(f"<|tool>{self._declaration(conversation, t['function'])}<tool|>" for t in conversation.tools))
            page.add("<turn|>\n")
        turns = turns[1:] if system else turns
        question = max((place for place, turn in enumerate(turns) if turn.role == "user"), default=-1)
        speaker = ""
        for place, turn in enumerate(turns):
            if turn.role == "tool":
                if not _follows_calls(turns, place):
                    conversation.lost_turn(turn)
                continue
            self.check_role(turn)
            if not self.joins(turns, place, speaker):
                page.add(f"<|turn>{'model' if turn.role == 'assistant' else turn.role}\n")
            speaker = turn.role
            results = list(_results(turns, place))
            if turn.thinking and self.shows_thinking(conversation, turn, place > question):
                page.add(f"<|channel>thought\n{turn.thinking}\n<channel|>")
            page.add(*(self._call(conversation, call) for call in turn.calls))
            page.add(*(self._result(conversation, turn, result) for result in results))
            page.say(turn, turn.text.strip())
            page.add(
                self.closing(turn, results, next((each for each in turns[place + 1 :] if each.role != "tool"), None))
            )
        if conversation.generate:
            spoken = [turn for turn in turns if turn.role != "tool"]
            # Behind calls and results the model's turn is still open.
            inside = bool(spoken and spoken[-1].calls)
            page.add(self.inside(turns, thinks) if inside else self.generation + ("" if thinks else self.thoughtless))

    def joins(self, turns: Sequence[Turn], place: int, speaker: str) -> bool:
        """Return whether a turn goes on with the one of `speaker` before it."""
        return speaker == turns[place].role == "assistant"

    def shows_thinking(self, conversation: Conversation, turn: Turn, asked: bool) -> bool:
        """Return whether the thoughts of a turn are written, which may be `asked` for by the last question."""
        return asked and bool(turn.calls)

    def closing(self, turn: Turn, results: Sequence[Turn], following: Turn | None) -> str:
        """Return what stands behind a turn and the results of its calls."""
        if turn.calls and not results:
            return "<|tool_response>"
        return "<turn|>\n" if not results or turn.text else ""

    def inside(self, turns: Sequence[Turn], thinks: bool) -> str:
        """Return the opening of an answer behind results."""
        return ""

    def check_name(self, conversation: Conversation, name: str, schema: Any) -> bool:
        """Return whether an argument of this name can be described."""
        if name in SCHEMA_KEYS and isinstance(schema, Mapping):
            conversation.lost(f"an argument of the name {name!r}", "Give it another name.")
        return name not in SCHEMA_KEYS

    def _fields(self, conversation: Conversation, fields: Mapping[str, Any]) -> str:
        return ",".join(
            f"{conversation.before(':', key)}:{self._value(conversation, value)}" for key, value in _sorted(fields)
        )

    def _value(self, conversation: Conversation, value: Any) -> str:
        return _value(conversation, value, escape=False, none=self.none, quote=self.quote)

    def _call(self, conversation: Conversation, call: Call) -> str:
        return f"<|tool_call>call:{call.name}{{{self._fields(conversation, call.fields())}}}<tool_call|>"

    def _result(self, conversation: Conversation, turn: Turn, result: Turn) -> str:
        names = [call.name for call in turn.calls if call.id == result.call_id]
        name = names[-1] if names else result.name or "unknown"
        fields = f"value:{self.quote}{result.text}{self.quote}"
        if isinstance(result.value, Mapping):
            fields = self._fields(conversation, result.value)
        return f"<|tool_response>response:{name}{{{fields}}}<tool_response|>"

    def _declaration(self, conversation: Conversation, function: Mapping[str, Any]) -> str:
        about = conversation.guard(str(function.get("description", "")))
        text = f"declaration:{conversation.guard(function['name'])}{{description:{self.quote}{about}{self.quote}"
        schema = function.get("parameters")
        if schema:
            text += ",parameters:{"
            if schema.get("properties"):
                text += f"properties:{{{self._properties(conversation, schema['properties'])}}},"
            if schema.get("required"):
                text += f"required:[{_quoted(conversation, schema['required'], self.quote)}],"
            text += f"type:{self.quote}{_type(conversation, schema)}{self.quote}}}" if schema.get("type") else ""
        response = function.get("response")
        if response is not None:
            described = response.get("description")
            text += ",response:{"
            text += f"description:{self.quote}{conversation.guard(described)}{self.quote}," if described else ""
            text += f"type:{self.quote}OBJECT{self.quote}}}" if _type(conversation, response) == "OBJECT" else ""
        return text.strip() + "}"

    def _properties(self, conversation: Conversation, properties: Mapping[str, Any]) -> str:
        shown = []
        for name, schema in _sorted(properties):
            if not self.check_name(conversation, name, schema):
                continue
            parts = self._schema(conversation, schema if isinstance(schema, Mapping) else {})
            shown.append(f"{conversation.before(':', name)}:{{{','.join(parts)}}}")
        return ",".join(shown)

    def _schema(self, conversation: Conversation, schema: Mapping[str, Any]) -> Iterable[str]:
        kind = _type(conversation, schema)
        if schema.get("description"):
            yield f"description:{self.quote}{conversation.guard(str(schema['description']))}{self.quote}"
        if kind == "STRING" and schema.get("enum"):
            yield f"enum:{_value(conversation, schema['enum'], escape=True, quote=self.quote)}"
        if kind == "ARRAY" and isinstance(schema.get("items"), Mapping) and schema["items"]:
            items = (
                self._item(conversation, key, value) for key, value in _sorted(schema["items"]) if value is not None
            )
            yield f"items:{{{','.join(items)}}}"
        if schema.get("nullable"):
            yield "nullable:true"
        if kind == "OBJECT":
            inner = schema.get("properties")
            if not isinstance(inner, Mapping):
                inner = {name: value for name, value in schema.items() if name not in SCHEMA_KEYS}
            yield f"properties:{{{self._properties(conversation, inner)}}}"
            if schema.get("required"):
                yield f"required:[{_quoted(conversation, schema['required'], self.quote)}]"
        yield f"type:{self.quote}{kind}{self.quote}"

    def _item(self, conversation: Conversation, key: str, value: Any) -> str:
        if key == "properties":
            return f"properties:{{{self._properties(conversation, value) if isinstance(value, Mapping) else ''}}}"
        if key == "required":
            return f"required:[{_quoted(conversation, value, self.quote)}]"
        if key == "type":
            value = value.upper() if isinstance(value, str) else [str(each).upper() for each in value]
        return f"{conversation.before(':', key)}:{_value(conversation, value, escape=True, quote=self.quote)}"


def _sorted(fields: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return sorted(fields.items(), key=lambda field: field[0].lower())


def _type(conversation: Conversation, schema: Mapping[str, Any]) -> str:
    return conversation.guard(str(schema.get("type", "")).upper())


def _quoted(conversation: Conversation, names: Iterable[str], quote: str) -> str:
    return ",".join(f"{quote}{conversation.guard(name)}{quote}" for name in names)


def _value(conversation: Conversation, value: Any, *, escape: bool, none: str = "None", quote: str) -> str:
    if value is None:
        return none
    if isinstance(value, str):
        return quote + conversation.guard(value) + quote
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        mark = quote if escape else ""
        fields = (
            f"{mark}{conversation.before(':', key)}{mark}:"
            f"{_value(conversation, item, escape=escape, none=none, quote=quote)}"
            for key, item in _sorted(value)
        )
        return f"{{{','.join(fields)}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(_value(conversation, item, escape=escape, none=none, quote=quote) for item in value)}]"
    return conversation.guard(str(value))


def _follows_calls(turns: Sequence[Turn], place: int) -> bool:
    while place and turns[place].role == "tool":
        place -= 1
    return bool(turns[place].calls)


def _results(turns: Sequence[Turn], place: int) -> Iterable[Turn]:
    """Return the results that follow an answer with calls."""
    if turns[place].calls:
        for turn in turns[place + 1 :]:
            if turn.role != "tool":
                return
            yield turn


class Gemma4Canonical(Gemma4):
    """Gemma 4 as its template of July 2026 writes it: answers in a row are one turn, thoughts stay after a question."""

    none: ClassVar[str] = "null"

    def shows_thinking(self, conversation: Conversation, turn: Turn, asked: bool) -> bool:
        """Return whether the thoughts of a turn are written: those behind the last question are."""
        return asked or (bool(conversation.option("preserve_thinking")) and bool(turn.calls))

    def closing(self, turn: Turn, results: Sequence[Turn], following: Turn | None) -> str:
        """Return what stands behind a turn and the results of its calls."""
        if turn.calls and not results:
            return "<|tool_response>"
        if turn.role == "assistant" and following is not None and following.role == "assistant":
            return ""
        return "<turn|>\n" if not results or turn.text.strip() or following is not None else ""

    def inside(self, turns: Sequence[Turn], thinks: bool) -> str:
        """Return the opening of an answer behind results: more thoughts, if the model is to think."""
        spoken = [place for place, turn in enumerate(turns) if turn.role != "tool"]
        return "<|channel>thought\n" if thinks and list(_results(turns, spoken[-1])) else ""

    def check_name(self, conversation: Conversation, name: str, schema: Any) -> bool:
        """Return whether an argument of this name can be described: any can."""
        return True


class DiffusionGemma(Gemma4Canonical):
    """DiffusionGemma: as Gemma 4, but an answer behind results is a turn of its own."""

    def joins(self, turns: Sequence[Turn], place: int, speaker: str) -> bool:
        """Return whether a turn goes on with the one of `speaker` before it."""
        return super().joins(turns, place, speaker) and turns[place - 1].role != "tool"


_GEMMA4: dict[str, Any] = {
    "bos": "<bos>",
    "generation": "<|turn>model\n",
    "stops": ("<turn|>", "<eos>"),
    "special_tokens": (
        *("<bos>", "<eos>", "<|turn>", "<turn|>", "<|tool_call>", "<tool_call|>", "<|channel>", "<channel|>"),
    ),
    "keep_think": True,
    "supports_tools": True,
    "output_parser": "gemma4",
}
GEMMA4 = Gemma4(name="gemma4", variables=("enable_thinking",), **_GEMMA4)
# The larger models' template of July 2026. E2B and E4B share another one.
GEMMA4_0709 = Gemma4Canonical(name="gemma4_0709", variables=("enable_thinking", "preserve_thinking"), **_GEMMA4)
GEMMA4_SMALL = Gemma4Canonical(
    name="gemma4_small", thoughtless="", variables=("enable_thinking", "preserve_thinking"), **_GEMMA4
)
DIFFUSION_GEMMA = DiffusionGemma(
    name="diffusion_gemma", thoughtless="", variables=("enable_thinking", "preserve_thinking"), **_GEMMA4
)
