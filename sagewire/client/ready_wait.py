"""The wait for an endpoint to be in service: how long, how often to look, and what to say when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable

from sagewire.discovery.describe import LOST, UNREACHABLE, Description
from sagewire.errors import EndpointError, SagewireError

__all__ = ["ReadyWait"]


class ReadyWait:
    """The wait for an endpoint to be in service.

    Args:
        budget: Seconds to wait at most.
    """

    def __init__(self, budget: float) -> None:
        self._budget = budget
        self._until = time.monotonic() + budget
        self._delay = 1.0
        self._last: Description | None = None

    @property
    def left(self) -> float:
        """The seconds that are left."""
        return max(self._until - time.monotonic(), 0.001)

    def delay_after(self, found: Description, on_progress: Callable[[Description], None] | None) -> float | None:
        """Return the seconds until the next check, `None` if the endpoint is in service.

        Raises:
            NotReady: Time is up, or waiting does not help.
        """
        self._last = found
        if on_progress is not None:
            on_progress(found)
        left = self._until - time.monotonic()
        if found.serving or found.status in LOST or left <= 0:
            found.require_serving()
            return None
        delay, self._delay = min(self._delay, left), min(self._delay * 2, 30.0)
        return delay

    def failed(self, error: TimeoutError) -> SagewireError:
        """Return the error for a check that did not finish in time."""
        if isinstance(error, SagewireError):
            return error
        status = "is not known" if self._last is None else f"was {self._last.status!r} when it was last seen"
        return EndpointError(
            f"SageMaker's control plane did not answer within the {self._budget:g} s of wait_for_ready; the endpoint's "
            f"status {status}",
            code=UNREACHABLE,
            retry_safe=True,
        )
