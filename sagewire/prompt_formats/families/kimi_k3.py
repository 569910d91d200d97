"""Moonshot's Kimi K3."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sagewire.errors import UsageError
from sagewire.prompt_formats.engine.conversation import Call, Conversation, Turn
from sagewire.prompt_formats.engine.turns import PromptBuilder, TurnFormat

__all__ = ["KIMI_K3"]

END = "<|end_of_msg|>"
EFFORTS = ("low", "high", "max")
EFFORT = (
    "`thinking_effort` guides on how much to think in your thinking channel (not including the response channel), "
    "supported values include `low`, `medium`, `high`, and `max`.\nNow the system is invoked with "
    "`thinking_effort={effort}`."
)
TOOLS = "# Tools\nHere are the available tools, described in JSONSchema.\n\n```json\n{tools}\n```"
KINDS = {bool: "boolean", int: "number", float: "number", str: "string", dict: "object", list: "array"}


class KimiK3(TurnFormat):
    """Kimi K3: tags with attributes around everything, and thinking in every answer unless `thinking=False`."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns, thinks = conversation.turns, conversation.option("thinking") is not False
        effort = conversation.option("thinking_effort", "max")
        if conversation.tools:
            tools = conversation.guard(_sorted_json(conversation.tools))
            page.add(_open("message", role="system", type="tool-declare"), TOOLS.replace("{tools}", tools), CLOSE)
        if thinks and effort is not None:
            if effort not in EFFORTS:
                raise UsageError(f"thinking_effort is 'low', 'high' or 'max' (the default), not {effort!r:.60}.")
            page.add(_open("message", role="system", type="thinking-effort"), EFFORT.replace("{effort}", effort), CLOSE)
        asked: tuple[Call, ...] = ()
        for place, turn in enumerate(turns):
            if turn.role == "tool":
                if not place or turns[place - 1].role != "tool":
                    self._write_results(page, asked, _run(turns, place))
                continue
            if turn.role not in ("user", "system", "assistant"):
                conversation.lost_turn(turn)
                continue
            page.add(_open("message", role=turn.role, **({"name": turn.name} if turn.name else {})))
            if turn.role == "assistant":
                self._write_answer(conversation, page, turn, thinks)
                asked = turn.calls
            else:
                page.say(turn, turn.text)
            page.add(CLOSE)
        if conversation.generate:
            page.add(_open("message", role="assistant"), _open("think" if thinks else "response"))

    def _write_answer(self, conversation: Conversation, page: PromptBuilder, turn: Turn, thinks: bool) -> None:
        if thinks:
            thinking = turn.thinking or ""
            page.add(_open("think"), thinking if thinking.strip() else "", _close("think"))
        page.add(_open("response"))
        page.say(turn, turn.text)
        page.add(_close("response"))
        if turn.calls:
            page.add(_open("tools"))
            for number, call in enumerate(turn.calls, 1):
                page.add(_open("call", tool=call.name, index=str(number)))
                page.add(*self._arguments(conversation, call), _close("call"))
            page.add(_close("tools"))

    def _arguments(self, conversation: Conversation, call: Call) -> Iterable[str]:
        for name, value in call.fields().items():
            yield _open("argument", key=conversation.guard(name), type=KINDS.get(type(value), "null"))
            yield conversation.guard(value) if isinstance(value, str) else conversation.json(value)
            yield _close("argument")

    def _write_results(self, page: PromptBuilder, asked: Sequence[Call], results: Sequence[Turn]) -> None:
        """Write results in a row; if each answers a call, in the order of the calls."""
        names: dict[str, str] = {}
        for call in asked:
            names.setdefault(call.id, call.name)
        if all(result.call_id in names for result in results):
            order = list(names)
            results = sorted(results, key=lambda result: order.index(result.call_id))
        else:
            names = {}
        for number, result in enumerate(results, 1):
            name = names.get(result.call_id) or result.name or (asked[number - 1].name if number <= len(asked) else "")
            if not name:
                raise UsageError("A tool's result needs the tool's name, or a call that it answers.")
            page.add(_open("message", role="tool", tool=name, index=str(number)), result.text, CLOSE)


def _open(tag: str, **attributes: str) -> str:
    shown = "".join(
        f' {name}="{value.replace("&", "&amp;").replace(chr(34), "&quot;")}"' for name, value in attributes.items()
    )
    return f"<|open|>{tag}{shown}<|sep|>"


def _close(tag: str) -> str:
    return f"<|close|>{tag}<|sep|>"


CLOSE = _close("message") + END


def _run(turns: Sequence[Turn], place: int) -> list[Turn]:
    """Return the results in a row that begin there."""
    end = next((number for number in range(place, len(turns)) if turns[number].role != "tool"), len(turns))
    return list(turns[place:end])


def _sorted_json(value: Any) -> str:
    """Return JSON text without blanks, the keys of objects sorted whatever their case."""
    if isinstance(value, dict):
        fields = sorted(value.items(), key=lambda field: field[0].lower())
        return "{" + ",".join(f"{json.dumps(k, ensure_ascii=False)}:{_sorted_json(item)}" for k, item in fields) + "}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_sorted_json, value))}]"
    return json.dumps(value, ensure_ascii=False)


KIMI_K3 = KimiK3(
    name="kimi_k3",
    stops=(END,),
    special_tokens=("<|open|>", "<|close|>", "<|sep|>", END),
    variables=("thinking", "thinking_effort"),
    supports_tools=True,
    output_parser="kimi_k3",
)
