"""ChatML and the families that write with its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sagewire.prompt_formats.engine.conversation import Conversation
from sagewire.prompt_formats.engine.turns import Block, OpenedFormat, PromptBuilder, TurnFormat
from sagewire.prompt_formats.families import default_texts

__all__ = [
    "CHATML",
    "INTERNLM2",
    "NOUS_HERMES_2",
    "OLMO3",
    "OLMO3_THINK",
    "SMOLLM2",
    "SMOLLM3",
    "SMOLLM3_HUB",
    "YI",
    "YI_1_5",
    "ZEPHYR_GEMMA",
]

IM = ("<|im_start|>", "<|im_end|>")
TURN = Block("<|im_start|>{role}\n", "<|im_end|>\n")
ASSISTANT = "<|im_start|>assistant\n"

# What most fine-tunes write with, also those that think.
CHATML = TurnFormat(
    name="chatml",
    other=TURN,
    generation=ASSISTANT,
    stops=("<|im_end|>",),
    special_tokens=IM,
    keep_think=True,
    output_parser="thinking",
)
NOUS_HERMES_2 = TurnFormat(
    name="nous_hermes_2", bos="<s>", other=TURN, generation=ASSISTANT, stops=("<|im_end|>",), special_tokens=IM
)
INTERNLM2 = TurnFormat(
    name="internlm2",
    bos="<s>",
    other=TURN,
    generation=ASSISTANT,
    stops=("<|im_end|>",),
    special_tokens=IM,
    output_parser="internlm2",
)
ZEPHYR_GEMMA = TurnFormat(
    name="zephyr_gemma",
    bos="<bos>",
    other=TURN,
    generation=ASSISTANT,
    ending="<eos>",
    ending_after="assistant",
    stops=("<|im_end|>", "<eos>"),
    special_tokens=("<bos>", "<eos>", *IM),
)
YI = TurnFormat(name="yi", other=TURN, generation=ASSISTANT, stops=("<|im_end|>",), special_tokens=IM)
SMOLLM2 = TurnFormat(
    name="smollm2",
    other=TURN,
    default_system="You are a helpful AI assistant named SmolLM, trained by Hugging Face",
    generation=ASSISTANT,
    stops=("<|im_end|>",),
    special_tokens=IM,
)
# The system text stands before the first turn without any token; later ones are dropped.
YI_1_5 = OpenedFormat(
    name="yi_1_5",
    roles={
        "system": Block("", ""),
        "user": Block("<|im_start|>user\n", "<|im_end|>\n" + ASSISTANT),
        "assistant": Block("", "<|im_end|>\n"),
    },
    system="first",
    stops=("<|im_end|>",),
    special_tokens=IM,
)

OLMO3_SYSTEM = (
    "You are OLMo, a helpful function-calling AI assistant built by Ai2. Your date cutoff is November 2024, and your "
    "model weights are available at https://huggingface.co/allenai."
)
NO_FUNCTIONS = " You do not currently have access to any functions. <functions></functions>"
OLMO3 = TurnFormat(
    name="olmo3",
    roles={
        "system": Block("<|im_start|>system\n", NO_FUNCTIONS + "<|im_end|>\n"),
        "user": TURN,
        "assistant": Block(ASSISTANT, "<|im_end|>\n", last="<|im_end|>"),
    },
    default_system=OLMO3_SYSTEM,
    default_unless="any",
    generation=ASSISTANT,
    stops=("<|im_end|>", "<|endoftext|>"),
    special_tokens=IM,
    keep_think=True,
    output_parser="thinking",
)
OLMO3_THINK = replace(OLMO3, name="olmo3_think", generation=ASSISTANT + "<think>")


class SmolLM3(TurnFormat):
    """SmolLM3: a system turn that says whether to think; `/think` and `/no_think` in a system text decide, too.

    With `/system_override` in it, the system text stands alone.

    The template drops a text that is given in parts; only `strict=False` follows it in that.
    """

    def join_parts(self, parts: Sequence[str]) -> str:
        """Return the text of a message that was given in parts."""
        return "".join(parts) if self.strict else ""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = conversation.turns
        system = turns[0].text if turns[0].role == "system" else ""
        mode = "/think" if conversation.option("enable_thinking", True) else "/no_think"
        if "/no_think" in system:
            mode = "/no_think"
        elif "/think" in system:
            mode = "/think"
        # A word may stand in the middle of a control string, which is whole without it.
        system = conversation.guard(system.replace("/no_think", "").replace("/think", "").rstrip())
        no_thought = "" if mode == "/think" else "<think>\n\n</think>\n"
        page.add("<|im_start|>system\n", self.system_turn(conversation, system, mode))
        for place, turn in enumerate(turns):
            if turn.role == "assistant":
                said = self.calls_as_said(conversation, turn) if turn.calls else ""
                page.add(ASSISTANT, no_thought)
                page.say(turn, turn.text.lstrip("\n"))
                page.add(said, "<|im_end|>\n")
            elif place or turn.role != "system":
                self.write_turn(conversation, page, turn, False)
        if conversation.generate:
            page.add(ASSISTANT, no_thought)

    def system_turn(self, conversation: Conversation, text: str, mode: str) -> str:
        """Return the system turn."""
        if "/system_override" in text:
            return conversation.guard(text.replace("/system_override", "").rstrip()) + "<|im_end|>\n"
        if not text:
            text = default_texts.SMOLLM3 if mode == "/think" else default_texts.SMOLLM3.partition(" Your role")[0]
        about = f"## Metadata\n\nKnowledge Cutoff Date: June 2025\nReasoning Mode: {mode}\n\n"
        return f"{about}## Custom Instructions\n\n{text}\n\n<|im_end|>\n"


SMOLLM3 = SmolLM3(
    name="smollm3",
    roles={"user": TURN, "tool": Block("<|im_start|>user\n", "<|im_end|>\n")},
    stops=("<|im_end|>",),
    special_tokens=(*IM, "<think>", "</think>"),
    variables=("enable_thinking",),
    keep_think=True,
    output_parser="hermes",
)


TOOLS_BEFORE = (
    "### Tools\n\nYou may call one or more functions to assist with the user query.\nYou are provided with function "
    "signatures within <tools></tools> XML tags:\n\n<tools>\n"
)
TOOLS_AFTER = (
    "</tools>\n\nFor each function call, return a json object with function name and arguments within "
    '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n'
    "</tool_call>\n\n<|im_end|>\n"
)


class SmolLM3Hub(SmolLM3):
    """SmolLM3 as the Hub has it: the system turn says the date, and is closed only behind tools.

    With `/system_override` in it, the system text stands alone.
    """

    def system_turn(self, conversation: Conversation, text: str, mode: str) -> str:
        """Return the system turn."""
        if "/system_override" in text:
            if conversation.tools:
                conversation.lost("tools beside /system_override")
            return conversation.guard(text.replace("/system_override", "").rstrip()) + "<|im_end|>\n"
        if not text:
            text = default_texts.SMOLLM3 if mode == "/think" else default_texts.SMOLLM3.partition(" Your role")[0]
        date = conversation.time().strftime("%d %B %Y")
        about = f"## Metadata\n\nKnowledge Cutoff Date: June 2025\nToday Date: {date}\nReasoning Mode: {mode}\n\n"
        return f"{about}## Custom Instructions\n\n{text}\n\n{self._tools(conversation)}"

    def _tools(self, conversation: Conversation) -> str:
        if not conversation.tools:
            return ""
        # As Python writes a dict, which is how the published template shows them.
        tools = "".join(f"{tool}\n" for tool in conversation.tools)
        return TOOLS_BEFORE + conversation.guard(tools) + TOOLS_AFTER


SMOLLM3_HUB = SmolLM3Hub(
    name="smollm3_hub",
    roles={"user": TURN, "tool": Block("<|im_start|>user\n", "<|im_end|>\n")},
    generation=ASSISTANT,
    stops=("<|im_end|>",),
    special_tokens=(*IM, "<tool_call>", "</tool_call>", "<think>", "</think>"),
    variables=("enable_thinking",),
    keep_think=True,
    supports_tools=True,
    output_parser="hermes",
)
