"""Who may call: the key a request shows, and what that key is good for."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping

from sagewire.gateway.accounting.database import Store, StoreError
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
    """Recognises callers by their keys.

    Args:
        config: Holds the master key and keys by name.
        store: Holds further keys.
        required: Keys are needed even where none is configured; for a gateway that others can reach, and for one that
            had keys a moment ago.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        config: GatewayConfig,
        store: Store | None = None,
        *,
        required: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        master = config.server.master_key
        self._master = digest_of(master.get_secret_value()) if master else None
        self._configured = {key.digest: key for key in map(from_config, config.keys)}
        self._store = store
        self._clock = clock
        self._looked_up: OrderedDict[str, tuple[float, Key | None]] = OrderedDict()
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
        if key is None and self._store is not None:
            key = await self._from_store(digest, self._store)
        if key is None or not same(digest, key.digest):
            raise _stranger("this API key is not known")
        if key.expired():
            raise _stranger(f"the API key '{key.name}' has expired")
        return key

    async def _from_store(self, digest: str, store: Store) -> Key | None:
        now = self._clock()
        known = self._looked_up.get(digest)
        if known is not None and now - known[0] < FRESH:
            return known[1]
        try:
            key = await asyncio.to_thread(store.key, digest)
        except StoreError:
            if known is not None and known[1] is not None and now - known[0] < STALE:
                return known[1]
            raise GatewayError(
                503, "keys_unavailable", "keys cannot be checked now; try again", headers={"retry-after": "5"}
            ) from None
        self._looked_up[digest] = (now, key)
        self._looked_up.move_to_end(digest)
        while len(self._looked_up) > REMEMBERED:
            self._looked_up.popitem(last=False)
        return key


def _shown(headers: Mapping[str, str]) -> str:
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    return (headers.get("api-key") or headers.get("x-api-key") or "").strip()


def _stranger(message: str) -> GatewayError:
    return GatewayError(401, "invalid_api_key", message, headers={"www-authenticate": "Bearer"})
