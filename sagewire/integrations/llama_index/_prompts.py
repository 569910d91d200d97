"""The prompts of text models: the caller's functions, or the default of LlamaIndex's own class."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from llama_index.core.base.llms.generic_utils import messages_to_prompt as generic_messages_to_prompt
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms.llm import default_completion_to_prompt

from sagewire.integrations.llama_index._messages import as_sagewire_messages
from sagewire.prompt_formats import get_format

__all__ = ["given", "keep_given", "llama2_completion_to_prompt", "llama2_messages_to_prompt", "write_completion"]

# The Llama 2 prompt of LlamaIndex's published SageMaker class, its default system text included.
DEFAULT_FORMAT = "llama_index_llama2"

MessagesToPrompt = Callable[[Sequence[ChatMessage]], str]
CompletionToPrompt = Callable[..., str]


def llama2_messages_to_prompt(messages: Sequence[ChatMessage]) -> str:
    """Return a conversation as a Llama 2 prompt, as LlamaIndex's published SageMaker class writes it.

    Raises:
        UsageError: User and assistant do not take turns, which Llama 2's format requires.
    """
    return get_format(DEFAULT_FORMAT).render(as_sagewire_messages(messages))


def llama2_completion_to_prompt(prompt: str, system_prompt: str | None = None) -> str:
    """Return one instruction as a Llama 2 prompt, as LlamaIndex's published SageMaker class writes it."""
    return get_format(DEFAULT_FORMAT).render_completion(prompt, system_prompt)


def keep_given(data: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments so that LlamaIndex's generic functions, when passed by the caller, count as given.

    LlamaIndex fills the same functions in by default.
    """
    for name in ("messages_to_prompt", "completion_to_prompt"):
        if data.get(name) in (generic_messages_to_prompt, default_completion_to_prompt):
            data = {**data, name: functools.partial(data[name])}
    return data


def given(function: Any) -> Any:
    """Return `function`, or `None` if it is only LlamaIndex's default."""
    return None if function in (generic_messages_to_prompt, default_completion_to_prompt) else function


def write_completion(function: CompletionToPrompt, prompt: str, system_prompt: str | None) -> str:
    """Call `completion_to_prompt` as it was meant: with the system prompt as its second argument if it has one.

    The published SageMaker class passes two arguments, the rest of LlamaIndex one.
    """
    if _takes_two(function):
        return function(prompt, system_prompt)
    # A function of one argument does not take a system prompt, which then goes where LlamaIndex puts it.
    return function(f"{system_prompt}\n\n{prompt}" if system_prompt else prompt)


def _takes_two(function: CompletionToPrompt) -> bool:
    try:
        inspect.signature(function).bind("", None)
    except (TypeError, ValueError):
        return False
    return True
