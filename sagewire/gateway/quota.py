"""How much a key, or a deployment, may use in a minute."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Quota"]


@dataclass(frozen=True, slots=True)
class Quota:
    """What may be used in a minute.

    Args:
        name: What it is counted under.
        requests: The most requests, `None` for any number.
        tokens: The most tokens of prompts and answers, `None` for any number.
    """

    name: str
    requests: int | None = None
    tokens: int | None = None

    @property
    def limited(self) -> bool:
        """Whether there is any limit."""
        return self.requests is not None or self.tokens is not None
