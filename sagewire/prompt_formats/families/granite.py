"""IBM's Granite families."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sagewire.prompt_formats.engine.conversation import Conversation
from sagewire.prompt_formats.engine.turns import Block, PromptBuilder, TurnFormat
from sagewire.prompt_formats.families.qwen import TaggedTools

__all__ = ["GRANITE_3_0", "GRANITE_3_1", "GRANITE_3_2", "GRANITE_3_3", "GRANITE_4", "GRANITE_4_1", "GRANITE_VLLM_TOOLS"]

ROLES = ("<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>", "<|tool_call|>")
TURN = Block("<|start_of_role|>{role}<|end_of_role|>", "<|end_of_text|>\n")
ASSISTANT = "<|start_of_role|>assistant<|end_of_role|>"
ABOUT = "Knowledge Cutoff Date: April 2024. Today's Date: {date}. You are Granite, developed by IBM."
WITH_TOOLS = (
    " You are a helpful assistant with access to the following tools. When a tool is required to answer the user's "
    "query, respond only with <|tool_call|> followed by a JSON list of tools used. If a tool does not exist in the "
    "provided list of tools, notify the user that you do not have the ability to fulfill the request."
)
WITHOUT_TOOLS = " You are a helpful AI assistant."
THOUGHTS = (
    "\nRespond to every user query in a comprehensive and detailed way. You can write down your thoughts and reasoning "
    "process before responding. In the thought process, engage in a comprehensive cycle of analysis, summarization, "
    "exploration, reassessment, reflection, backtracing, and iteration to develop well-considered thinking process. In "
    "the response section, based on various attempts, explorations, and reflections from the thoughts section, "
    "systematically present the final solution that you deem correct. The response should summarize the thought "
    "process."
)
WRITE_3_3 = (
    " Write your thoughts between <think></think> and write your response between <response></response> for each user "
    "query."
)
WRITE_3_2 = (
    " Write your thoughts after 'Here is my thought process:' and write your response after 'Here is my response:' for "
    "each user query."
)


class Granite33(TurnFormat):
    """Granite 3.3: tools in their own turn behind the system text, which says the date."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = conversation.turns
        system = turns[0] if turns[0].role == "system" else None
        turns = turns[1:] if system else turns
        text = self._default(conversation) if system is None else system.text
        page.add("<|start_of_role|>system<|end_of_role|>", text, "<|end_of_text|>\n")
        if conversation.tools:
            tools = conversation.json(conversation.tools, indent=4)
            page.add("<|start_of_role|>available_tools<|end_of_role|>", tools, "<|end_of_text|>\n")
        for turn in turns:
            self.write_turn(conversation, page, turn, False)
        # The template opens the answer inside its loop over the other messages.
        if turns:
            self.write_generation(conversation, page)

    def _default(self, conversation: Conversation) -> str:
        date = conversation.date_string or conversation.time().strftime("%B %d, %Y")
        about = ABOUT.replace("{date}", conversation.guard(date))
        if conversation.tools:
            return about + WITH_TOOLS
        return about + WITHOUT_TOOLS + (THOUGHTS + WRITE_3_3 if conversation.option("thinking") else "")


class Granite30(TurnFormat):
    """Granite 3.0: tools in the first turn of all. The published template drops tool calls, vLLM's writes them."""

    calls = False

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        if conversation.tools:
            tools = "\n\n".join(conversation.json(tool, indent=4) for tool in conversation.tools)
            page.add("<|start_of_role|>available_tools<|end_of_role|>\n", tools, "<|end_of_text|>\n")
        for turn in conversation.turns:
            if turn.role == "tool" and self.says_calls:
                # The published template has only this name for a result.
                turn.role = "tool_response"
            if not (turn.calls and self.calls):
                self.write_turn(conversation, page, turn, False)
                continue
            if turn.text.strip():
                conversation.lost("text beside tool calls")
            calls = [{"name": call.name, "arguments": call.arguments} for call in turn.calls]
            page.add(ASSISTANT, "<|tool_call|>", conversation.json(calls, indent=4), "<|end_of_text|>\n")
        self.write_generation(conversation, page)


class GraniteVllm(Granite30):
    """vLLM's template for Granite 3.0 with tool calls."""

    calls = True


class Granite4(TaggedTools):
    """Granite 4: the tools in the system turn and calls in `<tool_call>` tags."""

    open_turn = "<|start_of_role|>{role}<|end_of_role|>"
    close_turn = "<|end_of_text|>\n"
    tools_before = (
        "You are a helpful assistant with access to the following tools. You may call one or more tools to assist with "
        "the user query.\n\nYou are provided with function signatures within <tools></tools> XML tags:\n<tools>"
    )
    tools_after = (
        "\n</tools>\n\nFor each tool call, return a json object with function name and arguments within "
        '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n'
        "</tool_call>. If a tool does not exist in the provided list of tools, notify the user that you do not have "
        "the ability to fulfill the request."
    )
    result_open = "<|start_of_role|>user<|end_of_role|>"
    default_with_tools = False

    def join_parts(self, parts: Sequence[str]) -> str:
        """Return the text of a message that was given in parts."""
        return "\n".join(parts)

    def write_system(self, conversation: Conversation, page: PromptBuilder, system: str | None) -> None:
        """Write the system turn; the default one if its text is empty and there are no tools."""
        if conversation.tools and system == "":
            page.add(self.open_turn.replace("{role}", "system"), self.system_gap, self.tools_text(conversation))
            page.add(self.close_turn)
        else:
            super().write_system(conversation, page, system or None)


_GRANITE: dict[str, Any] = {
    "generation": ASSISTANT,
    "stops": ("<|end_of_text|>",),
    "supports_tools": True,
}

GRANITE_3_3 = Granite33(
    name="granite_3_3",
    other=TURN,
    special_tokens=ROLES,
    variables=("thinking",),
    output_parser="granite",
    **_GRANITE,
)
GRANITE_3_0 = Granite30(
    name="granite_3_0",
    roles=dict.fromkeys(("system", "user", "assistant", "tool_response"), TURN),
    special_tokens=ROLES,
    output_parser="granite",
    **_GRANITE,
)
GRANITE_VLLM_TOOLS = GraniteVllm(
    name="granite_vllm_tools",
    roles={
        **dict.fromkeys(("system", "user", "assistant", "tool_response"), TURN),
        "tool": Block("<|start_of_role|>tool_response<|end_of_role|>", "<|end_of_text|>\n"),
    },
    special_tokens=ROLES,
    output_parser="granite",
    **_GRANITE,
)
GRANITE_4 = Granite4(
    name="granite_4",
    special_tokens=(*ROLES, "<tool_call>", "</tool_call>"),
    default_system="You are a helpful assistant. Please ensure responses are professional, accurate, and safe.",
    output_parser="hermes",
    **_GRANITE,
)


ABOUT_3_1 = "Knowledge Cutoff Date: April 2024.\nToday's Date: {date}.\nYou are Granite, developed by IBM."
WITH_TOOLS_3_1 = (
    " You are a helpful AI assistant with access to the following tools. When a tool is required to answer the user's "
    "query, respond with <|tool_call|> followed by a JSON list of tools used. If a tool does not exist in the provided "
    "list of tools, notify the user that you do not have the ability to fulfill the request."
)


@dataclass(frozen=True, kw_only=True, repr=False)
class Granite31(TurnFormat):
    """Granite 3.1 and 3.2: tools in their own turn behind the system text, which says the date."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = conversation.turns
        system = turns[0].text if turns[0].role == "system" else None
        turns = turns[1:] if turns[0].role == "system" else turns
        system = self._default(conversation) if system is None else system
        page.add("<|start_of_role|>system<|end_of_role|>", system, "<|end_of_text|>\n")
        if conversation.tools:
            tools = conversation.json(conversation.tools, indent=4)
            page.add("<|start_of_role|>tools<|end_of_role|>", tools, "<|end_of_text|>\n")
        for turn in turns:
            self.write_turn(conversation, page, turn, False)
        # The template opens the answer inside its loop over the other messages.
        if turns:
            self.write_generation(conversation, page)

    def _default(self, conversation: Conversation) -> str:
        date = conversation.date_string or conversation.time().strftime("%B %d, %Y")
        about = ABOUT_3_1.replace("{date}", conversation.guard(date))
        if conversation.tools:
            return about + WITH_TOOLS_3_1
        return (
            about
            + " You are a helpful AI assistant."
            + (THOUGHTS + WRITE_3_2 if conversation.option("thinking") else "")
        )


_GRANITE_3: dict[str, Any] = {
    "other": TURN,
    "generation": "<|start_of_role|>assistant<|end_of_role|>",
    "stops": ("<|end_of_text|>",),
    "special_tokens": ROLES,
    "supports_tools": True,
    "output_parser": "granite",
}
GRANITE_3_1 = Granite31(name="granite_3_1", **_GRANITE_3)
GRANITE_3_2 = Granite31(name="granite_3_2", variables=("thinking",), **_GRANITE_3)
# As Granite 4, without a system text of its own.
GRANITE_4_1 = Granite4(
    name="granite_4_1",
    generation=GRANITE_4.generation,
    stops=GRANITE_4.stops,
    special_tokens=GRANITE_4.special_tokens,
    supports_tools=True,
    output_parser="hermes",
)
