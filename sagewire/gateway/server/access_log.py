"""The access log: a line of JSON for each request, on standard output."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from functools import lru_cache
from typing import Any

import orjson

from sagewire.gateway.request_log import RequestLog

__all__ = ["configure_access_log", "write_access_log"]

_log = logging.getLogger("sagewire.gateway.access")


class _Lines(logging.StreamHandler[Any]):
    """Writes the text of each record, and nothing else; a formatter would find out much that no line says."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._waiting: list[bytes] = []

    def add(self, line: bytes) -> None:
        """Write a line along with those of all requests that end in the same turn of the event loop."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self.flush)
        self._waiting.append(line)

    def emit(self, record: logging.LogRecord) -> None:
        self._waiting.append(record.getMessage().encode())
        self.flush()

    def flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            if waiting:
                self.stream.write(b"\n".join([*waiting, b""]).decode())
            self.stream.flush()
        except Exception:
            self.handleError(_record(""))


def configure_access_log() -> None:
    """Send the access log to standard output, unless logging is set up to send it somewhere else."""
    if not _log.handlers:
        _log.addHandler(_Lines(sys.stdout))
        _log.setLevel(logging.INFO)
        _log.propagate = False


def write_access_log(log: RequestLog) -> None:
    """Write the line of a request that has ended."""
    if not _log.isEnabledFor(logging.INFO):
        return
    line = orjson.dumps(log.as_log())
    handlers = _log.handlers
    if len(handlers) == 1 and type(handlers[0]) is _Lines and not (_log.propagate or _log.filters):
        # Nobody else would see the record, and making one takes longer than the line.
        handlers[0].add(line)
    else:
        _log.handle(_record(line.decode()))


def _record(text: str) -> logging.LogRecord:
    """Return a record with this text.

    To find out who logs, as `Logger.info` does, takes longer than all the rest; and a new record takes five times as
    long as another one with its own text and time.
    """
    made = _any_record(os.getpid(), threading.get_ident())
    record = logging.LogRecord.__new__(logging.LogRecord)
    record.__dict__.update(made.__dict__)
    record.msg = text
    record.created = now = time.time()
    record.msecs = now % 1 * 1000
    record.relativeCreated += (now - made.created) * 1000
    return record


@lru_cache(maxsize=8)
def _any_record(process: int, thread: int) -> logging.LogRecord:
    return logging.LogRecord(_log.name, logging.INFO, __file__, 0, "", None, None)
