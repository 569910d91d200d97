"""A kit for testing programs built on sagewire: cuts of a byte string, checks of handlers, recorded transports.

It needs no test framework: a failure is an `AssertionError` that names the expected result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagewire._names import missing
from sagewire.testing.cuts import chop, drain
from sagewire.testing.handler_checks import check_handler
from sagewire.testing.recorded import AsyncFakeTransport, FakeTransport, Recording

__all__ = ["AsyncFakeTransport", "FakeTransport", "Recording", "check_handler", "chop", "drain"]

if not TYPE_CHECKING:
    __getattr__ = missing(__name__, __all__)
