"""What a prompt format is: how one model family writes a conversation, and how to read its answer back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sagewire.streaming.base import Decoder
from sagewire.types import Delta, Message, Tool

__all__ = ["ADDED_BOS", "PromptFormat", "without_bos"]

# Parsers of families whose thinking is marked with control tokens, too, and of those that mark nothing with one.
_TOKENS_ALWAYS = frozenset(
    ("apertus", "command_r", "gemma4", "gpt_oss", "hy3", "kimi_k3", "mistral", "muse", "seed_oss", "solar_open")
)
_TEXT_MARKS = frozenset(("glm4", "plain", "thinking", "xlam"))

# What the tokenizers of Llama 1 to 4, Mistral, Gemma, Command R, DeepSeek and Jamba put before a text (`add_bos_token`,
# or the template of their post-processor). GPT-NeoX's (OLMo), tiktoken's (Phi-3 small) and GLM's add nothing.
ADDED_BOS = ("<s>", "<|begin_of_text|>", "<bos>", "<｜begin▁of▁sentence｜>", "<BOS_TOKEN>", "<|startoftext|>")


def without_bos(prompt: str, tokens: Sequence[str] = ADDED_BOS) -> str:
    """Return a prompt without the beginning-of-text token that the server's tokenizer puts before it again.

    Args:
        prompt: A prompt that a format or a function wrote; text of a user's own is sent as it is.
        tokens: The tokens that a tokenizer adds, see `PromptFormat.tokenizer_bos`.
    """
    return prompt.removeprefix(next((token for token in tokens if prompt.startswith(token)), ""))


class PromptFormat(ABC):
    """One model family's way of writing.

    Attributes:
        name: The format's key in `FORMATS`.
        stops: Strings on which generation should stop.
        special_tokens: The family's control strings, neutralised where they appear in anyone's text.
        tokenizer_bos: Beginning-of-text tokens that the family's tokenizer puts before every text by itself. A prompt
            that begins with one is sent without it if the server's tokenizer adds it again.
        output_parser: How the family writes tool calls and thinking; a key of `OUTPUT_PARSERS`.
    """

    name: str = "custom"
    stops: tuple[str, ...] = ()
    special_tokens: tuple[str, ...] = ()
    tokenizer_bos: tuple[str, ...] = ADDED_BOS
    output_parser: str = "plain"

    def __repr__(self) -> str:
        return f"<prompt format {self.name!r}>"

    @property
    def may_think(self) -> bool:
        """Whether models of the family may write reasoning before their answer, as far as the format shows."""
        words = (*self.special_tokens, *getattr(self, "variables", ()), self.output_parser)
        return any(sign in word.lower() for word in words for sign in _SIGNS_OF_THINKING)

    @abstractmethod
    def render(
        self,
        messages: Sequence[Message | Mapping[str, Any]],
        tools: Sequence[Tool] | None = None,
        *,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        now: datetime | None = None,
        date_string: str | None = None,
        **template_kwargs: Any,
    ) -> str:
        """Return the prompt text of a conversation.

        Args:
            messages: The turns so far, oldest first.
            tools: Functions on offer.
            add_generation_prompt: Write the opening of the assistant's turn behind them.
            continue_final_message: Leave the last turn open, for the model to go on with it.
            now: The moment that formats with a date write; else the present.
            date_string: The date as the format should write it, instead.
            **template_kwargs: Variables that the family's own template knows.
        """

    @abstractmethod
    def render_completion(self, prompt: str, system_prompt: str | None = None) -> str:
        """Return the prompt text of a single instruction.

        Args:
            prompt: The instruction.
            system_prompt: A system text before it.
        """

    @abstractmethod
    def make_parser(self, tools: Sequence[Tool] | None = None, *, prompt: str = "") -> Decoder[str, Delta]:
        """Return a fresh decoder from raw model text to text, thinking and tool-call deltas.

        Args:
            tools: The tools that were offered; formats without types in their calls need the schemas.
            prompt: The rendered prompt, which may have opened a thinking block that the answer closes.
        """

    def keeping_calls(self) -> PromptFormat | None:
        """Return the format that keeps tool calls of earlier turns which the family's own template drops, if any."""
        return None

    def needs_special_tokens(self, tools: Sequence[Tool] = ()) -> bool:
        """Return whether the answer has to be read with its control tokens, which servers leave out by default.

        Args:
            tools: The tools that were offered.
        """
        return self.output_parser in _TOKENS_ALWAYS or (bool(tools) and self.output_parser not in _TEXT_MARKS)


_SIGNS_OF_THINKING = ("think", "thought", "channel", "reason")
