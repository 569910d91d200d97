"""Faults that can be injected, and the steps of an answer at which they act."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sagewire.emulator import tokens
from sagewire.emulator.engines.base import Engine, EngineFailure, Piece, Text, Thinking, Turn
from sagewire.emulator.http_values import Response, Step
from sagewire.errors import UsageError

__all__ = ["FOREVER", "FaultInjection", "FaultyEngine", "Refused", "Times", "number"]

FOREVER = float("inf")


class Refused(Exception):
    """A refusal by the service.

    Args:
        code: AWS's error code.
        status: The HTTP status.
        message: AWS's message.
        headers: Further response headers.
    """

    def __init__(self, code: str, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.message = message
        self.headers = headers or {}


class FaultInjection:
    """A fault. Each method acts on one step of an answer; the default changes nothing.

    Args:
        argument: The text after the colon of the fault.

    Attributes:
        fails_after: The model fails after this many tokens.
    """

    fails_after: int | None = None

    def __init__(self, argument: str = "") -> None:
        self.argument = argument

    def front_door(self) -> Response | None:
        """Raise `Refused`, return a response of another origin than SageMaker, or return `None` to go on."""
        return None

    def container(self, failure: Callable[[EngineFailure], Response]) -> Response | None:
        """Return the container's error response, or `None` to let it answer."""
        return None

    def chunks(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Change what the container sends, before it is framed."""
        return steps

    def wire(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Change what goes to the client, frames included."""
        return steps

    def response(self, response: Response) -> Response:
        """Change the finished response."""
        return response


class Times(FaultInjection):
    """A fault that happens so many times; without a number, always."""

    def __init__(self, argument: str = "") -> None:
        super().__init__(argument)
        self._left = number(argument.partition(",")[0], FOREVER)

    def happens(self) -> bool:
        """Return whether it happens this time."""
        if self._left <= 0:
            return False
        self._left -= 1
        return True


def number(text: str, default: float) -> float:
    """Return a fault's argument as a number.

    Raises:
        UsageError: It is not a number.
    """
    try:
        return float(text) if text else default
    except ValueError:
        raise UsageError(f"a fault's argument must be a number, not {text!r}") from None


class FaultyEngine:
    """An engine that fails after some tokens of an answer."""

    def __init__(self, engine: Engine, after: int) -> None:
        self._engine = engine
        self._after = after
        self.blocking = engine.blocking

    def generate(self, turn: Turn, /) -> Iterator[Piece]:
        """Yield the beginning of the answer, then fail."""
        left = self._after
        for piece in self._engine.generate(turn):
            if not isinstance(piece, Text | Thinking):
                yield piece
                continue
            parts = tokens.pieces(piece.text)
            if parts[:left]:
                yield type(piece)("".join(parts[:left]))
            left -= len(parts)
            if left < 0:
                break
        raise EngineFailure("CUDA error: an illegal memory access was encountered")
