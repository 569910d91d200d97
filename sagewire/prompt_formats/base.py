"""What a prompt format is: how one model family writes a conversation, and how to read its answer back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sagewire.streaming.base import Decoder
from sagewire.types import Delta, Message, Tool

__all__ = ["PromptFormat"]


class PromptFormat(ABC):
    """One model family's way of writing.

    Attributes:
        name: The format's key in `FORMATS`.
        stops: Strings on which generation should stop.
        special_tokens: The family's control strings, neutralised where they appear in anyone's text.
    """

    name: str = "custom"
    stops: tuple[str, ...] = ()
    special_tokens: tuple[str, ...] = ()

    @abstractmethod
    def render(
        self,
        messages: Sequence[Message],
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
    def reader(self, tools: Sequence[Tool] | None = None, *, prompt: str = "") -> Decoder[str, Delta]:
        """Return a fresh decoder from raw model text to text, thinking and tool-call deltas.

        Args:
            tools: The tools that were offered; formats without types in their calls need the schemas.
            prompt: The rendered prompt, which may have opened a thinking block that the answer closes.
        """
