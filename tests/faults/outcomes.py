"""What a row of the matrix is, and the one right outcome it demands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sagewire.errors import SagewireError

__all__ = ["TEXT", "WHOLE", "Broken", "Row"]

# What every endpoint answers: characters of one, two, three and four bytes.
TEXT = "Grüße, 世界 🎉! One two three four."


@dataclass(frozen=True)
class Broken:
    """A typed error.

    Args:
        kind: Its exact class; LangChain's models raise a class of that and of langchain-core's.
        code: Its code.
        partial: The text that was read, and delivered, before it; `None` where the answer never began.
        says: A piece of its message.
        attributes: Further attributes and their values.
        calls: How often the container was asked, where that is part of what is right.
    """

    kind: type[SagewireError]
    code: str | None = None
    partial: str | None = None
    says: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)
    calls: int | None = None


class _Whole:
    """The whole text, as if nothing had happened."""


WHOLE = _Whole()


@dataclass(frozen=True)
class Row:
    """One fault.

    Args:
        name: What happens, in words.
        chat: The outcome of asking for a whole answer; `None` where the fault cannot occur there.
        stream: The outcome of asking for a stream; likewise.
        faults: What the emulator does.
        wire: What the container speaks.
        endpoint: Further arguments of the endpoint's specification.
        patience: Seconds to wait for the server, at every point.
        place: A function of `places` that says where the call goes instead; its argument follows.
        frameworks: Whether LangChain's and LlamaIndex's classes take part; one wire of a fault is enough for them.
        raw: What a server of raw sockets answers: each entry to one request, the last to all others.
    """

    name: str
    chat: Broken | _Whole | None = None
    stream: Broken | _Whole | None = None
    faults: tuple[str, ...] = ()
    wire: str = "openai_chat"
    endpoint: dict[str, Any] = field(default_factory=dict)
    patience: float = 10.0
    place: str = ""
    frameworks: bool = True
    raw: tuple[bytes, ...] = ()
