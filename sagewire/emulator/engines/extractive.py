"""The `extractive` engine: it answers a question with the sentence of the prompt that answers it.

It is not a language model. It compares words, knows that "how long" asks for a number and "who" for a name, and copies
one sentence. It is deterministic, needs nothing, and reads the prompts of question-answering chains, chats and
retrieval tutorials well enough to show whether the pipe around it works.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from sagewire.emulator.engines.base import Piece, Text, Turn, text_of
from sagewire.emulator.engines.prompt import unfold
from sagewire.types import Message

__all__ = ["Extractive", "answer", "sentences", "stems"]

UNKNOWN = "I don't know."
NOTHING_TO_READ = "I can only answer from text inside the question, which contains no text."

_QUESTION = re.compile(
    r"(?im)^[ \t]*(?:user[ \t]+)?(?:question|query|q)[ \t]*:[ \t]*(.+(?:\n(?![ \t]*\w+[ \t]*\w*:).+)*)"
)
_ANSWER_CUE = re.compile(r"(?im)^[ \t]*(?:\w+[ \t]+)?answer[ \t]*:[ \t]*$")
_SENTENCE = re.compile(
    r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]*[A-Z0-9])|(?<=[。！？])|\n\s*\n|\n(?=\s*(?:[-*#•]|\d+[.)])\s)"
    # The rulers LlamaIndex draws around the context.
    r"|\n[ \t]*[-=_*#~]{3,}[ \t]*(?=\n|\Z)"
)
_WORD = re.compile(r"[^\W_]+(?:'[a-z]+)?")
_RULES = re.compile(
    r"(?i)\b(use the following|given the context|context information is|answer the (?:question|query)|"
    r"if you (?:don't|do not) know|just say that you|don't try to make up|not prior knowledge|"
    r"you are an? |pieces of (?:retrieved )?context|keep the answer|sentences maximum|helpful assistant|"
    r"in your own words|use only|based on the context|answer based on|be (?:brief|concise))"
)
_STOP_WORDS = frozenset(
    """
    a an and are as at be been being by can could did do does for from had has have he her hers him his how i in is
    it its me my of on or our she should so than that the their them then there these they this to us was we were
    what when where which who whom whose why will with would you your much many long often please tell about
    """.split()  # noqa: SIM905 - a paragraph reads better than ninety quoted words
)
_MONTH = "january|february|march|april|may|june|july|august|september|october|november|december"
_EXPECTED = [
    (
        re.compile(r"(?i)\bhow (?:long|old|many|much|far|often|tall|big|fast|high)\b"),
        re.compile(
            r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|twelve|hundred|thousand|million|percent)\b",
            re.IGNORECASE,
        ),
    ),
    (re.compile(r"(?i)\bhow long\b"), re.compile(r"(?i)\b(?:second|minute|hour|day|night|week|month|year|decade)s?\b")),
    (
        re.compile(r"(?i)\bwhen\b|\b(?:what|which) (?:year|day|date|month|time)\b"),
        re.compile(
            rf"(?i)\b(?:\d{{4}}|\d{{1,2}}:\d\d|{_MONTH}|monday|tuesday|wednesday|thursday|friday|saturday|sunday|today|yesterday)\b"
        ),
    ),
    (re.compile(r"(?i)\bwho(?:m|se)?\b"), re.compile(r"(?<!^)\b[A-Z][a-z]+")),
    (re.compile(r"(?i)\bwhere\b"), re.compile(r"\b(?:in|at|on|near|from|to) (?:the )?[A-Z]?[a-z]+")),
    (re.compile(r"(?i)\bwhy\b"), re.compile(r"(?i)\b(?:because|since|so that|due to|reason|therefore)\b")),
]


class Extractive:
    """An engine that copies the sentence of the prompt that fits the question best."""

    blocking = False

    def generate(self, turn: Turn, /) -> Iterator[Piece]:
        """Yield that sentence."""
        yield Text(answer(unfold(turn).messages))


def answer(messages: Sequence[Message]) -> str:
    """Return the sentence of the conversation that answers its last question."""
    last = next((number for number in range(len(messages) - 1, -1, -1) if messages[number].role == "user"), None)
    if last is None:
        return NOTHING_TO_READ
    question, rest = split_question(text_of(messages[last]))
    around = [
        text_of(m) for number, m in enumerate(messages) if number != last and m.role in ("system", "tool", "user")
    ]
    candidates = [sentence for text in [rest, *reversed(around)] for sentence in sentences(text)]
    if not candidates:
        return NOTHING_TO_READ
    return _best(question, candidates)


def split_question(text: str) -> tuple[str, str]:
    """Return the question in a message, and everything else of it."""
    text = _ANSWER_CUE.sub("", text).strip()
    marked = list(_QUESTION.finditer(text))
    if marked:
        match = marked[-1]
        return match[1].strip(), text[: match.start()] + "\n\n" + text[match.end() :]
    parts = [part for part in re.split(r"(?<=[.!?？])\s+|\n+", text) if part.strip()]
    asked = [part for part in parts if part.rstrip().endswith(("?", "？"))]
    question = (asked or parts[-1:] or [""])[-1]
    position = text.rfind(question)
    return question.strip(), text[:position] + "\n\n" + text[position + len(question) :]


def sentences(text: str) -> list[str]:
    """Cut a text into sentences, without instructions to the model and without rulers."""
    found = (" ".join(part.split()).strip("-=# ") for part in _SENTENCE.split(text) if part)
    return [sentence for sentence in found if _WORD.search(sentence) and not _is_instruction(sentence)]


def _is_instruction(sentence: str) -> bool:
    return bool(_RULES.search(sentence)) or sentence.rstrip().lower() in (
        "context:",
        "context",
        "answer:",
        "helpful answer:",
    )


def stems(text: str) -> list[str]:
    """Return the words of a text that carry its meaning, without their endings."""
    return [_stem(word) for word in _WORD.findall(text.lower()) if word not in _STOP_WORDS]


def _stem(word: str) -> str:
    word = word.removesuffix("'s")
    for ending in (
        "ization",
        "ized",
        "izes",
        "ize",
        "ations",
        "ation",
        "ings",
        "ing",
        "ied",
        "ies",
        "ed",
        "es",
        "ly",
        "s",
    ):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def _best(question: str, candidates: Sequence[str]) -> str:
    wanted = set(stems(question))
    found_in = [set(stems(sentence)) for sentence in candidates]
    frequency = Counter(stem for found in found_in for stem in found)
    patterns = [pattern for asks, pattern in _EXPECTED if asks.search(question)]

    def score(number: int) -> float:
        overlap = sum(math.log(1 + len(candidates) / frequency[stem]) for stem in wanted & found_in[number])
        if not overlap:
            return 0.0
        fits = sum(1 for pattern in patterns if pattern.search(candidates[number]))
        return (overlap + 2.0 * fits) / (1 + 0.01 * len(found_in[number]))

    best = max(range(len(candidates)), key=lambda number: (score(number), -number))
    return candidates[best] if score(best) > 0 else UNKNOWN
