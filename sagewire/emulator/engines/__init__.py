"""The models behind the emulator's containers, and the visible table of their names."""

from __future__ import annotations

from collections.abc import Callable

from sagewire.emulator.engines.base import (
    Call,
    Counts,
    Engine,
    EngineFailure,
    Piece,
    Raw,
    Stop,
    Text,
    Thinking,
    Turn,
)
from sagewire.emulator.engines.extractive import Extractive
from sagewire.emulator.engines.schema import Schema
from sagewire.emulator.engines.simple import Echo, Reply, Scripted
from sagewire.emulator.engines.upstream import Upstream
from sagewire.errors import UsageError, unknown_name

__all__ = [
    "ENGINES",
    "Call",
    "Counts",
    "Echo",
    "Engine",
    "EngineFailure",
    "Extractive",
    "Piece",
    "Raw",
    "Reply",
    "Schema",
    "Scripted",
    "Stop",
    "Text",
    "Thinking",
    "Turn",
    "Upstream",
    "get_engine",
]


def _scripted(argument: str) -> Scripted:
    return Scripted(argument.split("|"), loop=True) if argument else Scripted()


def _upstream(argument: str) -> Upstream:
    url, _, model = argument.partition(",")
    return Upstream(url, model or None)


# Name -> how to make the engine from what follows `=` in a specification such as `scripted=yes|no`.
ENGINES: dict[str, Callable[[str], Engine]] = {
    "echo": lambda _: Echo(),
    "extractive": lambda _: Extractive(),
    "schema": lambda _: Schema(),
    "scripted": _scripted,
    "upstream": _upstream,
}


def get_engine(engine: str | Engine) -> Engine:
    """Return the engine of a specification such as `extractive` or `scripted=yes|no`; objects pass through.

    Raises:
        UsageError: The name is unknown.
    """
    if not isinstance(engine, str):
        return engine
    name, _, argument = engine.partition("=")
    if name not in ENGINES:
        raise UsageError(unknown_name(name, ENGINES, "engine"))
    return ENGINES[name](argument)
