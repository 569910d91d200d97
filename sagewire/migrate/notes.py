"""What a person must look at after a migration."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Note"]


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """One thing that a person must know or decide.

    Args:
        line: The line in the old program; of a notebook, counted over its code cells.
        text: The remark.
        left: Something was left as it was and still needs a hand.
    """

    line: int
    text: str
    left: bool = False
