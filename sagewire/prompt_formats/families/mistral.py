"""The Mistral families, told apart by the version of their tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sagewire.errors import UsageError
from sagewire.prompt_formats.engine.conversation import Call, Conversation, Turn
from sagewire.prompt_formats.engine.turns import ALTERNATE, Block, FoldedFormat, PromptBuilder, TurnFormat
from sagewire.prompt_formats.families import default_texts

__all__ = [
    "MINISTRAL3_3B",
    "MINISTRAL3_8B",
    "MINISTRAL3_14B",
    "MINISTRAL3_REASONING",
    "MISTRAL_NEMO",
    "MISTRAL_SMALL3",
    "MISTRAL_SMALL3_2",
    "MISTRAL_V1",
    "MISTRAL_V1_LEGACY",
    "MISTRAL_V3",
    "MISTRAL_V3_EARLY",
    "MISTRAL_V7",
    "MIXTRAL",
]

INST = ("<s>", "</s>", "[INST]", "[/INST]")
TOOLS = (*INST, "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]")
V7 = (*TOOLS, "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]")
AFTER_SYSTEM = "After the optional system message, conversation roles must alternate user/assistant/user/assistant/..."
AFTER_SYSTEM_TOOLS = (
    "After the optional system message, conversation roles must alternate user and assistant roles except for tool "
    "calls and results."
)
ONLY_FIRST_SYSTEM = (
    "Only user and assistant roles are supported, with the exception of an initial optional system message!"
)
CALL_ID = "Tool call IDs should be alphanumeric strings with length 9!"

MISTRAL_V1 = FoldedFormat(
    name="mistral_v1",
    bos="<s>",
    lead=Block("", "\n\n"),
    roles={"user": Block(" [INST] ", " [/INST]"), "assistant": Block(" ", "</s>")},
    role_error=ONLY_FIRST_SYSTEM,
    alternate=AFTER_SYSTEM,
    stops=("</s>",),
    special_tokens=INST,
)
MIXTRAL = FoldedFormat(
    name="mixtral",
    bos="<s>",
    lead=Block("", "\n\n"),
    roles=MISTRAL_V1.roles,
    role_error=ONLY_FIRST_SYSTEM,
    alternate=AFTER_SYSTEM,
    stops=("</s>",),
    special_tokens=INST,
)
MISTRAL_V1_LEGACY = TurnFormat(
    name="mistral_v1_legacy",
    bos="<s>",
    roles={"user": Block("[INST] ", " [/INST]"), "assistant": Block("", "</s>")},
    system="never",
    system_error=ALTERNATE,
    role_error="Only user and assistant roles are supported!",
    alternate=ALTERNATE,
    stops=("</s>",),
    special_tokens=INST,
)


class MistralSmall3(TurnFormat):
    """Mistral Small 3: its default system text knows the date."""

    def with_default_system(self, turns: list[Turn], conversation: Conversation) -> list[Turn]:
        """Return the turns, the family's default system text before them where they have none."""
        if turns[0].role == "system":
            return turns
        date = conversation.time().strftime("%Y-%m-%d")
        return [Turn("system", default_texts.MISTRAL_SMALL_3.replace("{date}", date)), *turns]


MISTRAL_SMALL3 = MistralSmall3(
    name="mistral_small3",
    bos="<s>",
    roles={
        "system": Block("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
        "user": Block("[INST]", "[/INST]"),
        "assistant": Block("", "</s>"),
    },
    role_error="Only user, system and assistant roles are supported!",
    stops=("</s>",),
    special_tokens=V7,
)


def check_turns(turns: Sequence[Turn], message: str, loops: bool = False) -> None:
    """Refuse conversations in which user and assistant do not take turns, tool calls and results apart.

    Args:
        turns: The turns behind the system text.
        message: The template's own words.
        loops: A text right before a call belongs to it, and the user may speak right behind a result; the template
            counts the one as a turn and misses one before the other.
    """
    user = True
    for place, turn in enumerate(turns):
        following = turns[place + 1] if loops and place + 1 < len(turns) else None
        if following is not None and following.role == "user" and (turn.calls or turn.role == "tool"):
            user = True
        elif following is not None and following.calls and turn.role == "assistant":
            continue
        if turn.role != "tool" and not turn.calls:
            if (turn.role == "user") != user:
                raise UsageError(message)
            user = not user


@dataclass(frozen=True, kw_only=True, repr=False)
class MistralTools(TurnFormat):
    """Mistral with tools: the tools, and up to v3 the system text, stand at the user's last turn.

    The template drops the system text where the last message is not the user's, and the text beside tool calls.

    Args:
        space: What v3 writes between a mark and its text.
        trim_answer: Blanks around an answer are removed.
    """

    space: str = ""
    trim_answer: bool = False

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns, space = conversation.turns, self.space
        system = turns[0] if turns[0].role == "system" else None
        turns = turns[1:] if system else turns
        check_turns(turns, AFTER_SYSTEM, self.says_calls)
        last_user = _last_user(conversation, turns)
        if system is not None and system.text.strip() and (last_user < 0 or last_user != len(turns) - 1):
            conversation.lost(
                "a system message in a conversation that does not end with the user",
                "Write it into a user's message, or follow the family's template with strict=False, which drops it.",
            )
        page.add(self.bos)
        for place, turn in enumerate(turns):
            if turn.role == "user":
                if place == last_user and conversation.tools:
                    page.add(f"[AVAILABLE_TOOLS]{space}{tools_text(conversation)}[/AVAILABLE_TOOLS]")
                lead = system.text + "\n\n" if system is not None and place == len(turns) - 1 else ""
                page.add("[INST]" + space, lead)
                page.say(turn, turn.text)
                page.add("[/INST]")
            elif turn.calls:
                if turn.text.strip():
                    conversation.lost("text beside tool calls")
                page.add(f"[TOOL_CALLS]{space}[{', '.join(call_json(conversation, call) for call in turn.calls)}]</s>")
            elif turn.role == "assistant":
                page.add(space)
                page.say(turn, turn.text.strip() if self.trim_answer else turn.text)
                page.add("</s>")
            elif turn.role == "tool":
                page.add(f'[TOOL_RESULTS]{space}{{"content": {turn.text}, "call_id": "{nine(turn.call_id)}"}}')
                page.add("[/TOOL_RESULTS]")
            else:
                raise UsageError(ONLY_FIRST_SYSTEM)


def _last_user(conversation: Conversation, turns: Sequence[Turn]) -> int:
    """Return the place of the user's last turn, where the tools go; -1 without one."""
    last = max((place for place, turn in enumerate(turns) if turn.role == "user"), default=-1)
    if conversation.tools and last < 0:
        conversation.lost("tools in a conversation without a user's message")
    return last


def tools_text(conversation: Conversation) -> str:
    """Return the tools as v3 and Nemo were shown them: strings between quotes as they are, nothing escaped."""
    texts = []
    for tool in conversation.tools:
        fields = ", ".join(
            f'"{key}": "{value}"' if isinstance(value, str) else f'"{key}": {conversation.json(value)}'
            for key, value in tool["function"].items()
            if key != "return"
        )
        texts.append(f'{{"type": "function", "function": {{{fields}}}}}')
    return conversation.guard(f"[{', '.join(texts)}]")


def call_json(conversation: Conversation, call: Call, check: bool = True) -> str:
    """Return a tool call as v3 writes it, its id behind the rest."""
    call_id = nine(call.id) if check else call.id
    return f'{{"name": "{call.name}", "arguments": {conversation.json(call.arguments)}, "id": "{call_id}"}}'


def nine(call_id: str) -> str:
    """Return a call's id, which has nine characters."""
    if len(call_id) != 9:
        raise UsageError(f"{CALL_ID} (this one is {call_id!r:.60})")
    return call_id


class MistralV3Early(TurnFormat):
    """The first published template of v3: blanks around every mark, and no place for a system text."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = conversation.turns
        last_user = _last_user(conversation, turns)
        page.add("<s>")
        for place, turn in enumerate(turns):
            if turn.role == "user":
                if place == last_user and conversation.tools:
                    page.add(f" [AVAILABLE_TOOLS] {tools_text(conversation)} [/AVAILABLE_TOOLS]")
                page.add(" [INST] ")
                page.say(turn, turn.text)
                page.add(" [/INST]")
            elif turn.calls:
                if turn.text.strip():
                    conversation.lost("text beside tool calls")
                calls = ", ".join(call_json(conversation, call, check=False) for call in turn.calls)
                page.add(f" [TOOL_CALLS] [{calls}] </s>")
            elif turn.role == "assistant":
                page.add(" ")
                page.say(turn, turn.text)
                page.add(" </s>")
            elif turn.role == "tool":
                page.add(f' [TOOL_RESULTS] {{"call_id": "{turn.call_id}", "content": {turn.text}}} [/TOOL_RESULTS] ')
            else:
                conversation.lost_turn(turn)


class MistralSmall32(TurnFormat):
    """Mistral Small 3.2: a system turn, tools at the user's last turn, calls and results that carry ids."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = conversation.turns
        system = turns[0] if turns[0].role == "system" else None
        turns = turns[1:] if system else turns
        check_turns(turns, AFTER_SYSTEM, self.says_calls)
        last_user = _last_user(conversation, turns)
        date = conversation.time().strftime("%Y-%m-%d")
        default = default_texts.MISTRAL_SMALL_3_2.replace("{date}", date)
        page.add("<s>[SYSTEM_PROMPT]", default if system is None else system.text, "[/SYSTEM_PROMPT]")
        for place, turn in enumerate(turns):
            if turn.role == "user":
                if place == last_user and conversation.tools:
                    page.add(f"[AVAILABLE_TOOLS]{conversation.json(conversation.tools)}[/AVAILABLE_TOOLS]")
                page.add("[INST]")
                page.say(turn, turn.text)
                page.add("[/INST]")
            elif turn.role == "assistant":
                if turn.calls and turn.text.strip():
                    conversation.lost("text beside tool calls")
                for call in turn.calls:
                    page.add(
                        f"[TOOL_CALLS]{call.name}[CALL_ID]{nine(call.id)}[ARGS]{conversation.json(call.arguments)}"
                    )
                if not turn.calls:
                    page.say(turn, turn.text)
                page.add("</s>")
            elif turn.role == "tool":
                page.add(f"[TOOL_RESULTS]{nine(turn.call_id)}[TOOL_CONTENT]{turn.text}[/TOOL_RESULTS]")
            else:
                raise UsageError("Only system, user, assistant, and tool roles are supported!")


@dataclass(frozen=True, kw_only=True, repr=False)
class Ministral3(TurnFormat):
    """Ministral 3: tools behind the system turn, calls and results without ids.

    Args:
        first_system: The system text of a conversation that has none.
    """

    first_system: str

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = conversation.turns
        system = turns[0].text if turns[0].role == "system" else self.first_system
        turns = turns[1:] if turns[0].role == "system" else turns
        page.add("<s>[SYSTEM_PROMPT]", system, "[/SYSTEM_PROMPT]")
        if conversation.tools:
            page.add(f"[AVAILABLE_TOOLS]{conversation.json(conversation.tools)}[/AVAILABLE_TOOLS]")
        for turn in turns:
            if turn.role not in ("user", "assistant", "tool"):
                raise UsageError(f"Only user, assistant and tool roles are supported, got {turn.role}.")
        check_turns(turns, AFTER_SYSTEM_TOOLS, self.says_calls)
        for turn in turns:
            if turn.role == "user":
                page.add("[INST]")
                page.say(turn, turn.text)
                page.add("[/INST]")
            elif turn.role == "tool":
                page.add("[TOOL_RESULTS]", turn.text, "[/TOOL_RESULTS]")
            else:
                if not turn.text and not turn.calls:
                    raise UsageError(
                        "Assistant message must have a string or a list of chunks in content or a list of tool calls."
                    )
                page.say(turn, turn.text)
                page.add(
                    *(f"[TOOL_CALLS]{call.name}[ARGS]{conversation.json(call.arguments)}" for call in turn.calls),
                    "</s>",
                )


class MistralV7(TurnFormat):
    """Mistral v7: a system turn, tools at the user's last turn, calls as a JSON list."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = conversation.turns
        last_user = max((place for place, turn in enumerate(turns) if turn.role == "user"), default=-1)
        if conversation.tools and last_user < 0:
            conversation.lost("tools in a conversation without a user's message")
        page.add(self.bos)
        for place, turn in enumerate(turns):
            if place == last_user and conversation.tools:
                page.add(f"[AVAILABLE_TOOLS] {conversation.json(conversation.tools)}[/AVAILABLE_TOOLS]")
            if turn.calls:
                page.add(" " if turn.text else "")
                page.say(turn, turn.text)
                page.add(f"[TOOL_CALLS] [{', '.join(call_json(conversation, call) for call in turn.calls)}]</s>")
            elif turn.role == "tool":
                page.add(f"[TOOL_RESULTS] {nine(turn.call_id)}[TOOL_CONTENT] {turn.text}[/TOOL_RESULTS]")
            else:
                self.write_turn(conversation, page, turn, False)


_TOOLS: dict[str, Any] = {
    "bos": "<s>",
    "stops": ("</s>",),
    "supports_tools": True,
    "output_parser": "mistral",
}

MISTRAL_V3 = MistralTools(name="mistral_v3", special_tokens=TOOLS, space=" ", trim_answer=True, **_TOOLS)
MISTRAL_NEMO = MistralTools(name="mistral_nemo", special_tokens=TOOLS, **_TOOLS)
MISTRAL_V3_EARLY = MistralV3Early(name="mistral_v3_early", special_tokens=TOOLS, **_TOOLS)
MISTRAL_SMALL3_2 = MistralSmall32(name="mistral_small3_2", special_tokens=(*V7, "[CALL_ID]", "[ARGS]"), **_TOOLS)
MINISTRAL3_REASONING = Ministral3(
    name="ministral3_reasoning",
    first_system=default_texts.MINISTRAL_3_REASONING,
    special_tokens=(*V7, "[ARGS]", "[THINK]", "[/THINK]"),
    **_TOOLS,
)
MINISTRAL3_3B, MINISTRAL3_8B, MINISTRAL3_14B = (
    Ministral3(
        name=f"ministral3_{size.lower()}",
        first_system=default_texts.MINISTRAL_3.replace("{size}", size),
        special_tokens=(*V7, "[ARGS]"),
        **_TOOLS,
    )
    for size in ("3B", "8B", "14B")
)
MISTRAL_V7 = MistralV7(
    name="mistral_v7",
    roles={
        "system": Block("[SYSTEM_PROMPT] ", "[/SYSTEM_PROMPT]"),
        "user": Block("[INST] ", "[/INST]"),
        "assistant": Block(" ", "</s>"),
    },
    role_error="Only user, system and assistant roles are supported!",
    special_tokens=V7,
    **_TOOLS,
)
