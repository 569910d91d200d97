"""Authentication: which key a request shows."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial

from sagewire.gateway.accounting.database import Store
from sagewire.gateway.accounting.database_calls import DatabaseCalls
from sagewire.gateway.config import GatewayConfig
from sagewire.gateway.errors import GatewayError
from sagewire.gateway.keys import MASTER, OPEN, Key, digest_of, from_config, same

__all__ = ["Authenticator"]

# Seconds until a key that was revoked or added in the database is noticed.
FRESH = 15.0
# Seconds a known key stays good while the database does not answer.
STALE = 600.0
# Seconds that a request with a known key waits for the database to say whether it is still good.
KNOWN_WAITS = 0.5
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
        self._looking: dict[str, asyncio.Task[Key | None]] = previous._looking if previous else {}
        # Keys that have changed since the last reading of all of them began.
        self._changed: set[str] = previous._changed if previous else set()
        self.required = required or config.has_keys

    async def authenticate(self, headers: Mapping[str, str]) -> Key:
        """Return the key a request shows.

        Args:
            headers: The request's headers, looked up case-insensitively. `Authorization: Bearer ...` is OpenAI's way,
                `api-key` Azure's, `x-api-key` that of others.

        Raises:
            GatewayError: 401 for no key, or one that is unknown, blocked or expired.
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
        if key.blocked:
            raise _stranger(f"the API key '{key.name}' is blocked", "key_blocked")
        if key.expired():
            raise _stranger(f"the API key '{key.name}' has expired")
        return key

    def holds(self, digest: str) -> bool:
        """Return whether a key is the master key, or one of the configuration."""
        return digest == self._master or digest in self._configured

    def forget(self, digest: str) -> None:
        """Look a key up again at its next use, because it has changed."""
        self._known.pop(digest, None)
        self._unknown.pop(digest, None)
        self._looking.pop(digest, None)
        self._changed.add(digest)

    async def refresh(self) -> None:
        """Remember all keys, so that they are served while the database is away whoever has used them here.

        Raises:
            StoreError: The database does not answer.
        """
        if self._database is None:
            return
        now = self._clock()
        self._changed.clear()
        keys = {key.digest: key for key in await self._database.keys(REMEMBERED)}
        if len(keys) < REMEMBERED:
            for digest in [digest for digest, (since, _) in self._known.items() if since <= now and digest not in keys]:
                self.forget(digest)
        for digest, key in keys.items():
            # A key that was looked up or changed meanwhile is newer.
            if digest not in self._changed and self._known.get(digest, (now,))[0] <= now:
                self._remember(digest, now, key)

    @property
    def known_keys_seconds(self) -> float:
        """How long keys of the database are still served if it does not answer from now on."""
        looked_up = max((since for since, _ in self._known.values()), default=-STALE)
        return max(0.0, looked_up + STALE - self._clock())

    @property
    def needs_database(self) -> bool:
        """Whether nobody can be served without the database: there are no other keys."""
        return self.required and self._master is None and not self._configured

    async def ping(self) -> None:
        """Raise `StoreError` if the database does not answer, or has tables that do not fit."""
        if self._database is not None:
            await self._database.ping()

    async def _look_up(self, digest: str, database: DatabaseCalls) -> Key | None:
        now = self._clock()
        known = self._known.get(digest)
        if known is not None and now - known[0] < FRESH:
            return known[1]
        if now - self._unknown.get(digest, -FRESH) < FRESH:
            return None
        # Shared by all requests with this key, and ended by none of them.
        looking = self._looking.get(digest)
        if looking is None:
            looking = self._looking[digest] = asyncio.create_task(database.key(digest))
            looking.add_done_callback(partial(self._looked_up, digest, now))
        remembered = known[1] if known is not None and now - known[0] < STALE else None
        await asyncio.wait([looking], timeout=None if remembered is None else KNOWN_WAITS)
        if looking.done() and looking.exception() is None:
            return looking.result()
        if remembered is not None:
            return remembered
        raise GatewayError(
            503, "keys_unavailable", "keys cannot be checked now; try again", headers={"retry-after": "5"}
        )

    def _looked_up(self, digest: str, now: float, looking: asyncio.Task[Key | None]) -> None:
        failed = looking.cancelled() or looking.exception() is not None
        # Otherwise the key has changed meanwhile.
        if self._looking.get(digest) is looking:
            del self._looking[digest]
            if not failed:
                self._remember(digest, now, looking.result())

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


def _stranger(message: str, code: str = "invalid_api_key") -> GatewayError:
    return GatewayError(401, code, message, headers={"www-authenticate": "Bearer"})
