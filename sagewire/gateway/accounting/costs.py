"""The cost of requests, in whole nanodollars (10⁻⁹ US dollars), so that sums are exact everywhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["FREE", "MOST_NANODOLLARS", "USUAL_SECONDS", "Prices", "dearest", "dollars", "nanodollars"]

_NANO = 10**9
# A sum in the database has 64 bits.
MOST_NANODOLLARS = 2**62
# How long an answer takes that is not there yet, for prices by the second.
USUAL_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices of a deployment's answers, in dollars.

    Args:
        input_token: Of a token of the prompt.
        output_token: Of a token of the answer.
        second: Of a second of the request.
    """

    input_token: float = 0.0
    output_token: float = 0.0
    second: float = 0.0

    def cost(self, prompt: int, completion: int, seconds: float) -> int:
        """Return the nanodollars of a request."""
        return nanodollars(
            max(0, prompt) * self.input_token + max(0, completion) * self.output_token + seconds * self.second
        )


FREE = Prices()


def dearest(prices: Iterable[Prices]) -> Prices:
    """Return the highest of each price, for requests whose deployment is not known yet."""
    found = list(prices)
    return Prices(
        max((one.input_token for one in found), default=0.0),
        max((one.output_token for one in found), default=0.0),
        max((one.second for one in found), default=0.0),
    )


def nanodollars(amount: float) -> int:
    """Return dollars as nanodollars, within 64 bits."""
    return round(min(amount * _NANO, MOST_NANODOLLARS))


def dollars(amount: int) -> float:
    """Return nanodollars as dollars."""
    return amount / _NANO
