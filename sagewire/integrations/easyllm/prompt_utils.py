"""EasyLLM's prompt builders, under its names: `build_llama2_prompt(messages)`, `llama2_stop_sequences`, ..."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sagewire.errors import UsageError
from sagewire.prompt_formats import Block, CallableFormat, PromptFormat, TurnFormat, get_format
from sagewire.types import Message, as_messages

__all__ = [
    "BASE_FORMAT",
    "PROMPT_MAPPING",
    "Builder",
    "anthropic_stop_sequences",
    "build_anthropic_prompt",
    "build_chatml_falcon_prompt",
    "build_chatml_hf_prompt",
    "build_chatml_starchat_prompt",
    "build_falcon_prompt",
    "build_llama2_prompt",
    "build_open_assistant_prompt",
    "build_stablebeluga_prompt",
    "build_vicuna_prompt",
    "build_wizardlm_prompt",
    "chatml_falcon_stop_sequences",
    "chatml_starchat_stop_sequences",
    "falcon_stop_sequences",
    "format_of",
    "llama2_stop_sequences",
    "open_assistant_stop_sequences",
    "stablebeluga_stop_sequences",
    "vicuna_stop_sequences",
    "wizardlm_stop_sequences",
]

Messages = str | Sequence[Message | Mapping[str, Any]]


class Builder:
    """One of the prompt builders: a function from messages, or one instruction, to the prompt.

    Args:
        name: The name of its format.

    Example:
        >>> build_llama2_prompt([{"role": "user", "content": "Hello"}])
        '<s>[INST] Hello [/INST]'
    """

    def __init__(self, name: str) -> None:
        self.format = get_format(name)

    def __repr__(self) -> str:
        return f"Builder({self.format.name!r})"

    def __call__(self, messages: Messages) -> str:
        """Return the prompt.

        Raises:
            UsageError: The builder has no way to write one of the messages; it is a `ValueError`, too.
        """
        if isinstance(messages, str):
            return self.format.render_completion(messages)
        return self.format.render(as_messages(messages))


build_anthropic_prompt = Builder("easyllm_anthropic")
build_chatml_falcon_prompt = Builder("easyllm_chatml_falcon")
build_chatml_starchat_prompt = Builder("easyllm_chatml_starchat")
# The general function behind both; it closes turns with <|end|> by default.
build_chatml_hf_prompt = build_chatml_starchat_prompt
build_falcon_prompt = Builder("easyllm_falcon")
build_llama2_prompt = Builder("easyllm_llama2")
build_open_assistant_prompt = Builder("easyllm_open_assistant")
build_stablebeluga_prompt = Builder("easyllm_stablebeluga")
build_vicuna_prompt = Builder("easyllm_vicuna")
build_wizardlm_prompt = Builder("easyllm_wizardlm")

PROMPT_MAPPING: dict[str, Callable[[Any], str]] = {
    "anthropic": build_anthropic_prompt,
    "chatml_falcon": build_chatml_falcon_prompt,
    "chatml_hf": build_chatml_hf_prompt,
    "chatml_starchat": build_chatml_starchat_prompt,
    "falcon": build_falcon_prompt,
    "llama2": build_llama2_prompt,
    "open_assistant": build_open_assistant_prompt,
    "stablebeluga": build_stablebeluga_prompt,
    "vicuna": build_vicuna_prompt,
    "wizardlm": build_wizardlm_prompt,
}

anthropic_stop_sequences = list(build_anthropic_prompt.format.stops)
chatml_falcon_stop_sequences = list(build_chatml_falcon_prompt.format.stops)
chatml_starchat_stop_sequences = list(build_chatml_starchat_prompt.format.stops)
falcon_stop_sequences = list(build_falcon_prompt.format.stops)
llama2_stop_sequences = list(build_llama2_prompt.format.stops)
open_assistant_stop_sequences = list(build_open_assistant_prompt.format.stops)
stablebeluga_stop_sequences = list(build_stablebeluga_prompt.format.stops)
vicuna_stop_sequences = list(build_vicuna_prompt.format.stops)
wizardlm_stop_sequences = list(build_wizardlm_prompt.format.stops)

BASE_FORMAT = TurnFormat(
    name="easyllm_base",
    roles={
        "system": Block("", ""),
        "user": Block("USER: ", "", trim=True),
        "assistant": Block("ASSISTANT: ", ""),
    },
    system="first",
    words=("USER:", "ASSISTANT:"),
)
"""EasyLLM's prompt without a builder: hardly any model was trained with it."""


def format_of(builder: str | Callable[[Any], str] | PromptFormat) -> PromptFormat:
    """Return the prompt format of a builder: one of these names, any other name of a format, or a function.

    Raises:
        UsageError: The name is unknown; the message lists close ones.
    """
    if isinstance(builder, str):
        builder = PROMPT_MAPPING.get(builder, builder)
    if isinstance(builder, Builder):
        return builder.format
    if isinstance(builder, str | PromptFormat):
        return get_format(builder)
    if callable(builder):
        # EasyLLM hands the same function a list of messages or, for completions, the text.
        function = builder
        return CallableFormat(lambda messages: function(list(messages)), function)
    raise UsageError(f"prompt_builder must be a name or a function, not {type(builder).__name__}")
