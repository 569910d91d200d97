"""Credentials that fetch themselves anew before they expire, in the shape botocore's signers expect.

Imported only when such credentials are made: this module imports botocore.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from botocore.credentials import Credentials as BotocoreCredentials
from botocore.credentials import ReadOnlyCredentials

from sagewire._forks import reset_in_child
from sagewire.aws.lookup_errors import CLOCK
from sagewire.types.secret import Secret, reveal

__all__ = ["RefreshingCredentials"]

_log = logging.getLogger("sagewire.aws")

# STS gives out none that last less.
_SHORTEST_SECONDS = 900.0

Fetched = tuple[str, str, str | None, float]


class RefreshingCredentials(BotocoreCredentials):
    """Temporary credentials that replace themselves.

    botocore's own class starts to refresh 15 minutes ahead of expiry, which for the shortest role sessions (also 15
    minutes) is always. Here the margin follows the lifetime. In the last quarter of their life one caller refreshes
    while the others go on with what is still valid; in the last tenth all of them wait for it.

    Args:
        fetch: Returns access key, secret key, session token and the expiry as seconds since the epoch.
        method: How the credentials were come by, as botocore names such ways.
    """

    def __init__(self, fetch: Callable[[], Fetched], method: str) -> None:
        self.method = method
        self._fetch = fetch
        self._held: Secret | None = None
        self._renew_at = self._wait_at = 0.0
        self._failed = 0
        self._failure: Exception | None = None
        self.reset_after_fork()
        reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Forget the lock; another thread of the parent may have held it."""
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"RefreshingCredentials({self.method!r})"

    def refresh_needed(self, refresh_in: float | None = None) -> bool:
        """Return whether getting the credentials may wait for a refresh.

        Args:
            refresh_in: Seconds before expiry; botocore passes it, the margin here follows the lifetime instead.
        """
        return self._held is None or time.time() >= self._renew_at

    @property
    def must_wait(self) -> bool:
        """Whether callers have to wait, because the credentials are missing or about to expire."""
        return self._held is None or time.time() >= self._wait_at

    def invalidate(self) -> None:
        """Fetch anew on the next use, whatever the clock says."""
        self._renew_at = self._wait_at = 0.0

    def get_frozen_credentials(self) -> Any:
        """Return the three parts as one consistent value."""
        if not self.refresh_needed():
            return reveal(self._held)
        must_wait = self.must_wait
        failed = self._failed
        if not self._lock.acquire(blocking=must_wait):
            return reveal(self._held)
        try:
            if self.refresh_needed():
                if self._failed != failed and self._failure is not None:
                    # Threads that waited for a failed refresh would only fail the same way, one after the other.
                    raise self._failure
                self._renew(must_wait)
        finally:
            self._lock.release()
        return reveal(self._held)

    def _renew(self, must_wait: bool) -> None:
        started = time.time()
        try:
            access_key, secret_key, token, expires = self._fetch()
        except Exception as error:
            if must_wait:
                self._failed += 1
                self._failure = error
                raise
            # The present ones stay valid for a while; a request per call would only add load.
            self._renew_at = min(self._wait_at, started + 30.0)
            _log.warning("credentials (%s) could not be refreshed ahead of time: %s", self.method, type(error).__name__)
            return
        lifetime = expires - started
        if lifetime <= 0:
            # Fresh ones have not expired: this machine's clock is ahead, by which every call would fetch them anew.
            _log.warning("credentials (%s) seem to have expired before they were given out; %s", self.method, CLOCK)
            lifetime, expires = _SHORTEST_SECONDS, started + _SHORTEST_SECONDS
        self._failure = None
        self._held = Secret(ReadOnlyCredentials(access_key, secret_key, token))
        self._wait_at = expires - min(600.0, lifetime / 10)
        self._renew_at = expires - min(900.0, lifetime / 4)
        _log.info("credentials (%s) refreshed, valid for %.0f s", self.method, lifetime)

    @property
    def access_key(self) -> str:  # type: ignore[override]
        """The access key id."""
        return str(self.get_frozen_credentials().access_key)

    @property
    def secret_key(self) -> str:  # type: ignore[override]
        """The secret."""
        return str(self.get_frozen_credentials().secret_key)

    @property
    def token(self) -> str | None:  # type: ignore[override]
        """The session token."""
        token: str | None = self.get_frozen_credentials().token
        return token

    @property
    def account_id(self) -> None:
        """Not known."""
        return None

    def get_deferred_property(self, property_name: str) -> Callable[[], Any]:
        """Return a function that returns a property; botocore's endpoint rules ask for `account_id` this way."""
        return lambda: getattr(self, property_name)
