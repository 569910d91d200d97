"""OLMo 3: Instruct, which knows tools, and the larger Think."""

from __future__ import annotations

from sagewire.prompt_formats.engine.conversation import Call, Conversation, Turn
from sagewire.prompt_formats.engine.turns import PromptBuilder, TurnFormat
from sagewire.prompt_formats.families.chatml import ASSISTANT, IM, OLMO3_THINK, TURN

__all__ = ["OLMO3_32B_THINK", "OLMO3_INSTRUCT"]

# What the system text of a conversation without one begins with.
INTRODUCTION = "You are a helpful function-calling AI assistant. "
NO_FUNCTIONS = "You do not currently have access to any functions. <functions></functions>"
FUNCTIONS = (
    "You are provided with function signatures within <functions></functions> XML tags. You may call one or more "
    "functions to assist with the user query. Output any function calls within <function_calls></function_calls> XML "
    "tags. Do not make assumptions about what values to plug into functions."
)


class Olmo3Instruct(TurnFormat):
    """OLMo 3 Instruct: tools in every system turn, calls as Python, results from the `environment`."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        tools = f"<functions>{conversation.json(conversation.tools)}</functions>" if conversation.tools else ""
        if not any(turn.role == "system" for turn in conversation.turns):
            offered = FUNCTIONS + tools if tools else NO_FUNCTIONS
            page.add("<|im_start|>system\n", INTRODUCTION, offered, "<|im_end|>\n")
        for place, turn in enumerate(conversation.turns):
            if turn.role == "assistant":
                self._write_answer(conversation, page, turn, place == len(conversation.turns) - 1)
            elif turn.role in ("tool", "environment"):
                page.add("<|im_start|>environment\n", turn.text, "<|im_end|>\n")
            elif turn.role == "system":
                page.add("<|im_start|>system\n")
                page.say(turn, turn.text)
                page.add(tools, "<|im_end|>\n")
            elif turn.role == "user":
                self.write_turn(conversation, page, turn, False)
            else:
                conversation.lost_turn(turn)
        self.write_generation(conversation, page)

    def _write_answer(self, conversation: Conversation, page: PromptBuilder, turn: Turn, last: bool) -> None:
        page.add(ASSISTANT)
        page.say(turn, turn.text)
        if turn.calls:
            calls = "\n".join(_call(conversation, call) for call in turn.calls)
            page.add(f"<function_calls>{calls}</function_calls>")
        page.add("<|im_end|>" if last else "<|im_end|>\n")


def _call(conversation: Conversation, call: Call) -> str:
    fields = (f"{conversation.guard(name)}={conversation.json(value)}" for name, value in call.fields().items())
    return f"{call.name}({', '.join(fields)})"


class Olmo3Think32(TurnFormat):
    """OLMo 3 Think 32B: only a system text that is given says that there are no functions."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        if not any(turn.role == "system" for turn in conversation.turns):
            page.add("<|im_start|>system\nYou are a helpful AI assistant.<|im_end|>\n")
        super().write(conversation, page)


OLMO3_32B_THINK = Olmo3Think32(
    name="olmo3_32b_think",
    roles=OLMO3_THINK.roles,
    generation=OLMO3_THINK.generation,
    stops=OLMO3_THINK.stops,
    special_tokens=IM,
    keep_think=True,
    output_parser="thinking",
)
OLMO3_INSTRUCT = Olmo3Instruct(
    name="olmo3_instruct",
    other=TURN,
    generation=ASSISTANT,
    stops=("<|im_end|>", "<|endoftext|>"),
    special_tokens=(*IM, "<functions>", "</functions>", "<function_calls>", "</function_calls>"),
    supports_tools=True,
    output_parser="olmo3",
)
