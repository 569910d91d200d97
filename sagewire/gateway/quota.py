"""How much a key, or a deployment, may use in a minute, and estimates of how much a request will use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Quota", "estimated_answer", "estimated_prompt", "estimated_tokens", "number_of_prompts"]

# Tokens of an image, an audio clip or a file, whatever its size in bytes.
ATTACHMENT = 500
# Tokens of an answer whose request names no limit.
USUAL_ANSWER = 256
_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens", "max_new_tokens", "n_predict")
_TEXTS = ("messages", "prompt", "input", "instructions", "query", "documents", "tools")
_ATTACHMENTS = frozenset({"image_url", "input_image", "input_audio", "input_file", "file", "video_url", "audio_url"})


@dataclass(frozen=True, slots=True)
class Quota:
    """Limits for a minute.

    Args:
        name: The name it is counted under.
        requests: Maximum requests, `None` for no limit.
        tokens: Maximum tokens of prompts and answers, `None` for no limit.
    """

    name: str
    requests: int | None = None
    tokens: int | None = None

    @property
    def limited(self) -> bool:
        """Whether it limits anything."""
        return self.requests is not None or self.tokens is not None


def estimated_tokens(text: str) -> int:
    """Return about how many tokens a text has: four characters each of ASCII, one each of any other script.

    Example:
        >>> estimated_tokens("Hello there!"), estimated_tokens("こんにちは")
        (3, 5)
    """
    plain = len(text) if text.isascii() else sum(character < "\x80" for character in text)
    return (plain + 3) // 4 + len(text) - plain


def estimated_prompt(body: Mapping[str, Any]) -> int:
    """Return about how many tokens the texts of a request have."""
    return sum(_estimate(body.get(name)) for name in _TEXTS)


def _estimate(value: Any) -> int:
    total = 0
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            total += ATTACHMENT if one.startswith("data:") else estimated_tokens(one)
        elif isinstance(one, list):
            if one and isinstance(one[0], int):
                total += len(one)
            else:
                waiting += one
        elif isinstance(one, dict):
            if one.get("type") in _ATTACHMENTS:
                total += ATTACHMENT
            else:
                waiting += one.values()
    return total


def number_of_prompts(body: Mapping[str, Any]) -> int:
    """Return how many prompts a request has, each of which is its own call."""
    prompts = body.get("prompt")
    if isinstance(prompts, list) and prompts and not isinstance(prompts[0], int):
        return len(prompts)
    return 1


def estimated_answer(body: Mapping[str, Any]) -> int:
    """Return how many tokens the answers of a request may have at most, or usually have if it sets no limit."""
    if "messages" not in body and "prompt" not in body and not ("input" in body and "max_output_tokens" in body):
        return 0
    # Of several spellings of one setting servers read different ones.
    limits = [one for name in _LIMITS if isinstance(one := body.get(name), int) and one >= 0]
    answers = [one for name in ("n", "best_of") if isinstance(one := body.get(name), int) and one > 0]
    return max(limits, default=USUAL_ANSWER) * max(answers, default=1) * number_of_prompts(body)
