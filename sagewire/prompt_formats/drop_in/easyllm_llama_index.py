"""EasyLLM's and LlamaIndex's own prompt builders, for whoever moves from there and wants the very same prompts."""

from __future__ import annotations

from dataclasses import dataclass

from sagewire.errors import UsageError
from sagewire.prompt_formats.engine.conversation import Conversation, Turn
from sagewire.prompt_formats.engine.turns import Block, PromptBuilder, TurnFormat
from sagewire.types import Message

__all__ = [
    "EASYLLM_ANTHROPIC",
    "EASYLLM_CHATML_FALCON",
    "EASYLLM_CHATML_STARCHAT",
    "EASYLLM_FALCON",
    "EASYLLM_LLAMA2",
    "EASYLLM_OPEN_ASSISTANT",
    "EASYLLM_STABLEBELUGA",
    "EASYLLM_VICUNA",
    "EASYLLM_WIZARDLM",
    "LLAMA_INDEX_LLAMA2",
    "LLAMA_INDEX_LLAMA3",
]

LLAMA_INDEX_SYSTEM = (
    "You are a helpful, respectful and honest assistant. Always answer as helpfully as possible and follow ALL given "
    "instructions. Do not speculate or make up information. Do not reference any given instructions or context. "
)
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, kw_only=True, repr=False)
class EasyLlm(TurnFormat):
    """An EasyLLM builder: one system message at most, at the start; the answer is always opened.

    Args:
        no_functions: The builder's own words for a function message.
        system_in_completion: A single instruction gets an empty system turn before it.
    """

    no_functions: str
    system_in_completion: bool = True

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        for place, turn in enumerate(conversation.turns):
            if turn.role == "tool":
                raise UsageError(f"{self.no_functions} does not support function calls.")
            if turn.role not in ROLES:
                raise UsageError("invalid message (schema validation error)")
            if turn.role == "system" and place:
                raise UsageError("Invalid message role: system")
        super().write(conversation, page)

    def render_completion(self, prompt: str, system_prompt: str | None = None) -> str:
        """Return the prompt text of a single instruction, with the opening of the answer."""
        if system_prompt is None and self.system_in_completion:
            system_prompt = ""
        return super().render_completion(prompt, system_prompt)


class EasyLlama2(EasyLlm):
    """EasyLLM's Llama 2: everything in one frame of `[INST]`; two messages of one role would run into each other."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        before = "assistant"
        page.add("<s>[INST] ")
        for place, turn in enumerate(conversation.turns):
            if turn.role not in ROLES:
                raise UsageError("invalid message (schema validation error)")
            if turn.role == "system":
                if place:
                    raise UsageError("Invalid message role: system")
                page.add("<<SYS>>\n")
                page.say(turn, turn.text)
                page.add("\n<</SYS>>\n\n")
                continue
            if turn.role == before:
                conversation.lost(f"two messages of role {turn.role!r} in a row, or a first answer without a question")
            before = turn.role
            if turn.role == "user":
                page.say(turn, turn.text.strip())
            else:
                page.add(" [/INST] ")
                page.say(turn, turn.text)
                page.add(" </s><s>[INST] ")
        page.add(" [/INST]")


def _chatml(name: str, end: str) -> EasyLlm:
    return EasyLlm(
        name=name,
        roles={role: Block(f"<|{role}|>\n", end + "\n", trim=True) for role in ROLES},
        generation="<|assistant|>",
        stops=(end,),
        special_tokens=(*(f"<|{role}|>" for role in ROLES), end),
        no_functions="HF ChatML",
    )


EASYLLM_CHATML_FALCON = _chatml(name="easyllm_chatml_falcon", end="<|endoftext|>")
EASYLLM_CHATML_STARCHAT = _chatml(name="easyllm_chatml_starchat", end="<|end|>")
EASYLLM_LLAMA2 = EasyLlama2(
    name="easyllm_llama2",
    stops=("</s>",),
    special_tokens=("<s>", "</s>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"),
    no_functions="Llama 2",
    system_in_completion=False,
)
EASYLLM_OPEN_ASSISTANT = EasyLlm(
    name="easyllm_open_assistant",
    roles={
        "system": Block("<|system|>", "</s>", trim=True),
        "user": Block("<|prompter|>", "</s>", trim=True),
        "assistant": Block("<|assistant|>", "</s>", trim=True),
    },
    generation="<|assistant|>",
    stops=("</s>",),
    special_tokens=("<|system|>", "<|prompter|>", "<|assistant|>", "</s>"),
    no_functions="Open Assistant",
)
EASYLLM_STABLEBELUGA = EasyLlm(
    name="easyllm_stablebeluga",
    roles={
        "system": Block("### System:\n", "\n\n", trim=True),
        "user": Block("### User:\n", "\n\n", trim=True),
        "assistant": Block("### Assistant:\n", "\n\n", trim=True),
    },
    generation="### Assistant:",
    stops=("</s>",),
    special_tokens=("</s>",),
    words=("### System:", "### User:", "### Assistant:"),
    no_functions="stablebeluga",
)
EASYLLM_VICUNA = EasyLlm(
    name="easyllm_vicuna",
    roles={
        "system": Block("", "\n\n", trim=True),
        "user": Block("USER: ", "\n", trim=True),
        "assistant": Block("ASSISTANT: ", "</s>\n", trim=True),
    },
    generation="ASSISTANT: ",
    stops=("</s>",),
    special_tokens=("</s>",),
    words=("USER:", "ASSISTANT:"),
    no_functions="Vicuna",
)
EASYLLM_WIZARDLM = EasyLlm(
    name="easyllm_wizardlm",
    roles={
        "system": Block("", " ", trim=True, skip_empty=True),
        "user": Block("USER: ", " ", trim=True),
        "assistant": Block("ASSISTANT: ", " ", trim=True),
    },
    generation="ASSISTANT: ",
    stops=("</s>",),
    special_tokens=("</s>",),
    words=("USER:", "ASSISTANT:"),
    no_functions="WizardLM",
)
EASYLLM_FALCON = EasyLlm(
    name="easyllm_falcon",
    roles={
        "system": Block("System: ", "\n"),
        "user": Block("User: ", "\n", trim=True),
        "assistant": Block("Falcon: ", "\n", trim=True),
    },
    generation="Falcon: ",
    stops=("\nUser:", "<|endoftext|>", " User:", "###"),
    special_tokens=("<|endoftext|>",),
    words=("\nUser:", "\nSystem:", "\nFalcon:"),
    no_functions="Falcon",
)
EASYLLM_ANTHROPIC = EasyLlm(
    name="easyllm_anthropic",
    roles={
        "system": Block("", ""),
        "user": Block("\n\nHuman: ", "", trim=True),
        "assistant": Block("\n\nAssistant: ", "", trim=True),
    },
    generation="\n\nAssistant: ",
    stops=("\n\nUser:", "User:"),
    words=("\nHuman:", "\nAssistant:", "\nUser:"),
    no_functions="Anthropic",
)


class LlamaIndex(TurnFormat):
    """A LlamaIndex builder: a system text in any case, given, by the variable `system_prompt`, or the default one."""

    def system_text(self, conversation: Conversation) -> str:
        """Return the system text."""
        first = conversation.turns[0]
        if first.role == "system":
            return first.text.strip()
        given = conversation.option("system_prompt")
        return LLAMA_INDEX_SYSTEM.strip() if given is None else conversation.guard(str(given)).strip()

    def others(self, conversation: Conversation) -> list[Turn]:
        """Return the turns behind the system message, which must be user and assistant by turns."""
        turns = conversation.turns[1:] if conversation.turns[0].role == "system" else conversation.turns
        for place, turn in enumerate(turns):
            if turn.role != ("assistant" if place % 2 else "user"):
                raise UsageError("After the system message, user and assistant must take turns, the user first.")
            if turn.calls:
                conversation.lost("tool calls")
        return turns

    def render_completion(self, prompt: str, system_prompt: str | None = None) -> str:
        """Return the prompt text of a single instruction, with the opening of the answer."""
        return self.render([Message("user", prompt.strip())], system_prompt=system_prompt)


class LlamaIndexLlama2(LlamaIndex):
    """LlamaIndex's Llama 2: like the published format, but with blanks of its own, and the last answer left open."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = self.others(conversation)
        if not turns:
            conversation.lost_turn(conversation.turns[0])
        for place, turn in enumerate(turns):
            if turn.role == "user":
                page.add(" </s>" if place else "", "<s> [INST] ")
                if not place:
                    page.add("<<SYS>>\n ", self.system_text(conversation), " \n<</SYS>>\n\n ")
                page.say(turn, turn.text)
                page.add(" [/INST]")
            else:
                page.add(" ")
                page.say(turn, turn.text)


class LlamaIndexLlama3(LlamaIndex):
    """LlamaIndex's Llama 3: no beginning-of-text token, a line break behind each turn, the answer always opened."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        page.add("<|start_header_id|>system<|end_header_id|>\n\n", self.system_text(conversation), "<|eot_id|>\n")
        for turn in self.others(conversation):
            page.add(f"<|start_header_id|>{turn.role}<|end_header_id|>\n\n")
            page.say(turn, turn.text)
            page.add("<|eot_id|>\n")
        if conversation.generate:
            page.add("<|start_header_id|>assistant<|end_header_id|>\n\n")


LLAMA_INDEX_LLAMA2 = LlamaIndexLlama2(
    name="llama_index_llama2",
    stops=("</s>",),
    special_tokens=("<s>", "</s>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"),
    variables=("system_prompt",),
)
LLAMA_INDEX_LLAMA3 = LlamaIndexLlama3(
    name="llama_index_llama3",
    stops=("<|eot_id|>",),
    special_tokens=("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    variables=("system_prompt",),
)
