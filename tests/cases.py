"""How many cases a test tries: grids as one test, and more examples where they are looked for."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import settings

SHOWN = 10  # failures whose traceback is printed


def each(names: str | tuple[str, ...], cases: Iterable[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run the test with every case, as `pytest.mark.parametrize` does, in one test that names those that fail.

    What pytest does around a test takes longer than a small check. Fixtures are made once, so this is for checks that
    leave nothing behind.
    """
    names = (names,) if isinstance(names, str) else names
    rows = [dict(zip(names, case if len(names) > 1 else (case,), strict=True)) for case in cases]
    assert rows, "a grid without cases tests nothing"

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def run(*own: Any, **fixtures: Any) -> None:
            failures: list[BaseException] = []
            for row in rows:
                try:
                    test(*own, **row, **fixtures)
                except (Exception, pytest.fail.Exception) as error:
                    error.add_note(f"in the case {row!r:.500}")
                    failures.append(error)
            if failures:
                told = f"{len(failures)} of {len(rows)} cases failed"
                raise BaseExceptionGroup(told, failures[:SHOWN])

        signature = inspect.signature(test)
        parameters = [each for name, each in signature.parameters.items() if name not in names]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return run

    return decorate


def examples(count: int) -> int:
    """Return how many examples a property of each of many formats gets: in `make fuzz`, ten times as many.

    `make test` always tries the same ones, and learns nothing new of them.
    """
    return count if settings.default.derandomize else 10 * count
