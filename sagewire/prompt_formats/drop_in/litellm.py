"""LiteLLM's own prompt builders, for whoever moves from there and wants the very same prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sagewire.errors import UsageError
from sagewire.prompt_formats.custom import TemplateFormat
from sagewire.prompt_formats.engine.conversation import Conversation, Turn
from sagewire.prompt_formats.engine.turns import Block, PromptBuilder, TurnFormat

__all__ = ["LITELLM_BUILDERS", "LITELLM_BUILTIN", "LITELLM_CUSTOM"]

HUMAN, AI = "\n\nHuman: ", "\n\nAssistant: "
CLAUDE_WORDS = ("\nHuman:", "\nAssistant:")


def _around(**roles: tuple[str, str]) -> dict[str, dict[str, str]]:
    return {role: {"pre_message": before, "post_message": after} for role, (before, after) in roles.items()}


class FalconInstruct(TurnFormat):
    """Each role by its own name, blank lines taken out of the text."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        for turn in conversation.turns:
            if turn.role == "system":
                page.say(turn, turn.text)
                continue
            self.check_role(turn)
            page.add(turn.role + ":")
            page.say(turn, turn.text.replace("\r\n", "\n").replace("\n\n", "\n"))
            page.add("\n\n")


class Spaced(TurnFormat):
    """The bare texts with blanks between them."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        for place, turn in enumerate(conversation.turns):
            page.add(" " if place else "")
            page.say(turn, turn.text)


class Claude(TurnFormat):
    """The prompts of the first Claude models; the answer is opened unless the last message is one."""

    admin = False

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = conversation.turns
        for place, turn in enumerate(turns):
            page.add(*self._open(turns, place))
            page.say(turn, turn.text)
            page.add("</admin>" if turn.role == "system" and self.admin else "")
        if conversation.generate and turns[-1].role != "assistant":
            page.add(AI)

    def _open(self, turns: Sequence[Turn], place: int) -> tuple[str, ...]:
        role = turns[place].role
        if role == "user":
            return (HUMAN,)
        if role == "system":
            return (HUMAN, "<admin>") if self.admin else ()
        blank = place == 0 if self.admin else place > 0 and turns[place - 1].role == "system"
        return (HUMAN, AI) if blank else (AI,)


class ClaudeAdmin(Claude):
    """Claude 1 and 2.0: a system text is written as the human's, in a tag."""

    admin = True


def _roles(system: Block | None, user: Block, assistant: Block) -> dict[str, Block]:
    roles = {"user": user, "assistant": assistant}
    return roles if system is None else {"system": system, **roles}


LITELLM_BUILDERS: dict[str, TurnFormat] = {
    "alpaca_pt": TemplateFormat(
        name="alpaca_pt",
        template={
            "roles": _around(
                system=("### Instruction:\n", "\n\n"),
                user=("### Instruction:\n", "\n\n"),
                assistant=("### Response:\n", "\n\n"),
            ),
            "bos_token": "<s>",
            "eos_token": "</s>",
        },
    ),
    "anthropic_pt": ClaudeAdmin(name="anthropic_pt", words=CLAUDE_WORDS),
    "claude_2_1_pt": Claude(name="claude_2_1_pt", words=CLAUDE_WORDS),
    "default_pt": Spaced(name="default_pt"),
    "falcon_chat_pt": TurnFormat(
        name="falcon_chat_pt",
        roles=_roles(Block("System: ", ""), Block("User: ", ""), Block("Falcon: ", "")),
        words=("System:", "User:", "Falcon:"),
    ),
    "falcon_instruct_pt": FalconInstruct(name="falcon_instruct_pt", words=("\nuser:", "\nassistant:")),
    "llama_2_chat_pt": TemplateFormat(
        name="llama_2_chat_pt",
        template={
            "roles": _around(
                system=("[INST] <<SYS>>\n", "\n<</SYS>>\n [/INST]\n"),
                user=("[INST] ", " [/INST]\n"),
                assistant=("", "\n"),
            ),
            "bos_token": "<s>",
            "eos_token": "</s>",
        },
    ),
    "mistral_instruct_pt": TemplateFormat(
        name="mistral_instruct_pt",
        template={
            "roles": _around(
                system=("[INST] \n", " [/INST]\n"), user=("[INST] ", " [/INST]\n"), assistant=(" ", "</s> ")
            ),
            "initial_prompt_value": "<s>",
        },
    ),
    "mpt_chat_pt": TurnFormat(
        name="mpt_chat_pt",
        roles=dict.fromkeys(("system", "user", "assistant"), Block("<|im_start|>{role}", "<|im_end|>\n")),
        special_tokens=("<|im_start|>", "<|im_end|>"),
    ),
    "phind_codellama_pt": TurnFormat(
        name="phind_codellama_pt",
        roles=_roles(
            Block("### System Prompt\n", "\n\n"), Block("### User Message\n", "\n\n"), Block("### Assistant\n", "\n\n")
        ),
        words=("### System Prompt", "### User Message", "### Assistant"),
    ),
    "wizardcoder_pt": TurnFormat(
        name="wizardcoder_pt",
        roles=_roles(Block("", "\n\n"), Block("### Instruction:\n", "\n\n"), Block("### Response:\n", "\n\n")),
        words=("### Instruction:", "### Response:"),
    ),
}


@dataclass(frozen=True, kw_only=True, repr=False)
class LiteLlmBuilders(TurnFormat):
    """All builders under one name: the template variable `builder` says which one writes."""

    name: str = "litellm_builtin"
    variables: tuple[str, ...] = ("builder",)

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        self._builder(conversation.options).write(conversation, page)

    def control_strings(self, template_kwargs: Mapping[str, Any]) -> tuple[str, ...]:
        """Return what neutralising looks for."""
        return self._builder(template_kwargs).control_strings({})

    def control_words(self, template_kwargs: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the role words neutralising looks for."""
        return self._builder(template_kwargs).control_words({})

    def _builder(self, options: Mapping[str, Any]) -> TurnFormat:
        found = LITELLM_BUILDERS.get(str(options.get("builder")))
        if found is None:
            raise UsageError(f"Name a builder, as in builder='llama_2_chat_pt': {', '.join(LITELLM_BUILDERS)}.")
        return found


LITELLM_BUILTIN = LiteLlmBuilders()
LITELLM_CUSTOM = TemplateFormat()
