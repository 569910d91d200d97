"""The Qwen families: ChatML with tool calls in `<tool_call>` tags and, later, thinking in `<think>` tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sagewire.prompt_formats.engine.conversation import Call, Conversation, Turn
from sagewire.prompt_formats.engine.tools import dump, fields_of
from sagewire.prompt_formats.engine.turns import PromptBuilder, TurnFormat
from sagewire.prompt_formats.families.chatml import ASSISTANT, IM, TURN

__all__ = [
    "QWEN1_5",
    "QWEN2",
    "QWEN2_5",
    "QWEN3",
    "QWEN3_CODER",
    "QWEN3_INSTRUCT",
    "QWEN3_THINKING",
    "QWEN3_VL",
    "QWQ",
    "QWQ_32B",
    "TaggedTools",
]

STOPS = ("<|im_end|>", "<|endoftext|>")
CALL_TAGS = ("<tool_call>", "</tool_call>")
THINK_TAGS = ("<think>", "</think>")
DEFAULT = "You are a helpful assistant."
TOOLS_BEFORE = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
)
TOOLS_AFTER = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
    '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n'
    "</tool_call>"
)

QWEN1_5 = TurnFormat(
    name="qwen1_5", other=TURN, default_system=DEFAULT, generation=ASSISTANT, stops=STOPS, special_tokens=IM
)
QWEN2 = TurnFormat(
    name="qwen2", other=TURN, default_system=DEFAULT, generation=ASSISTANT, stops=STOPS, special_tokens=IM
)


class TaggedTools(TurnFormat):
    """ChatML with the tools in the system turn and calls in `<tool_call>` tags; results stand in user turns."""

    open_turn = "<|im_start|>{role}\n"
    close_turn = "<|im_end|>\n"
    tools_before = TOOLS_BEFORE
    tools_after = TOOLS_AFTER
    system_gap = "\n\n"
    result_open = "<|im_start|>user"
    result_close = "\n</tool_response>"
    default_with_tools = True

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = conversation.turns
        first = turns[0] if turns[0].role == "system" else None
        self.write_system(conversation, page, None if first is None else first.text)
        last = len(turns) - 1
        for place, turn in enumerate(turns):
            if turn is first:
                continue
            if turn.role == "assistant":
                self.write_answer(conversation, page, turn, place)
            elif turn.role == "tool":
                after = "" if place == last else turns[place + 1].role
                self.write_result(page, turn, "" if place == 0 else turns[place - 1].role, after)
            elif turn.role in ("user", "system"):
                self.write_plain(page, turn)
            else:
                self.write_turn(conversation, page, turn, False)
        self.write_generation(conversation, page)

    def write_plain(self, page: PromptBuilder, turn: Turn) -> None:
        """Write a turn that is only text."""
        page.add(self.open_turn.replace("{role}", turn.role))
        page.say(turn, turn.text)
        page.add(self.close_turn)

    def write_system(self, conversation: Conversation, page: PromptBuilder, system: str | None) -> None:
        """Write the first system turn with the tools in it."""
        if system is None and (self.default_with_tools or not conversation.tools):
            system = self.default_system
        if conversation.tools:
            lead = "" if system is None else system + self.system_gap
            page.add(self.open_turn.replace("{role}", "system"), lead, self.tools_text(conversation), self.close_turn)
        elif system is not None:
            page.add(self.open_turn.replace("{role}", "system"), system, self.close_turn)

    def tools_text(self, conversation: Conversation) -> str:
        """Return the block that describes the tools."""
        lines = "".join("\n" + conversation.json(tool) for tool in conversation.tools)
        return self.tools_before + lines + self.tools_after

    def write_answer(self, conversation: Conversation, page: PromptBuilder, turn: Turn, place: int) -> None:
        """Write an assistant's turn."""
        page.add(self.open_turn.replace("{role}", "assistant"))
        page.say(turn, turn.text)
        if turn.calls:
            page.add("\n" if turn.text else "", self.calls_text(conversation, turn.calls))
        page.add(self.close_turn)

    def calls_text(self, conversation: Conversation, calls: tuple[Call, ...]) -> str:
        """Return the tool calls of a turn."""
        return "\n".join(
            f'<tool_call>\n{{"name": "{call.name}", "arguments": {conversation.json(call.arguments)}}}\n</tool_call>'
            for call in calls
        )

    def write_result(self, page: PromptBuilder, turn: Turn, before: str, after: str) -> None:
        """Write a tool's result; results in a row share one turn."""
        if before != "tool":
            page.add(self.result_open)
        page.add("\n<tool_response>\n", turn.text, self.result_close)
        if after != "tool":
            page.add(self.close_turn)


class Qwen3(TaggedTools):
    """Qwen 3: thinking is written back only after the user's last question."""

    def split_answer(self, text: str, last: bool) -> tuple[str | None, str]:
        """Return the thinking inside an assistant's text, and the rest."""
        # Where the prompt opens the thinking, what a server sent back holds only the closing tag.
        opened = self.generation.endswith("<think>\n") or self.opens_with("<think>", text)
        if not opened or "</think>" not in text:
            return None, text
        thinking = text.split("</think>")[0].rstrip("\n").split("<think>")[-1].lstrip("\n")
        return thinking, text.split("</think>")[-1].lstrip("\n")

    def write_answer(self, conversation: Conversation, page: PromptBuilder, turn: Turn, place: int) -> None:
        """Write an assistant's turn."""
        turns = conversation.turns
        if place > _last_question(turns) and (place == len(turns) - 1 or turn.thinking):
            thinking = (turn.thinking or "").strip("\n")
            turn.lead = f"<think>\n{thinking}\n</think>\n\n"
            turn.text = turn.text.lstrip("\n")
        page.add("<|im_start|>assistant\n", turn.lead)
        page.say(turn, turn.text)
        if turn.calls:
            page.add("\n" if turn.text else "", self.calls_text(conversation, turn.calls))
        page.add("<|im_end|>\n")

    def write_generation(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the opening of the answer, with an empty block of thoughts where thinking is switched off."""
        super().write_generation(conversation, page)
        if conversation.generate and conversation.option("enable_thinking") is False:
            page.add("<think>\n\n</think>\n\n")


class Qwen3Vl(TaggedTools):
    """Qwen 3 VL Instruct, its text: a system message stands first or not at all."""

    def write_plain(self, page: PromptBuilder, turn: Turn) -> None:
        """Write a user's turn; a later system turn is one the published template drops."""
        if turn.role == "user":
            super().write_plain(page, turn)

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        for turn in conversation.turns[1:]:
            if turn.role == "system":
                conversation.lost_turn(turn)
        super().write(conversation, page)


class Qwen3Thinking(Qwen3):
    """Qwen 3 Thinking (2507, Next, VL): every answer begins inside a block of thoughts."""


class Qwq(TaggedTools):
    """QwQ: the thinking of earlier answers is left out, and each answer opens with a block of thoughts."""

    def split_answer(self, text: str, last: bool) -> tuple[str | None, str]:
        """Return the text of an assistant, without its thinking in all but the last message."""
        return None, text if last else text.split("</think>")[-1].lstrip("\n")

    def write_system(self, conversation: Conversation, page: PromptBuilder, system: str | None) -> None:
        """Write the first system turn with the tools in it."""
        super().write_system(conversation, page, "" if system is None and conversation.tools else system)


class Qwen3Coder(TaggedTools):
    """Qwen 3 Coder: tools and calls as XML, each parameter on lines of its own."""

    tools_before = "# Tools\n\nYou have access to the following tools:\n\n<tools>"
    tools_after = (
        "\n</tools>\n\nIf you choose to call a tool ONLY reply in the following format with NO suffix:\n\n"
        "<tool_call>\n<function=example_function_name>\n<parameter=example_parameter_1>\nvalue_1\n</parameter>\n"
        "<parameter=example_parameter_2>\nvalue_2\n</parameter>\n</function>\n</tool_call>\n\n"
        "<IMPORTANT>\nReminder:\n- Function calls MUST follow the specified format: the tool calling block MUST begin "
        "with an opening <tool_call> tag and end with a closing </tool_call> tag.\n"
        "- Required parameters MUST be specified\n"
        "- You may provide optional reasoning for your function call in natural language BEFORE the function call, but "
        "NOT after\n- If there is no function call available, answer the question like normal with your current "
        "knowledge and do not tell the user about function calls\n</IMPORTANT>"
    )
    result_close = "\n</tool_response>"

    def write_system(self, conversation: Conversation, page: PromptBuilder, system: str | None) -> None:
        """Write the system turn; the default text is only for conversations with tools."""
        if system is None and not conversation.tools:
            return
        super().write_system(conversation, page, system)

    def tools_text(self, conversation: Conversation) -> str:
        """Return the tools as XML."""
        tools = "".join(_xml_tool(tool["function"]) for tool in conversation.tools)
        return self.tools_before + conversation.guard(tools) + self.tools_after

    def write_answer(self, conversation: Conversation, page: PromptBuilder, turn: Turn, place: int) -> None:
        """Write an assistant's turn."""
        page.add("<|im_start|>assistant\n")
        page.say(turn, turn.text.strip() if turn.calls else turn.text)
        if turn.calls:
            page.add("\n\n" if turn.text.strip() else "", self.calls_text(conversation, turn.calls))
        page.add("<|im_end|>\n")

    def calls_text(self, conversation: Conversation, calls: tuple[Call, ...]) -> str:
        """Return the tool calls of a turn."""
        return "\n".join(
            f"<tool_call>\n<function={conversation.tag(call.name)}\n{self._parameters(conversation, call)}"
            "</function>\n</tool_call>"
            for call in calls
        )

    def _parameters(self, conversation: Conversation, call: Call) -> str:
        return "".join(
            f"<parameter={conversation.tag(name)}\n"
            f"{conversation.json(value) if isinstance(value, dict | list) else conversation.guard(str(value))}"
            "\n</parameter>\n"
            for name, value in call.fields().items()
        )

    def write_result(self, page: PromptBuilder, turn: Turn, before: str, after: str) -> None:
        """Write a tool's result; results in a row share one turn."""
        if before != "tool":
            page.add("<|im_start|>user\n")
        page.add("<tool_response>\n", turn.text, "\n</tool_response>\n")
        if after != "tool":
            page.add("<|im_end|>\n")


def _xml_tool(function: dict[str, Any]) -> str:
    text = f"\n<function>\n<name>{function['name']}</name>"
    if "description" in function:
        text += f"\n<description>{str(function['description']).strip()}</description>"
    parameters = function.get("parameters") or {}
    text += "\n<parameters>"
    for name, spec in fields_of(function)[0].items():
        text += f"\n<parameter>\n<name>{name}</name>{_xml_fields(spec)}\n</parameter>"
    text += _xml_fields({key: value for key, value in parameters.items() if key not in ("type", "properties")})
    rest = {k: v for k, v in function.items() if k not in ("type", "name", "description", "parameters")}
    return text + f"\n</parameters>{_xml_fields(rest)}\n</function>"


def _xml_fields(fields: Mapping[str, Any]) -> str:
    """Return a schema's fields as XML, type and description first."""
    first = [key for key in ("type", "description") if key in fields]
    text = ""
    for key in [*first, *(key for key in fields if key not in first)]:
        value = fields[key]
        if key == "description":
            value = str(value).strip()
        # Objects and lists as JSON, types and the rest as Python writes them: the published template does it so.
        shown = dump(value) if isinstance(value, dict | list) and key != "type" else str(value)
        text += f"\n<{key}>{shown}</{key}>"
    return text


def _last_question(turns: list[Turn]) -> int:
    """Return the place of the user's last turn that is not a tool's result in disguise."""
    for place in range(len(turns) - 1, -1, -1):
        turn = turns[place]
        if turn.role == "user" and not (
            turn.text.startswith("<tool_response>") and turn.text.endswith("</tool_response>")
        ):
            return place
    return len(turns) - 1


_QWEN: dict[str, Any] = {"generation": ASSISTANT, "stops": STOPS, "supports_tools": True, "output_parser": "hermes"}

QWEN2_5 = TaggedTools(
    name="qwen2_5",
    default_system="You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
    special_tokens=(*IM, *CALL_TAGS),
    **_QWEN,
)
QWEN3 = Qwen3(
    name="qwen3",
    special_tokens=(*IM, *CALL_TAGS, *THINK_TAGS),
    variables=("enable_thinking",),
    keep_think=True,
    **_QWEN,
)
QWQ = Qwq(
    name="qwq",
    special_tokens=(*IM, *CALL_TAGS, *THINK_TAGS),
    keep_think=True,
    **{**_QWEN, "generation": ASSISTANT + "<think>\n</think>"},
)
QWEN3_CODER = Qwen3Coder(
    name="qwen3_coder",
    other=TURN,
    default_system="You are Qwen, a helpful AI assistant that can interact with a computer to solve tasks.",
    special_tokens=(*IM, *CALL_TAGS),
    **{**_QWEN, "output_parser": "qwen3_coder"},
)
_TAGGED: dict[str, Any] = {**_QWEN, "special_tokens": (*IM, *CALL_TAGS, *THINK_TAGS)}
QWEN3_INSTRUCT = TaggedTools(name="qwen3_instruct", **_TAGGED)
QWEN3_VL = Qwen3Vl(name="qwen3_vl", **_TAGGED)
QWEN3_THINKING = Qwen3Thinking(
    name="qwen3_thinking", keep_think=True, **{**_TAGGED, "generation": ASSISTANT + "<think>\n"}
)
# The published template opens a block of thoughts that is left open.
QWQ_32B = replace(QWQ, name="qwq_32b", generation=ASSISTANT + "<think>\n")
