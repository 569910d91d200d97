"""A kit for testing what is built on sagewire: cuts of a byte string, checks for content handlers, recorded transports.

It needs no test framework: what fails is an `AssertionError` that says what was expected.
"""

from __future__ import annotations

from sagewire.testing.cuts import chop, drain
from sagewire.testing.handler_checks import check_handler
from sagewire.testing.recorded import AsyncFakeTransport, FakeTransport, Recording

__all__ = ["AsyncFakeTransport", "FakeTransport", "Recording", "check_handler", "chop", "drain"]
