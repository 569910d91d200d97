"""A table of what a program tried: the name of each step, and `ok` or its error; the last line that it prints."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

RESULTS: dict[str, str] = {}


@contextmanager
def step(name: str) -> Iterator[None]:
    """Note whether the block ended well; the next step is tried in any case."""
    try:
        yield
        RESULTS[name] = "ok"
    except Exception:
        RESULTS[name] = traceback.format_exc()


@contextmanager
def refused(code: str) -> Iterator[dict]:
    """Expect that the block is refused with this code; afterwards the value is botocore's response."""
    from botocore.exceptions import ClientError

    response: dict = {}
    try:
        yield response
    except ClientError as error:
        response |= error.response
    if response.get("Error", {}).get("Code") != code:
        raise AssertionError(f"{code} was expected, not {response}")


def report() -> None:
    """Print the table."""
    print("\n" + json.dumps(RESULTS))  # noqa: T201
