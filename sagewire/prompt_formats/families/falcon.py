"""TII's Falcon family."""

from __future__ import annotations

from sagewire.prompt_formats.engine.conversation import Conversation
from sagewire.prompt_formats.engine.turns import ALTERNATE, Block, PromptBuilder, TurnFormat
from sagewire.prompt_formats.families.chatml import ASSISTANT, IM, TURN

__all__ = [
    "FALCON3",
    "FALCON_11B",
    "FALCON_180B",
    "FALCON_CHAT_FASTCHAT",
    "FALCON_H1",
    "FALCON_INSTRUCT",
    "FALCON_VLLM",
]

STOPS = ("<|endoftext|>", "\nUser:")
WORDS = ("\nUser:", "\nAssistant:", "\nFalcon:", "\nSystem:")

FALCON_11B = TurnFormat(
    name="falcon_11b",
    roles={
        "system": Block("System: ", "\n"),
        "user": Block("User: \n", "\n"),
        "assistant": Block("Falcon:\n", "\n"),
    },
    generation="Falcon:\n",
    stops=STOPS,
    special_tokens=("<|endoftext|>",),
    words=WORDS,
)
FALCON_180B = TurnFormat(
    name="falcon_180b",
    roles={
        "system": Block("System: ", ""),
        "user": Block("User: ", ""),
        "assistant": Block("Falcon: ", ""),
    },
    separator="\n",
    generation="Falcon:",
    generate_after="not_assistant",
    stops=STOPS,
    special_tokens=("<|endoftext|>",),
    words=WORDS,
)
FALCON_VLLM = TurnFormat(
    name="falcon_vllm",
    roles={"user": Block("User: ", ""), "assistant": Block("Assistant: ", "")},
    separator="\n",
    generation="Assistant:",
    generate_after="not_assistant",
    stops=STOPS,
    special_tokens=("<|endoftext|>",),
    words=WORDS,
)
FALCON_CHAT_FASTCHAT = TurnFormat(
    name="falcon_chat_fastchat",
    roles={
        "system": Block("System: ", "\n"),
        "user": Block("User: ", "\n"),
        "assistant": Block("Falcon: ", "\n"),
    },
    system="first",
    generation="Falcon:",
    stops=STOPS,
    special_tokens=("<|endoftext|>",),
    words=WORDS,
)


class FalconInstruct(TurnFormat):
    """Falcon Instruct: the system text alone at the top, and in each message one blank line less if there is one."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = conversation.turns
        self.check_alternation(turns)
        if turns[0].role == "system":
            system, turns = turns[0], turns[1:]
            if not turns:
                conversation.lost_turn(system)
            else:
                page.add(system.text.strip())
        for turn in turns:
            turn.text = turn.text.strip().replace("\r\n", "\n").replace("\n\n", "\n")
            self.write_turn(conversation, page, turn, False)
        self.write_generation(conversation, page)


FALCON_INSTRUCT = FalconInstruct(
    name="falcon_instruct",
    roles={"user": Block("\n\nUser: ", ""), "assistant": Block("\n\nAssistant: ", "")},
    alternate=ALTERNATE,
    generation="\n\nAssistant:",
    stops=STOPS,
    special_tokens=("<|endoftext|>",),
    words=WORDS,
)


TOOLS_BEFORE = (
    "You are a Falcon assistant skilled in function calling. You are helpful, respectful, and concise.\n\n# Tools\n\n"
    "You have access to the following functions. You MUST use them to answer questions when needed. For each function "
    "call, you MUST return a JSON object inside <tool_call></tool_call> tags.\n\n<tools>"
)
TOOLS_AFTER = (
    "</tools>\n\n# Output Format\n\nYour response MUST follow this format when making function calls:\n<tool_call>\n[\n"
    '  {"name": "function_name", "arguments": {"arg1": "value1", "arg2": "value2"}},\n'
    '  {"name": "another_function", "arguments": {"arg": "value"}}\n]\n</tool_call>\n'
    "If no function calls are needed, respond normally without the tool_call tags.\n"
)


class Falcon3(TurnFormat):
    """Falcon 3: the tools in the system turn; only with them are tool calls and results written."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = conversation.turns
        system = turns[0] if turns[0].role == "system" else None
        if conversation.tools:
            page.add("<|system|>\n", "" if system is None else system.text, TOOLS_BEFORE)
            page.add(conversation.json(conversation.tools, indent=2), TOOLS_AFTER)
        elif self.says_calls and any(turn.calls for turn in turns):
            if system is not None:
                self.write_turn(conversation, page, system, False)
        else:
            super().write(conversation, page)
            return
        for place, turn in enumerate(turns):
            if turn is system:
                continue
            if turn.role == "tool":
                page.add("<|assistant|>\n<tool_response>\n", turn.text, "\n</tool_response>\n")
            elif turn.calls:
                calls = [
                    {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
                    for c in turn.calls
                ]
                page.add("<|assistant|>\n" if turn.text else "")
                page.say(turn, turn.text)
                page.add("\n<tool_call>\n", conversation.json(calls, indent=2), "\n</tool_call><|endoftext|>\n")
            else:
                self.write_turn(conversation, page, turn, place == len(turns) - 1)
        self.write_generation(conversation, page)


FALCON3 = Falcon3(
    name="falcon3",
    roles={
        "system": Block("<|system|>\n", "\n"),
        "user": Block("<|user|>\n", "\n"),
        "assistant": Block("<|assistant|>\n", "<|endoftext|>\n", last="<|endoftext|>"),
    },
    generation="<|assistant|>\n",
    stops=("<|endoftext|>",),
    special_tokens=("<|system|>", "<|user|>", "<|assistant|>", "<|endoftext|>"),
    supports_tools=True,
    output_parser="hermes",
)


FALCON_H1 = TurnFormat(
    name="falcon_h1",
    bos="<|begin_of_text|>",
    other=TURN,
    system="first",
    generation=ASSISTANT,
    stops=("<|im_end|>", "<|end_of_text|>"),
    special_tokens=("<|begin_of_text|>", "<|end_of_text|>", *IM),
)
