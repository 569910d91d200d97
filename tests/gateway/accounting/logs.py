"""Requests that have ended, as the accounts see them."""

from __future__ import annotations

from typing import Any

from sagewire.gateway.request_log import RequestLog


def ended(request_id: str = "req-1", **facts: Any) -> RequestLog:
    """Return the log of a request with these facts."""
    log = RequestLog(request_id, "POST", "/")
    for name, value in facts.items():
        setattr(log, name, value)
    return log
