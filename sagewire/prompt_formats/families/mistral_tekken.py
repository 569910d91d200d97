"""Mistral from tokenizer version 11 on, as its own library mistral-common writes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sagewire.errors import UsageError
from sagewire.prompt_formats.engine.conversation import Call, Conversation, Turn
from sagewire.prompt_formats.engine.turns import PromptBuilder, TurnFormat
from sagewire.prompt_formats.families.mistral import V7, nine

__all__ = ["MISTRAL_V11", "MISTRAL_V13", "MISTRAL_V15"]

# Which role may stand behind which.
ORDER = {
    "": ("user", "system"),
    "system": ("user", "assistant", "system"),
    "user": ("assistant", "system", "user"),
    "assistant": ("assistant", "user", "tool"),
    "tool": ("assistant", "tool", "user"),
}


@dataclass(frozen=True, kw_only=True, repr=False)
class MistralTekken(TurnFormat):
    """Mistral from v11 on: calls that name their function, messages of one role in a row as one.

    Args:
        call_ids: Calls and results carry ids; from v13 on they do not.
        tools_first: The tools stand at the user's first turn; else at the last.
        thinks: Thinking is written back.
        settings: The user's first turn says how much to think.
        between_parts: What stands between the text parts of a message.
    """

    call_ids: bool = False
    tools_first: bool = True
    thinks: bool = True
    settings: bool = False
    between_parts: str = "\n\n"

    def join_parts(self, parts: Sequence[str]) -> str:
        """Return the text of a message's parts."""
        return self.between_parts.join(parts)

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = _joined(conversation, conversation.turns)
        users = [place for place, turn in enumerate(turns) if turn.role == "user"]
        if conversation.tools and not users:
            conversation.lost("tools in a conversation without a user's message")
        page.add(self.bos)
        for place, turn in enumerate(turns):
            if turn.role == "user":
                if conversation.tools and place == users[0 if self.tools_first else -1]:
                    page.add(f"[AVAILABLE_TOOLS]{conversation.json(conversation.tools)}[/AVAILABLE_TOOLS]")
                page.add(self._settings(conversation) if place == users[0] else "", "[INST]")
                page.say(turn, turn.text)
                page.add("[/INST]")
            elif turn.role == "assistant":
                self._write_answer(conversation, page, turn)
            elif turn.role == "tool":
                lead = f"{nine(turn.call_id)}[TOOL_CONTENT]" if self.call_ids else ""
                page.add("[TOOL_RESULTS]", lead, turn.text, "[/TOOL_RESULTS]")
            else:
                page.add("[SYSTEM_PROMPT]")
                page.say(turn, turn.text)
                page.add("[/SYSTEM_PROMPT]")

    def _settings(self, conversation: Conversation) -> str:
        if not self.settings:
            return ""
        effort = conversation.option("reasoning_effort") or "none"
        if effort not in ("none", "high"):
            raise UsageError(f'reasoning_effort must be either "none" or "high", not {effort!r:.60}.')
        return f'[MODEL_SETTINGS]{{"reasoning_effort": "{effort}"}}[/MODEL_SETTINGS]'

    def _write_answer(self, conversation: Conversation, page: PromptBuilder, turn: Turn) -> None:
        thinking = turn.thinking if self.thinks else None
        if not turn.text and not turn.calls and not thinking:
            raise UsageError("An assistant's message needs a text or tool calls.")
        page.add(f"[THINK]{thinking}[/THINK]" if thinking else "")
        page.say(turn, turn.text)
        page.add(*(self._call(conversation, call) for call in turn.calls), "</s>")

    def _call(self, conversation: Conversation, call: Call) -> str:
        call_id = f"[CALL_ID]{nine(call.id)}" if self.call_ids else ""
        return f"[TOOL_CALLS]{call.name}{call_id}[ARGS]{conversation.json(call.arguments)}"


def _joined(conversation: Conversation, turns: Sequence[Turn]) -> list[Turn]:
    """Return the turns with those of a user or an assistant in a row made one.

    Raises:
        UsageError: A role stands where it cannot.
    """
    found: list[Turn] = []
    for turn in turns:
        before = found[-1].role if found else ""
        if turn.role not in ORDER:
            raise UsageError(f"Only user, assistant, system and tool roles are supported, got {turn.role!r:.60}.")
        if turn.role not in ORDER[before]:
            raise UsageError(
                f"A message of role {turn.role!r} cannot stand behind one of role {before!r}."
                if before
                else f"Conversation must start with a user or system message, got {turn.role}."
            )
        if turn.role != before or turn.role not in ("user", "assistant"):
            found.append(turn)
            continue
        if turn.thinking:
            conversation.lost("thinking in the second of two assistant messages in a row")
        last = found[-1]
        text = conversation.guard(f"{last.text}\n\n{turn.text}")
        found[-1] = replace(last, text=text, calls=(*last.calls, *turn.calls), final=turn.final)
    return found


_TEKKEN: dict[str, Any] = {"bos": "<s>", "stops": ("</s>",), "supports_tools": True, "output_parser": "mistral"}
_MARKS = (*V7, "[ARGS]")
MISTRAL_V11 = MistralTekken(
    name="mistral_v11",
    call_ids=True,
    tools_first=False,
    thinks=False,
    special_tokens=(*_MARKS, "[CALL_ID]", "[TOOL_CONTENT]"),
    **_TEKKEN,
)
MISTRAL_V13 = MistralTekken(name="mistral_v13", special_tokens=(*_MARKS, "[THINK]", "[/THINK]"), **_TEKKEN)
MISTRAL_V15 = MistralTekken(
    name="mistral_v15",
    settings=True,
    between_parts="",
    variables=("reasoning_effort",),
    special_tokens=(*_MARKS, "[THINK]", "[/THINK]", "[MODEL_SETTINGS]", "[/MODEL_SETTINGS]"),
    **_TEKKEN,
)
