"""The `schema` engine: it obeys. It calls tools, fills in JSON schemas, and answers from tool results.

It is not a language model, either: tools are chosen by the words they share with the request, and values are what was
said or, failing that, the schema's own description of them. It is deterministic, and good enough for the tool loops,
structured answers and agents of the frameworks to run to their end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from sagewire.emulator.engines.base import Call, Piece, Text, Thinking, Turn, text_of
from sagewire.emulator.engines.choosing import Wanted, last_user, results_since, wanted_calls
from sagewire.emulator.engines.evidence import Evidence
from sagewire.emulator.engines.extractive import NOTHING_TO_READ, UNKNOWN, answer
from sagewire.emulator.engines.facts import general_knowledge
from sagewire.emulator.engines.filling import fill, fill_properties
from sagewire.emulator.engines.patterns import matching
from sagewire.emulator.engines.prompt import unfold
from sagewire.emulator.engines.tool_text import forced, write_calls
from sagewire.emulator.engines.written_turns import read_written_turns
from sagewire.types import ImagePart, Message

__all__ = ["Schema"]

_KEYS = re.compile(r"['\"`](\w+)['\"`]")
_GREETING = re.compile(r"(?i)\s*(?:hello|hi|hey|good (?:morning|evening|day))\b")


class Schema:
    """An engine that calls the tools it is offered, fills in schemas, and answers from the conversation."""

    blocking = False

    def generate(self, turn: Turn, /) -> Iterator[Piece]:
        """Yield the answer."""
        as_text = turn.prompt is not None
        if as_text:
            turn = forced(unfold(turn))
        turn = replace(turn, messages=read_written_turns(turn.messages))
        if turn.reasoning:
            yield Thinking(f"The user said: {_said(turn)[:200]} I will answer that.")
        if turn.choices:
            yield Text(_choose(turn))
        elif turn.pattern:
            yield Text(matching(turn.pattern))
        elif turn.json_schema is not None and (as_text or turn.tool_choice in (None, "auto")):
            # The schema holds the whole answer (vLLM's chat route, too), so that no tool can be called.
            yield Text(_reply(turn))
        elif calls := wanted_calls(turn):
            yield from self._call(calls, turn, as_text)
        else:
            yield Text(_reply(turn))

    def _call(self, calls: list[Wanted], turn: Turn, as_text: bool) -> Iterator[Piece]:
        made = [
            Call(wanted.tool.name, _dumps(fill_properties(wanted.tool.parameters, Evidence(wanted.text))))
            for wanted in calls
        ]
        if as_text:
            yield Text(write_calls(made, turn.prompt or ""))
        else:
            yield from made


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _said(turn: Turn) -> str:
    start = last_user(turn.messages)
    return text_of(turn.messages[start]) if start >= 0 else ""


def _choose(turn: Turn) -> str:
    text = " ".join(text_of(message) for message in turn.messages) + (turn.prompt or "")
    said = [choice for choice in turn.choices if choice.lower() in text.lower()]
    return (said or list(turn.choices))[0]


def _reply(turn: Turn) -> str:
    start = last_user(turn.messages)
    results = results_since(turn.messages, start)
    evidence = Evidence("\n".join([_said(turn), *map(text_of, results)]))
    schema = turn.json_schema if turn.json_schema is not None else _schema_in_text(turn)
    if schema is not None:
        return _dumps(_object(_chosen_call(schema, turn), turn, evidence))
    if results:
        return _from_results(turn, results)
    images = [part for message in turn.messages[max(start, 0) :] for part in _images(message)]
    if images:
        return f"I was given {len(images)} image{'s' if len(images) > 1 else ''} ({', '.join(map(_describe, images))})."
    return _chat(turn)


def _chosen_call(schema: Mapping[str, Any], turn: Turn) -> Mapping[str, Any]:
    """Return, of a grammar that allows one of several calls, the part for the call that fits the request."""
    options = schema.get("anyOf") or schema.get("oneOf") or ()
    named = {option.get("properties", {}).get("name", {}).get("const"): option for option in options}
    offered = tuple(tool for tool in turn.tools if tool.name in named)
    if not offered:
        return schema
    # A grammar leaves no choice but to call.
    wanted = wanted_calls(replace(turn, tools=offered, tool_choice="required"))
    option = named[wanted[0].tool.name]
    return {**option, **({"$defs": schema["$defs"]} if "$defs" in schema else {})}


def _object(schema: Any, turn: Turn, evidence: Evidence) -> Any:
    """Return JSON for a schema; if it is only `object`, the keys are the words quoted by the user."""
    says_more = ("properties", "$ref", "enum", "const", "anyOf", "oneOf", "allOf")
    if any(map(schema.get, says_more)) or schema.get("type", "object") != "object":
        return fill(schema, evidence)
    written = _schema_in_text(turn)
    if written is not None:
        return fill(written, evidence)
    text = "\n".join(text_of(message) for message in turn.messages if message.role in ("system", "user"))
    keys = _KEYS.findall(text) if re.search(r"(?i)\b(?:keys?|fields?|json)\b", text) else []
    topic = _KEYS.sub(" ", evidence.text).strip().split("\n")[0][:80]
    return {key: f"{key}: {topic}" for key in keys} or {"answer": topic}


def _schema_in_text(turn: Turn) -> dict[str, Any] | None:
    """Return a JSON schema that the instructions hold, as the structured-output prompts of frameworks do."""
    if turn.tools:
        return None
    for message in reversed(turn.messages):
        text = text_of(message)
        if message.role not in ("system", "user") or '"properties"' not in text:
            continue
        decoder, position = json.JSONDecoder(), text.find("{")
        best: dict[str, Any] | None = None
        while position >= 0:
            try:
                data, end = decoder.raw_decode(text, position)
            except ValueError:
                position = text.find("{", position + 1)
                continue
            if isinstance(data, dict) and isinstance(data.get("properties"), dict):
                # The last one counts: instructions show an example of a schema first.
                best = data
            position = text.find("{", end)
        if best is not None:
            return best
    return None


def _from_results(turn: Turn, results: list[Message]) -> str:
    names = {call.id: call.name for message in turn.messages for call in message.tool_calls if call.id}
    lines = []
    for result in results:
        name = result.name or names.get(result.tool_call_id or "", "")
        images = list(_images(result))
        content = text_of(result) or ", ".join(map(_describe, images)) or "nothing"
        lines.append(f"According to {name}: {content}" if name else content)
    return "\n".join(lines)


def _images(message: Message) -> Iterator[ImagePart]:
    if not isinstance(message.content, str):
        yield from (part for part in message.content if isinstance(part, ImagePart))


def _describe(image: ImagePart) -> str:
    if image.url.startswith("data:"):
        kind, _, data = image.url.removeprefix("data:").partition(";base64,")
        return f"{kind}, {len(data) * 3 // 4 - data.count('=')} bytes"
    return image.url


def _chat(turn: Turn) -> str:
    said = _said(turn)
    found = answer(turn.messages)
    if found not in (UNKNOWN, NOTHING_TO_READ):
        return found
    known = general_knowledge(said)
    if known is not None:
        return known
    if _GREETING.match(said):
        return "Hello! How can I help you?"
    return f"You said: {said}" if said else "I am listening."
