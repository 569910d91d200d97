"""Runs one call in a process of its own that may be killed, and says in one phrase how it ended."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import warnings
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

from beside.fault_callers import LIBRARIES
from beside.fault_rows import FULL, LIMIT, TEXT, TYPED

__all__ = ["Caller"]

# An error of one of these packages, or of these built-in kinds, says what went wrong. A KeyError, JSONDecodeError or
# ValueError is what the code stumbled over, and nothing a caller could tell from a mistake of his own.
SPEAKING = {"aiohttp", "boto3", "botocore", "httpcore", "httpx", "langchain_aws", "langchain_core", "litellm", "openai"}
SPEAKING |= {"sagewire", "urllib3"}
# Seconds for the calls that only warm up.
FIRST_LIMIT = 60.0
_CONTEXT = multiprocessing.get_context("spawn")


class Caller:
    """One library's calls, in a process that is started again whenever a call had to be killed.

    Args:
        library: Its name in `LIBRARIES`.
        sound: An endpoint with no fault: whoever fails there is used wrongly.
    """

    def __init__(self, library: str, sound: str) -> None:
        self._library = library
        self._sound = sound
        self._start()

    def _start(self) -> None:
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(self._library, theirs), daemon=True)
        self._process.start()
        theirs.close()
        # What it offers. Importing takes a while, and so do some libraries' first calls.
        self.offers: list[tuple[str, str]] = self._pipe.recv()
        for mode, how in self.offers:
            ended = self.ask(self._sound, mode, how, FIRST_LIMIT)
            if ended != FULL:
                raise SystemExit(f"{self._library} is used wrongly: with no fault at all, {mode}/{how} gives: {ended}")

    def ask(self, endpoint: str, mode: str, how: str, limit: float = LIMIT) -> str:
        """Return how a call ended."""
        self._pipe.send((endpoint, mode, how))
        if not self._pipe.poll(limit):
            self._process.kill()
            self._process.join()
            self._start()
            return "hangs"
        return str(self._pipe.recv())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.join()


def _serve(library: str, pipe: Connection) -> None:
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    # The peers print what they log.
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (as long as the process)
    callers = LIBRARIES[library][1]()
    pipe.send(list(callers))
    while True:
        endpoint, mode, how = pipe.recv()
        read: list[str] = []
        try:
            outcome = named(callers[mode, how](endpoint, read))
        except BaseException as error:
            outcome = of_error(error)
            if not TEXT.startswith("".join(read)):
                outcome = f"wrong text, then {outcome}"
        pipe.send(outcome)


def named(text: str) -> str:
    """Return what became of the text."""
    if text == TEXT:
        return FULL
    if _holds(TEXT, text):
        return "text lost silently"
    return "text doubled" if _holds(text, TEXT) else "wrong text"


def of_error(error: BaseException) -> str:
    """Return the error's class, and whether it is one of a family."""
    name = type(error).__name__
    speaks = isinstance(error, (ConnectionError, TimeoutError))
    speaks = speaks or any(kind.__module__.partition(".")[0] in SPEAKING for kind in type(error).__mro__)
    return f"{TYPED}: {name}" if speaks else f"untyped error: {name}"


def _holds(whole: str, part: str) -> bool:
    """Return whether `part` is `whole` with characters left out."""
    rest = iter(whole)
    return all(character in rest for character in part)
