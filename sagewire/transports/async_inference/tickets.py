"""Tickets on disk: if this run is killed, the next one collects the answers, so that none is paid for twice."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from sagewire.errors import UsageError
from sagewire.transports.async_inference.polling import Ticket
from sagewire.types import Invocation

__all__ = ["TicketFile"]


class TicketFile:
    """Open tickets in a file of JSON lines, to which one process at a time writes.

    Args:
        path: The file; it is made with its first ticket.

    Raises:
        UsageError: The file cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        # Only of earlier runs: equal requests of this run are separate requests.
        self._earlier: dict[str, list[tuple[Ticket, float]]] = defaultdict(list)
        closed = set[str]()
        entries = list(self._read())
        for entry in entries:
            if "closed" in entry:
                closed.add(entry["closed"])
        for entry in entries:
            if "ticket" in entry and entry["ticket"]["output"] not in closed:
                self._earlier[entry["call"]].append((Ticket(**entry["ticket"]), entry["at"]))

    def _read(self) -> Iterator[dict[str, Any]]:
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return
        except OSError as error:
            raise UsageError(f"the tickets in {self._path} cannot be read: {error.strerror}") from None
        for line in filter(None, lines):
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError:
                # The last line of a process that was killed while it wrote.
                continue

    def take(self, call: Invocation) -> tuple[Ticket, float] | None:
        """Return the ticket that an earlier run got for this request and its age in seconds; each is returned once."""
        with self._lock:
            found = self._earlier.get(_key(call))
            if not found:
                return None
            ticket, at = found.pop(0)
        return ticket, max(0.0, time.time() - at)

    def keep(self, call: Invocation, ticket: Ticket) -> None:
        """Remember a ticket until it is closed."""
        self._write({"call": _key(call), "at": time.time(), "ticket": asdict(ticket)})

    def close(self, ticket: Ticket) -> None:
        """Forget a ticket whose answer or error was read."""
        self._write({"closed": ticket.output})

    def _write(self, entry: dict[str, Any]) -> None:
        # The break in front keeps this line apart from one that was cut off.
        with self._lock, self._path.open("ab", buffering=0) as file:
            file.write(b"\n" + orjson.dumps(entry))


def _key(call: Invocation) -> str:
    told = orjson.dumps([call.content_type, call.accept, sorted(call.parameters.items())])
    return hashlib.sha256(told + b"\0" + call.body).hexdigest()
