"""DeepSeek V4, which has an encoder in place of a template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sagewire.errors import UsageError
from sagewire.prompt_formats.engine.conversation import Conversation, Turn
from sagewire.prompt_formats.engine.turns import PromptBuilder, TurnFormat
from sagewire.prompt_formats.families.deepseek import ASSISTANT, BOS, EOS, THINK_TAGS, TOKENS, USER
from sagewire.prompt_formats.families.deepseek_v3_1 import DSML, dsml_call

__all__ = ["DEEPSEEK_V4", "DEEPSEEK_V4_0731"]

TOOLS_BEFORE = (
    f"\n\n## Tools\n\nYou have access to a set of tools to help answer the user's question. You can invoke tools by "
    f'writing a "<{DSML}tool_calls>" block like the following:\n\n<{DSML}tool_calls>\n<{DSML}invoke name="$TOOL_NAME">'
    f'\n<{DSML}parameter name="$PARAMETER_NAME" string="true|false">$PARAMETER_VALUE</{DSML}parameter>\n...\n'
    f'</{DSML}invoke>\n<{DSML}invoke name="$TOOL_NAME2">\n...\n</{DSML}invoke>\n</{DSML}tool_calls>\n\nString '
    'parameters should be specified as is and set `string="true"`. For all other types (numbers, booleans, arrays, '
    'objects), pass the value in JSON format and set `string="false"`.\n\nIf thinking_mode is enabled (triggered by '
    "<think>), you MUST output your complete reasoning inside <think>...</think> BEFORE any tool calls or final "
    "response.\n\nOtherwise, output directly after </think> with tool calls or final response.\n\n### Available Tool "
    "Schemas\n\n"
)
TOOLS_AFTER = "\n\nYou MUST strictly follow the above defined tool name and parameter schemas to invoke tool calls.\n"
MUCH = (
    "Reasoning Effort: Absolute maximum with no shortcuts permitted.\nYou MUST be very thorough in your thinking and "
    "comprehensively decompose the problem to resolve the root cause, rigorously stress-testing your logic against all "
    "potential paths, edge cases, and adversarial scenarios.\nExplicitly write out your entire deliberation process, "
    "documenting every intermediate step, considered alternative, and rejected hypothesis to ensure absolutely no "
    "assumption is left unchecked.\n\n"
)
MORE = (
    "Reasoning Effort: Beyond maximum — exhaustive, relentless, and uncompromising.\nYou MUST reason with the utmost "
    "depth and rigor, leaving absolutely nothing to chance: exhaustively decompose the problem into its most "
    "fundamental components, trace every causal chain to its root, and resolve the underlying cause rather than any "
    "surface symptom.\nDo not stop reasoning until you have independently verified the solution from multiple angles "
    "and are certain that no assumption remains unchecked and no error remains undiscovered.\n\n"
)


@dataclass(frozen=True, kw_only=True, repr=False)
class DeepSeekV4(TurnFormat):
    """DeepSeek V4: calls in DSML, results within the user's turn, thoughts kept if there are tools.

    Args:
        efforts: What a prompt with thoughts opens with for a `reasoning_effort`.
    """

    efforts: Mapping[str, str] = field(default_factory=dict)

    def join_parts(self, parts: Sequence[str]) -> str:
        """Return the text of a message that was given in parts, with blank lines between them."""
        return "\n\n".join(parts)

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        thinks = bool(conversation.option("thinking"))
        page.add(BOS, self._effort(conversation) if thinks else "")
        turns = _in_order(_with_system(conversation))
        described = next((place for place, turn in enumerate(turns) if turn.role == "system"), -1)
        # Results of tools are the user's, too.
        question = max((place for place, turn in enumerate(turns) if turn.role in ("user", "tool")), default=-1)
        question = _opening_of(turns, question)
        before = ""
        for place, turn in enumerate(turns):
            kept = thinks and (bool(conversation.tools) or place >= question)
            if turn.role == "system":
                page.say(turn, turn.text)
                page.add(self._tools(conversation) if place == described else "")
            elif turn.role in ("user", "tool"):
                page.add("\n\n" if before in ("user", "tool") else USER)
                if turn.role == "user":
                    page.say(turn, turn.text)
                else:
                    page.add(f"<tool_result>{turn.text}</tool_result>")
            elif turn.role == "assistant":
                self._write_answer(conversation, page, turn, kept)
            else:
                raise UsageError(f"Only system, user, assistant and tool roles are supported, got {turn.role!r:.60}.")
            following = turns[place + 1].role if place + 1 < len(turns) else "assistant"
            if following == "assistant" and turn.role != "assistant":
                page.add(ASSISTANT, "<think>" if kept else "</think>")
            before = turn.role

    def _effort(self, conversation: Conversation) -> str:
        effort = conversation.option("reasoning_effort") or "low"
        if effort not in self.efforts:
            raise UsageError(f"reasoning_effort is one of {', '.join(self.efforts)}, not {effort!r:.60}.")
        return self.efforts[effort]

    def _tools(self, conversation: Conversation) -> str:
        if not conversation.tools:
            return ""
        return (
            TOOLS_BEFORE + "\n".join(conversation.json(tool["function"]) for tool in conversation.tools) + TOOLS_AFTER
        )

    def _write_answer(self, conversation: Conversation, page: PromptBuilder, turn: Turn, kept: bool) -> None:
        page.add(f"{turn.thinking or ''}</think>" if kept else "")
        page.say(turn, turn.text)
        if turn.calls:
            calls = "\n".join(dsml_call(conversation, call) for call in turn.calls)
            page.add(f"\n\n<{DSML}tool_calls>\n{calls}\n</{DSML}tool_calls>")
        page.add(EOS)


def _with_system(conversation: Conversation) -> list[Turn]:
    """Return the turns, an empty system turn before them if tools have to be described and it is missing."""
    turns = conversation.turns
    if conversation.tools and all(turn.role != "system" for turn in turns):
        return [Turn("system", ""), *turns]
    return turns


def _in_order(turns: Sequence[Turn]) -> list[Turn]:
    """Return the turns with the results of tools in the order of their calls."""
    found: list[Turn] = []
    order: dict[str, int] = {}
    start = 0
    for place, turn in enumerate([*turns, Turn("assistant", "")]):
        if turn.role in ("user", "tool"):
            continue
        block = list(turns[start:place])
        results = sorted(
            (each for each in block if each.role == "tool"), key=lambda result: order.get(result.call_id, 0)
        )
        found += [results.pop(0) if each.role == "tool" else each for each in block]
        found += turns[place : place + 1]
        start = place + 1
        if turn.calls:
            order = {call.id: number for number, call in enumerate(turn.calls)}
    return found


def _opening_of(turns: Sequence[Turn], place: int) -> int:
    """Return the place where the user's turn begins that this message is in."""
    while place > 0 and turns[place - 1].role in ("user", "tool"):
        place -= 1
    return place


_V4: dict[str, Any] = {
    "stops": (EOS,),
    "special_tokens": (*TOKENS, *THINK_TAGS, f"<{DSML}", f"</{DSML}"),
    "variables": ("thinking", "reasoning_effort"),
    "keep_think": True,
    "supports_tools": True,
    "output_parser": "deepseek_v32",
}
DEEPSEEK_V4 = DeepSeekV4(name="deepseek_v4", efforts={"low": "", "high": "", "max": MUCH}, **_V4)
DEEPSEEK_V4_0731 = replace(DEEPSEEK_V4, name="deepseek_v4_0731", efforts={"low": "", "high": MUCH, "max": MORE})
