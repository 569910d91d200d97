"""Proof that only the template writes control strings, whatever it does with the texts it is given.

Every text is guarded before a template sees it. A template may still put a broken control string together again: it
trims parts and joins them, or takes a word out of the middle of one. So a conversation whose texts hold characters of
control strings is rendered a second time, without those characters: both prompts have to show the same tokens.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sagewire.errors import UsageError
from sagewire.prompt_formats.engine.guard import Policy, token_pattern

__all__ = ["SpeakerCheck"]

Guard = Callable[[str], str]
# A prompt, and the messages as they were given to the template.
Rendered = tuple[str, list[dict[str, Any]]]

# Characters of tokens that are everywhere in ordinary text.
ORDINARY = re.compile(r"[\w\s./:'\"#,-]")

# Names of families that begin their control strings: a template may write a name of an argument as a tag.
NAMES = r"\b(?:mm|minimax|seed|atem|steptml):"


class SpeakerCheck:
    """Finds control strings that somebody's text became only while it was rendered.

    Args:
        tokens: The control strings of the template, besides those of all families.
        guard: The guard that texts go through as a rule.
        policy: What happens to control strings in foreign text.
    """

    def __init__(self, tokens: tuple[str, ...], guard: Guard, policy: Policy) -> None:
        self._pattern = token_pattern(tokens)
        self._guard = guard
        self._policy = policy
        marks = {character for character in "".join(tokens) + "<>[]|｜~" if not ORDINARY.match(character)}
        # Escapes too: a template may read JSON, or take the escapes of HTML out.
        self._marks = re.compile(rf"[{re.escape(''.join(sorted(marks)))}]|\\u00|&(?:lt|gt|#)|{NAMES}")

    def render(self, write: Callable[[Guard], Rendered]) -> Rendered:
        """Return the prompt, and the messages as the template got them.

        Args:
            write: Renders the conversation, every foreign text having gone through the guard it is given.

        Raises:
            UsageError: The template puts control strings together, and breaking up every character of one does not
                keep it from that; or the policy is `error`.
        """
        if self._policy == "allow":
            return write(self._guard)
        suspicious = False

        def guard(text: str) -> str:
            nonlocal suspicious
            suspicious = suspicious or self._marks.search(text) is not None
            return self._guard(text)

        rendered = write(guard)
        if not suspicious:
            return rendered
        harmless = self._tokens(write)
        if self._pattern.findall(rendered[0]) == harmless:
            return rendered
        if self._policy == "neutralise" and harmless is not None:
            rendered = write(self._broken)
            if self._pattern.findall(rendered[0]) == harmless:
                return rendered
        raise UsageError(
            "The chat template turns a text of this conversation into a control string. Remove the control string from "
            "the text, or load the template with special_tokens='allow' if all texts are your own."
        )

    def _tokens(self, write: Callable[[Guard], Rendered]) -> list[str] | None:
        """Return the control strings of the conversation without the characters that make them."""
        try:
            return self._pattern.findall(write(self._without_marks)[0])
        except UsageError:
            return None

    def _without_marks(self, text: str) -> str:
        return self._marks.sub("x", text)

    def _broken(self, text: str) -> str:
        return self._marks.sub(r"\g<0> ", self._guard(text))
