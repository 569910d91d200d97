"""A dozen facts, so that the questions of tutorials have an answer even if nothing was said that holds one."""

from __future__ import annotations

from sagewire.emulator.engines.extractive import stems

__all__ = ["general_knowledge"]

_FACTS = (
    "The sky is blue because air scatters blue light more than red light.",
    "Paris is the capital of France.",
    "Berlin is the capital of Germany.",
    "Rome is the capital of Italy.",
    "Canberra is the capital of Australia.",
    "Water boils at 100 degrees Celsius at sea level.",
    "The Earth turns around the Sun once a year.",
    "Light travels at about 300,000 kilometres per second.",
    "Grass is green because of chlorophyll.",
    "Two plus two is four.",
)
_STEMS = tuple(frozenset(stems(fact)) for fact in _FACTS)
_ENOUGH = 2


def general_knowledge(question: str) -> str | None:
    """Return the fact that shares at least two words with a question, `None` without such a fact.

    Example:
        >>> general_knowledge("What is the capital of France?")
        'Paris is the capital of France.'
    """
    wanted = frozenset(stems(question))
    best = max(range(len(_FACTS)), key=lambda number: (len(wanted & _STEMS[number]), -number))
    return _FACTS[best] if len(wanted & _STEMS[best]) >= _ENOUGH else None
