"""Deciding which tools a conversation asks for, by the words of the tools' names and descriptions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sagewire.emulator.engines.base import Turn, text_of
from sagewire.emulator.engines.evidence import Evidence, words
from sagewire.types import Message, Tool

__all__ = ["Wanted", "last_user", "results_since", "wanted_calls"]

ENOUGH = 2
_CLAUSE = re.compile(r"(?:,?\s+(?:and(?: then| also)?|then)\s+)|(?<=[;.?!])\s+")
_DULL = frozenset(
    """
    a an and any are as at be by call can do does for from function get give have how i in input into is it me my of on
    or output please return returns run should show take takes tell that the their this to tool use used useful uses
    using value what when where which will with you your
    """.split()  # noqa: SIM905
)
# Signs and words of arithmetic, and the words that tools for it have in their names and descriptions.
_SYNONYMS = [
    (re.compile(r"\d\s*\+\s*\d|\bplus\b|\badd(?:ed)?\b|\bsum\b"), {"add", "adder", "sum", "plus", "addition"}),
    (re.compile(r"\d\s*[*x×]\s*\d|\btimes\b|\bmultipl"), {"multiply", "product", "times", "multiplication"}),
    (re.compile(r"\d\s*-\s*\d|\bminus\b|\bsubtract"), {"subtract", "minus", "difference", "subtraction"}),
    (re.compile(r"\d\s*/\s*\d|\bdivid"), {"divide", "quotient", "division"}),
    (re.compile(r"\d\s*[-+*/^]\s*\d"), {"calculator", "calculate", "arithmetic", "math"}),
    (re.compile(r"\btemperature\b|\bforecast\b|\bsunny\b|\brain"), {"weather"}),
]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call to make, and the words its arguments come from."""

    tool: Tool
    text: str


def last_user(messages: Sequence[Message]) -> int:
    """Return the index of the last user message; -1 without one."""
    return next((number for number in range(len(messages) - 1, -1, -1) if messages[number].role == "user"), -1)


def results_since(messages: Sequence[Message], start: int) -> list[Message]:
    """Return the tool results after a message."""
    return [message for message in messages[start + 1 :] if message.role == "tool"]


def wanted_calls(turn: Turn) -> list[Wanted]:
    """Return the calls to make now, none if the answer can be given."""
    start = last_user(turn.messages)
    text = text_of(turn.messages[start]) if start >= 0 else ""
    made = [call.name for message in turn.messages[start + 1 :] for call in message.tool_calls]
    results = results_since(turn.messages, start)
    if not turn.tools or turn.tool_choice == "none":
        return []
    if turn.tool_choice not in ("auto", "required"):
        return [Wanted(tool, text) for tool in turn.tools if tool.name == turn.tool_choice]
    wanted = _asked_for(text, turn.tools)[len(made) :]
    if not wanted and results and made and _failed(results[-1]) and made.count(made[-1]) < 2:
        wanted = [Wanted(tool, text) for tool in turn.tools if tool.name == made[-1]]
    if not wanted and turn.tool_choice == "required":
        said = "\n".join([text, *map(text_of, results)])
        wanted = [Wanted(_best(text, [tool for tool in turn.tools if tool.name not in made] or turn.tools)[0], said)]
    return wanted if turn.parallel_tool_calls else wanted[:1]


def _failed(result: Message) -> bool:
    return text_of(result).lstrip().lower().startswith("error")


def _asked_for(text: str, tools: Sequence[Tool]) -> list[Wanted]:
    """Return every call a message asks for: one for the whole of it, or one for each of its clauses."""
    tool, score = _best(text, tools)
    if score < ENOUGH:
        return []
    clauses = [part for part in _CLAUSE.split(text) if part.strip()]
    found: list[Wanted] = []
    for clause in clauses:
        here, points = _best(clause, tools)
        if points >= ENOUGH:
            found.append(Wanted(here, clause))
        elif found and not _grounded(found[-1].tool, found[-1].text):
            # `add 5 and 6`: the clause before still lacks a value.
            found[-1] = Wanted(found[-1].tool, f"{found[-1].text} and {clause}")
        elif found and _continues(clause, found[-1].tool):
            found.append(Wanted(found[-1].tool, clause))
    names = [wanted.tool.name for wanted in found]
    if len(found) > 1 and (len(set(names)) == len(names) or all(_grounded(w.tool, w.text) for w in found)):
        return found
    return [Wanted(tool, text)]


def _continues(clause: str, tool: Tool) -> bool:
    """Return whether a clause is but another value for the tool just named: `... in Paris and London?`."""
    bare = clause.strip(" ?.!")
    return (
        len(bare.split()) <= 4
        and bare[:1].isupper() | bare[:1].isdigit() | (bare[:1] in "'\"")
        and _grounded(tool, clause)
    )


def _grounded(tool: Tool, text: str) -> bool:
    """Return whether a text has a value for every parameter the tool requires."""
    properties = tool.parameters.get("properties", {})
    required = [properties.get(name, {}) for name in tool.parameters.get("required", ())]
    evidence = Evidence(text)
    numbers = sum(1 for schema in required if schema.get("type") in ("integer", "number"))
    strings = any(schema.get("type") == "string" for schema in required)
    return (
        bool(required)
        and len(evidence.numbers) >= numbers
        and (not strings or bool(evidence.entities or evidence.bare()))
    )


def _best(text: str, tools: Sequence[Tool]) -> tuple[Tool, int]:
    said = {_stem(word) for word in words(text)} - _DULL
    for pattern, synonyms in _SYNONYMS:
        if pattern.search(text.lower()):
            said |= {_stem(word) for word in synonyms}
    scores = [(_score(tool, text, said), -number, tool) for number, tool in enumerate(tools)]
    score, _, tool = max(scores, key=lambda item: item[:2])
    return tool, score


def _score(tool: Tool, text: str, said: set[str]) -> int:
    name = {_stem(word) for word in words(tool.name)} - _DULL
    description = {_stem(word) for word in words(tool.description)} - _DULL - name
    literal = 10 if re.search(rf"\b{re.escape(tool.name)}\b", text) else 0
    return literal + 3 * len(name & said) + len(description & said)


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word
