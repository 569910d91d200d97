"""The DeepSeek families."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from sagewire.prompt_formats.engine.conversation import Call, Conversation, Turn
from sagewire.prompt_formats.engine.turns import Block, PromptBuilder, TurnFormat

__all__ = [
    "DEEPSEEK_CODER",
    "DEEPSEEK_LLM",
    "DEEPSEEK_R1",
    "DEEPSEEK_R1_0528",
    "DEEPSEEK_R1_0528_QWEN3",
    "DEEPSEEK_R1_DISTILL_LLAMA",
    "DEEPSEEK_R1_DISTILL_QWEN",
    "DEEPSEEK_R1_REV1",
    "DEEPSEEK_V2",
    "DEEPSEEK_V2_5",
    "DEEPSEEK_V3",
    "DEEPSEEK_V3_0324",
]

BOS = "<｜begin▁of▁sentence｜>"
EOS = "<｜end▁of▁sentence｜>"
CODER_SYSTEM = (
    "You are an AI programming assistant, utilizing the Deepseek Coder model, developed by Deepseek Company, and you "
    "only answer questions related to computer science. For politically sensitive questions, security and privacy "
    "issues, and other non-computer science questions, you will refuse to answer\n"
)

DEEPSEEK_LLM = TurnFormat(
    name="deepseek_llm",
    bos=BOS,
    roles={
        "system": Block("", "\n\n"),
        "user": Block("User: ", "\n\n"),
        "assistant": Block("Assistant: ", EOS),
    },
    generation="Assistant:",
    stops=(EOS,),
    special_tokens=(BOS, EOS),
    words=("\nUser:", "\nAssistant:"),
)
DEEPSEEK_V2 = TurnFormat(
    name="deepseek_v2",
    bos=BOS,
    roles=DEEPSEEK_LLM.roles,
    generation="Assistant:",
    stops=(EOS,),
    special_tokens=(BOS, EOS),
    words=("\nUser:", "\nAssistant:"),
)
DEEPSEEK_CODER = TurnFormat(
    name="deepseek_coder",
    bos=BOS,
    roles={
        "system": Block("", ""),
        "user": Block("### Instruction:\n", "\n"),
        "assistant": Block("### Response:\n", "\n<|EOT|>\n"),
    },
    stray="assistant",
    default_system=CODER_SYSTEM,
    default_unless="any",
    generation="### Response:\n",
    stops=("<|EOT|>",),
    special_tokens=(BOS, "<|EOT|>"),
    words=("### Instruction:", "### Response:"),
)


USER, ASSISTANT = "<｜User｜>", "<｜Assistant｜>"
CALLS, CALLS_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
CALL, CALL_END, SEP = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>"
OUTPUTS, OUTPUTS_END = "<｜tool▁outputs▁begin｜>", "<｜tool▁outputs▁end｜>"
OUTPUT, OUTPUT_END = "<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>"
TOKENS = (
    *(BOS, EOS, USER, ASSISTANT, CALLS, CALLS_END, CALL, CALL_END, SEP),
    *(OUTPUTS, OUTPUTS_END, OUTPUT, OUTPUT_END),
)
THINK_TAGS = ("<think>", "</think>")


def system_text(conversation: Conversation, joined: bool) -> str:
    """Return the system texts, which stand together at the top; strict refuses to move or to lose one."""
    turns = conversation.turns
    systems = [(place, turn) for place, turn in enumerate(turns) if turn.role == "system"]
    for number, (place, turn) in enumerate(systems):
        if place != number or (number and not joined):
            conversation.lost_turn(turn)
    texts = [turn.text for _, turn in systems]
    return "\n\n".join(texts) if joined else "".join(texts[-1:])


@dataclass(frozen=True, kw_only=True, repr=False)
class DeepSeek(TurnFormat):
    """DeepSeek V3 and R1: system texts at the top, results of tools between marks of their own.

    The first call of a conversation opens a list that later ones do not open again, and the same holds for results:
    that is how the published templates count, and how the models were fed.

    Args:
        calls: Whether calls are written `always`, also `beside` a text that follows them, or only in a message
            `without_text`.
        join_systems: Several system texts stand below each other; else only the last one is kept.
        next_output: What opens a tool's result that is not the first.
        mend_lists: Close every list of calls once, where the template leaves the first one open; strict only.
        system_lead: What the template writes before everything else for each system text.
    """

    calls: Literal["always", "beside", "without_text"] = "always"
    join_systems: bool = True
    next_output: str = OUTPUT
    mend_lists: bool = True
    system_lead: str = ""

    def split_answer(self, text: str, last: bool) -> tuple[str | None, str]:
        """Return the answer behind the thinking; the thinking is not written back."""
        return None, text.split("</think>")[-1] if self.keep_think else text

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        page.add(self.system_lead * sum(turn.role == "system" for turn in conversation.turns))
        page.add(self.bos, system_text(conversation, self.join_systems))
        called = output = after_tool = False
        for turn in conversation.turns:
            if turn.role == "user":
                after_tool = False
                page.add(USER)
                page.say(turn, turn.text)
            elif turn.role == "assistant":
                with_calls, with_text = self._parts(conversation, turn, called)
                if with_calls:
                    page.add(self._calls(turn, called))
                    called, after_tool = True, False
                if with_text:
                    page.add(OUTPUTS_END if after_tool else ASSISTANT)
                    page.say(turn, turn.text)
                    page.add(EOS)
                    after_tool = False
            elif turn.role == "tool":
                page.add(self.next_output if output else OUTPUTS + OUTPUT, turn.text, OUTPUT_END)
                output = after_tool = True
            elif turn.role != "system":
                conversation.lost_turn(turn)
        if after_tool:
            page.add(OUTPUTS_END)
        elif conversation.generate:
            page.add(self.generation)

    def _parts(self, conversation: Conversation, turn: Turn, called: bool) -> tuple[bool, bool]:
        """Return whether the calls of an assistant's turn are written, and whether its text is written by itself."""
        text = bool(turn.text.strip())
        if not turn.calls:
            return False, True
        if self.calls == "always":
            if called and text:
                conversation.lost("text beside tool calls that are not the conversation's first")
            return True, False
        if self.calls == "beside":
            if text:
                conversation.lost("text before tool calls")
            return True, not turn.null
        if not turn.null:
            conversation.lost("tool calls in a message whose content is not None", "Set its content to None.")
        return turn.null, not turn.null

    def _calls(self, turn: Turn, called: bool) -> str:
        text = ""
        # V3's first template closes the list behind each call but the very first one; the default closes it once.
        loose = self.calls == "without_text" and not (self.strict and self.mend_lists)
        for call in turn.calls:
            again = called
            if called:
                text += "\n"
            else:
                text += ASSISTANT + (turn.text if self.calls == "always" else "") + CALLS
                called = True
            text += f"{CALL}function{SEP}{call.name}\n```json\n{call.raw}\n```{CALL_END}"
            if loose and again:
                text += CALLS_END + EOS
        return text if loose else text + CALLS_END + EOS


TOOLS_BEFORE = (
    "You are a helpful assistant with tool calling capabilities. When a tool call is needed, you MUST use the "
    f"following format to issue the call:\n{CALLS}{CALL}function{SEP}FUNCTION_NAME\n```json\n"
    f'{{"param1": "value1", "param2": "value2"}}\n```{CALL_END}{CALLS_END}\n\nMake sure the JSON is valid.## Tools\n\n'
    "### Function\n\nYou have the following functions available:\n\n"
)


@dataclass(frozen=True, kw_only=True, repr=False)
class DeepSeekV30324(TurnFormat):
    """DeepSeek V3-0324 and R1-0528: a question ends with the opening of its answer; each answer has a list of calls.

    Args:
        always_opened: The last question does so even if no opening is wanted.
    """

    always_opened: bool = True

    def split_answer(self, text: str, last: bool) -> tuple[str | None, str]:
        """Return the answer behind the thinking; the thinking is not written back."""
        return None, text.split("</think>")[-1] if self.keep_think else text

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        system = system_text(conversation, joined=True)
        tools = self._tools(conversation)
        page.add(BOS, system, "\n\n" if system and tools else "", tools)
        asked = after_tool = False
        first_output = True
        last = len(conversation.turns) - 1
        for place, turn in enumerate(conversation.turns):
            if turn.role == "user":
                page.add(USER)
                page.say(turn, turn.text)
                page.add(ASSISTANT if self.always_opened or conversation.generate or place < last else "")
            elif turn.role == "assistant":
                page.add(OUTPUTS_END if after_tool else "")
                page.say(turn, turn.text)
                page.add(self._calls(turn.calls), EOS)
                first_output = first_output or bool(turn.calls)
            elif turn.role == "tool":
                page.add(OUTPUTS + OUTPUT if first_output else "\n" + OUTPUT, turn.text, OUTPUT_END)
                first_output = False
            elif turn.role != "system":
                conversation.lost_turn(turn)
            if turn.role in ("user", "assistant", "tool"):
                asked, after_tool = turn.role == "user", turn.role == "tool"
        page.add(OUTPUTS_END if after_tool else "")
        if conversation.generate and not asked and not after_tool:
            page.add(ASSISTANT)

    def _tools(self, conversation: Conversation) -> str:
        if not conversation.tools:
            return ""
        return TOOLS_BEFORE + "".join(f"\n```json\n{conversation.json(tool)}\n```\n" for tool in conversation.tools)

    def _calls(self, calls: tuple[Call, ...]) -> str:
        if not calls:
            return ""
        texts = (f"{CALL}function{SEP}{call.name}\n```json\n{call.raw}\n```{CALL_END}" for call in calls)
        return CALLS + "\n".join(texts) + CALLS_END


_V3: dict[str, Any] = {"bos": BOS, "stops": (EOS,), "output_parser": "deepseek_v3"}
_R1: dict[str, Any] = {**_V3, "special_tokens": (*TOKENS, *THINK_TAGS), "keep_think": True}

DEEPSEEK_V3 = DeepSeek(
    name="deepseek_v3",
    special_tokens=TOKENS,
    generation=ASSISTANT,
    calls="without_text",
    next_output="\n" + OUTPUT,
    **_V3,
)
# Its template is one long line, whose indentation is written out before a system text.
DEEPSEEK_V2_5 = replace(DEEPSEEK_V3, name="deepseek_v2_5", join_systems=False, mend_lists=False, system_lead=" " * 8)
DEEPSEEK_R1 = DeepSeek(name="deepseek_r1", generation=ASSISTANT + "<think>\n", **_R1)
DEEPSEEK_R1_REV1 = DeepSeek(name="deepseek_r1_rev1", generation=ASSISTANT, **_R1)
DEEPSEEK_R1_DISTILL_LLAMA = DeepSeek(
    name="deepseek_r1_distill_llama",
    generation=ASSISTANT + "<think>\n",
    calls="without_text",
    join_systems=False,
    next_output="\n" + OUTPUT,
    **_R1,
)
DEEPSEEK_R1_DISTILL_QWEN = DeepSeek(
    name="deepseek_r1_distill_qwen",
    generation=ASSISTANT + "<think>\n</think>",
    calls="beside",
    join_systems=False,
    next_output="\n" + OUTPUT,
    **_R1,
)
DEEPSEEK_V3_0324 = DeepSeekV30324(name="deepseek_v3_0324", special_tokens=TOKENS, **_V3)
DEEPSEEK_R1_0528 = DeepSeekV30324(name="deepseek_r1_0528", always_opened=False, supports_tools=True, **_R1)
DEEPSEEK_R1_0528_QWEN3 = DeepSeekV30324(name="deepseek_r1_0528_qwen3", **_R1)
