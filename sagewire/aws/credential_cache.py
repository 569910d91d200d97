"""Current credentials for a transport: never stale, refreshed once however many calls are waiting, sync and async."""

from __future__ import annotations

import contextvars
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

from sagewire._forks import reset_in_child
from sagewire.aws.credentials import Credentials
from sagewire.aws.lookup_errors import NO_CREDENTIALS, credential_errors
from sagewire.errors import AccessDenied
from sagewire.http.abandonable import in_thread

__all__ = ["BotocoreSource", "CredentialSource", "EnvironmentSource", "StaticSource"]


# Seconds before their end from which on botocore does not use credentials without a refresh (botocore/credentials.py).
_LAST_SECONDS = 600
# Seconds between two attempts ahead of time.
_PAUSE_SECONDS = 30.0


class CredentialSource(Protocol):
    """The source of the credentials of each call of a transport."""

    def known(self) -> Credentials | None:
        """Return credentials that are valid now if they are at hand, `None` if they have to be fetched."""
        ...

    def get(self, timeout: float | None = None) -> Credentials:
        """Return credentials that are valid now; may wait for a refresh, `TimeoutError` after `timeout` seconds."""
        ...

    async def get_async(self) -> Credentials:
        """Return credentials that are valid now; never blocks the event loop."""
        ...

    def invalidate(self, used: Credentials) -> bool:
        """Give up credentials the service called expired; return whether others can be had. May wait."""
        ...

    async def invalidate_async(self, used: Credentials) -> bool:
        """`invalidate`, without blocking the event loop."""
        ...


class StaticSource:
    """Keys that never change."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def known(self) -> Credentials:
        """Return the keys."""
        return self._credentials

    def get(self, timeout: float | None = None) -> Credentials:
        """Return the keys."""
        return self._credentials

    async def get_async(self) -> Credentials:
        """Return the keys."""
        return self._credentials

    def invalidate(self, used: Credentials) -> bool:
        """Return whether others than `used` can be had."""
        return self._credentials != used

    async def invalidate_async(self, used: Credentials) -> bool:
        """Return whether others than `used` can be had."""
        return self.invalidate(used)


class EnvironmentSource(StaticSource):
    """Keys out of the environment; read again when the service calls them expired."""

    def __init__(self) -> None:
        credentials = self.read()
        if credentials is None:
            raise AccessDenied("the environment holds no AWS keys", code="NoCredentials", fault="client")
        super().__init__(credentials)

    @staticmethod
    def read() -> Credentials | None:
        """Return the keys in the environment, `None` if there are none."""
        access_key = os.environ.get("AWS_ACCESS_KEY_ID")
        secret_key = os.environ.get("AWS_SECRET_ACCESS_KEY")
        if not access_key or not secret_key:
            return None
        token = os.environ.get("AWS_SESSION_TOKEN") or os.environ.get("AWS_SECURITY_TOKEN")
        return Credentials(access_key, secret_key, token or None)

    def invalidate(self, used: Credentials) -> bool:
        """Read the environment again; return whether others than `used` are in it."""
        self._credentials = self.read() or self._credentials
        return self._credentials != used


class BotocoreSource:
    """Credentials of a botocore session: profiles, roles, SSO, web identity, container and instance metadata.

    Args:
        load: Returns the session's credentials object; may ask the metadata service.
        reload: Looks for credentials afresh, for keys in a file that another program renews.
    """

    def __init__(self, load: Callable[[], Any], reload: Callable[[], Any]) -> None:
        self._load = load
        self._reload = reload
        self._loaded: Any = None
        self._current: Credentials | None = None
        self._given_up: Credentials | None = None
        self.reset_after_fork()
        reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Forget the locks and the refresh in flight; the child process starts its own."""
        self._lock = threading.Lock()
        self._refresh_lock = threading.Lock()
        self._refresh: Future[Credentials] | None = None
        # When the next attempt is made ahead of time, on the monotonic clock.
        self._refresh_at = 0.0

    def known(self) -> Credentials | None:
        """Return credentials that are valid now if they are at hand, `None` if they have to be fetched."""
        loaded, current = self._loaded, self._current
        if loaded is None:
            return None
        if not _may_wait(loaded):
            return self._take()
        if current is None or _must_wait(loaded):
            return None
        # They are valid for minutes yet. Nobody waits for the service that gives out new ones, which may be away.
        if time.monotonic() >= self._refresh_at:
            self._start_refresh()
        return current

    def get(self, timeout: float | None = None) -> Credentials:
        """Return credentials that are valid now; all that wait for a refresh share one, and its failure."""
        known = self.known()
        return known if known is not None else self._start_refresh().result(timeout)

    async def get_async(self) -> Credentials:
        """`get`, without blocking the event loop."""
        known = self.known()
        if known is not None:
            return known
        import asyncio

        return await asyncio.wrap_future(self._start_refresh())

    def _take(self) -> Credentials:
        with credential_errors():
            return self._convert(self._object().get_frozen_credentials())

    def _start_refresh(self) -> Future[Credentials]:
        with self._refresh_lock:
            future = self._refresh
            if future is None:
                future = self._refresh = Future()
                # Marked as running so that a cancelled waiter cannot cancel it for the others.
                future.set_running_or_notify_cancel()
                work = contextvars.copy_context().run
                threading.Thread(target=work, args=(self._run_refresh, future), daemon=True).start()
            return future

    def _run_refresh(self, future: Future[Credentials]) -> None:
        error: BaseException | None = None
        try:
            credentials = self._take()
        except BaseException as failure:
            error = failure
        with self._refresh_lock:
            self._refresh = None
            # One that failed ahead of time changed nothing, and a request per call would only add load.
            pause = _PAUSE_SECONDS if self._loaded is not None and _may_wait(self._loaded) else 0.0
            self._refresh_at = time.monotonic() + pause
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(credentials)

    def _object(self) -> Any:
        if self._loaded is None:
            with self._lock:
                if self._loaded is None:
                    self._loaded = self._load()
                    if self._loaded is None:
                        raise AccessDenied(NO_CREDENTIALS, code="NoCredentials", fault="client")
        return self._loaded

    def _convert(self, frozen: Any) -> Credentials:
        current = self._current
        if (
            current is None
            or current.access_key != frozen.access_key
            or current.secret_key != frozen.secret_key
            or current.token != frozen.token
        ):
            self._current = current = Credentials(frozen.access_key, frozen.secret_key, frozen.token)
        return current

    def invalidate(self, used: Credentials) -> bool:
        """Give up `used`, which the service called expired; return whether others can be had."""
        with credential_errors(), self._lock:
            # Another call may have been here already, whether or not the new credentials have been asked for since.
            if used == self._given_up or self._current != used:
                return True
            loaded = self._loaded
            if hasattr(loaded, "invalidate"):
                loaded.invalidate()
                self._given_up = used
                return True
            if hasattr(loaded, "_expiry_time"):
                # botocore's refreshable credentials have no public way to say "expired in spite of the clock".
                from datetime import UTC, datetime

                loaded._expiry_time = datetime.fromtimestamp(0, UTC)
                self._given_up = used
                return True
            fresh = self._reload() if getattr(loaded, "method", "explicit") != "explicit" else None
            if fresh is None or self._convert(fresh.get_frozen_credentials()) == used:
                return False
            self._loaded, self._given_up = fresh, used
            return True

    async def invalidate_async(self, used: Credentials) -> bool:
        """`invalidate` in a worker thread: credential files and processes may be slow."""
        return await in_thread(self.invalidate, used)


def _may_wait(loaded: Any) -> bool:
    needed = getattr(loaded, "refresh_needed", None)
    return needed is not None and bool(needed())


def _must_wait(loaded: Any) -> bool:
    """Return whether credentials that should be refreshed must not be used any more."""
    own: bool | None = getattr(loaded, "must_wait", None)
    if own is not None:
        return own
    try:
        return bool(loaded.refresh_needed(_LAST_SECONDS))
    except TypeError:
        # A class of the caller's own.
        return True
