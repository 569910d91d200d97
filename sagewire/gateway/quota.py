"""How much a key, or a deployment, may use in a minute, and estimates of how much a request will use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "Quota",
    "estimated_answer",
    "estimated_inputs",
    "estimated_prompt",
    "estimated_prompts",
    "estimated_tokens",
    "number_of_prompts",
]

# Tokens of an image, an audio clip or a file, whatever its size in bytes.
ATTACHMENT = 500
# Tokens of an answer whose request names no limit.
USUAL_ANSWER = 256
# What a request may use at most, as far as that is counted: sums of a minute have 64 bits.
MOST_TOKENS = 2**40
_LIMITS = (
    "max_completion_tokens", "max_tokens", "max_output_tokens", "max_new_tokens", "n_predict", "num_predict",
    "max_length", "max_gen_len", "min_tokens",
)  # fmt: skip
_ANSWERS = ("n", "best_of", "num_return_sequences", "num_beams")
# Fields whose texts servers put before the model, and those that only say how.
_TEXTS = (
    "messages", "prompt", "input", "instructions", "query", "documents", "tools", "texts", "suffix", "system",
    "functions", "chat_template_kwargs", "chat_template_args", "extra",
)  # fmt: skip
_ATTACHMENTS = frozenset({"image_url", "input_image", "input_audio", "input_file", "file", "video_url", "audio_url"})
_WORDS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz \n\t\r"


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
    """Return about how many tokens a text has: one for four letters of ASCII, or two digits or signs.

    Any other character is one, beyond the most common 65,536 of Unicode three.

    Example:
        >>> estimated_tokens("Hello there!"), estimated_tokens("3.14159"), estimated_tokens("こんにちは")
        (4, 4, 5)
    """
    plain = text.encode("ascii", "ignore")
    signs = len(plain.translate(None, _WORDS))
    rare = 0 if len(plain) == len(text) else len(text.encode("utf-16-le", "surrogatepass")) // 2 - len(text)
    return (len(plain) + signs + 3) // 4 + len(text) - len(plain) + 2 * rare


def estimated_prompt(body: Mapping[str, Any]) -> int:
    """Return about how many tokens the texts of a request have."""
    query, documents = body.get("query"), body.get("documents")
    prompts = number_of_prompts(body)
    if isinstance(query, str) and isinstance(documents, list):
        # The model reads the query anew with each document.
        more = estimated_tokens(query) * max(0, len(documents) - 1)
    else:
        more = 0 if prompts == 1 else _beside_prompts(body) * (prompts - 1)
    return min(more + sum(_estimate(body[name]) for name in _TEXTS if name in body), MOST_TOKENS)


def estimated_prompts(body: Mapping[str, Any], first: int, end: int) -> int:
    """Return about how many tokens the prompts of a request from one number to before another have."""
    if number_of_prompts(body) == 1:
        return estimated_prompt(body) if first < end else 0
    prompts = body["prompt"][first:end]
    return min(_estimate(prompts) + _beside_prompts(body) * len(prompts), MOST_TOKENS)


def _beside_prompts(body: Mapping[str, Any]) -> int:
    """Return the tokens of the texts that go along with each prompt."""
    return sum(_estimate(body[name]) for name in _TEXTS if name in body and name != "prompt")


def estimated_inputs(body: Mapping[str, Any], count: int) -> int:
    """Return about how many tokens `count` texts to be embedded or ranked have at most, whichever of them they are."""
    inputs = body.get("input", body.get("documents"))
    if not isinstance(inputs, list) or _are_tokens(inputs):
        return _estimate(inputs) if count else 0
    query = _estimate(body.get("query"))
    return sum(sorted(map(_estimate, inputs), reverse=True)[:count]) + query * min(count, len(inputs))


def _estimate(value: Any) -> int:
    total = 0
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            total += estimated_tokens(one)
        elif isinstance(one, list):
            if _are_tokens(one):
                total += len(one)
            else:
                waiting += one
        elif isinstance(one, dict):
            if one.get("type") in _ATTACHMENTS:
                total += ATTACHMENT
            else:
                waiting += one.values()
    return total


def _are_tokens(value: list[Any]) -> bool:
    """Return whether an array is one text as token numbers."""
    return bool(value) and isinstance(value[0], int) and set(map(type, value)) <= {int, bool}


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
    limit = max(_counts(body, _LIMITS), default=USUAL_ANSWER)
    return min(limit * max([1, *_counts(body, _ANSWERS)]) * number_of_prompts(body), MOST_TOKENS)


def _counts(body: Mapping[str, Any], names: tuple[str, ...]) -> list[int]:
    """Return the whole numbers in fields, however they are written, also in those that go to the server as they are."""
    found = [body.get(name) for name in names]
    for name in ("extra", "options"):
        more = body.get(name)
        if isinstance(more, dict):
            found += [more.get(name) for name in names]
    return [int(min(one, MOST_TOKENS)) for one in found if isinstance(one, int | float) and one >= 0]
