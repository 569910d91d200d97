"""Authentication: which key a request shows."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping

from sagewire.gateway.accounting.database import DatabaseCalls, Store, StoreError
from sagewire.gateway.config import GatewayConfig
from sagewire.gateway.errors import GatewayError
from sagewire.gateway.keys import MASTER, OPEN, Key, digest_of, from_config, same

__all__ = ["Authenticator"]

# Seconds until a key that was revoked or added in the database is noticed.
FRESH = 15.0
# Seconds a known key stays good while the database does not answer.
STALE = 600.0
REMEMBERED = 10_000


class Authenticator:
    """The check of callers' keys.

    Args:
        config: Holds the master key and keys by name.
        store: Holds further keys.
        required: Keys are needed even if none is configured: for a gateway that others can reach, and for one that had
            keys a moment ago.
        previous: The one before, whose looked-up keys and connections are taken over.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        config: GatewayConfig,
        store: Store | None = None,
        *,
        required: bool = False,
        previous: Authenticator | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        master = config.server.master_key
        self._master = digest_of(master.get_secret_value()) if master else None
        self._configured = {key.digest: key for key in map(from_config, config.keys)}
        self._clock = clock
        self._database: DatabaseCalls | None = None
        if previous is not None:
            self._database = previous._database
        elif store is not None:
            self._database = DatabaseCalls(store, clock)
        # Apart: strangers must not push out the keys that are served while the database does not answer.
        self._known: OrderedDict[str, tuple[float, Key]] = previous._known if previous else OrderedDict()
        self._unknown: OrderedDict[str, float] = previous._unknown if previous else OrderedDict()
        self.required = required or config.has_keys

    async def authenticate(self, headers: Mapping[str, str]) -> Key:
        """Return the key a request shows.

        Args:
            headers: The request's headers, looked up case-insensitively. `Authorization: Bearer ...` is OpenAI's way,
                `api-key` Azure's, `x-api-key` that of others.

        Raises:
            GatewayError: 401 for no key, or one that is unknown or expired.
        """
        if not self.required:
            return OPEN
        secret = _shown(headers)
        if not secret:
            raise _stranger("no API key: send it as 'Authorization: Bearer ...'")
        digest = digest_of(secret)
        if self._master is not None and same(digest, self._master):
            return MASTER
        key = self._configured.get(digest)
        if key is None and self._database is not None:
            key = await self._look_up(digest, self._database)
        if key is None or not same(digest, key.digest):
            raise _stranger("this API key is not known")
        if key.expired():
            raise _stranger(f"the API key '{key.name}' has expired")
        return key

    def forget(self, digest: str) -> None:
        """Look a key up again at its next use, because it has changed."""
        self._known.pop(digest, None)
        self._unknown.pop(digest, None)

    async def ping(self) -> None:
        """Raise `StoreError` if the database does not answer."""
        if self._database is not None:
            await self._database.ping()

    async def _look_up(self, digest: str, database: DatabaseCalls) -> Key | None:
        now = self._clock()
        known = self._known.get(digest)
        if known is not None and now - known[0] < FRESH:
            return known[1]
        if now - self._unknown.get(digest, -FRESH) < FRESH:
            return None
        try:
            key = await database.key(digest)
        except StoreError:
            if known is not None and now - known[0] < STALE:
                return known[1]
            raise GatewayError(
                503, "keys_unavailable", "keys cannot be checked now; try again", headers={"retry-after": "5"}
            ) from None
        self._remember(digest, now, key)
        return key

    def _remember(self, digest: str, now: float, key: Key | None) -> None:
        self._known.pop(digest, None)
        self._unknown.pop(digest, None)
        if key is None:
            self._unknown[digest] = now
        else:
            self._known[digest] = now, key
        for cache in (self._known, self._unknown):
            if len(cache) > REMEMBERED:
                cache.popitem(last=False)


def _shown(headers: Mapping[str, str]) -> str:
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    return (headers.get("api-key") or headers.get("x-api-key") or "").strip()


def _stranger(message: str) -> GatewayError:
    return GatewayError(401, "invalid_api_key", message, headers={"www-authenticate": "Bearer"})
