"""The key of SageMaker's OpenAI route: presigned here, without a network call, and renewed before it expires."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from sagewire.aws.bearer import MAX_EXPIRES, bearer_token
from sagewire.aws.credential_cache import CredentialSource
from sagewire.aws.credentials import Credentials
from sagewire.errors import UsageError

__all__ = ["BearerTokens"]


class BearerTokens:
    """A token that is valid now, whenever one is asked for.

    A token dies with the credentials it was made with, so it is made anew when these have changed, and when the last
    fifth of its life begins: a request that is sent with it may be in flight for minutes.

    Args:
        source: Where current credentials come from.
        region: The endpoint's region.
        lifetime: Seconds a token lives.
        clock: Seconds since the epoch.

    Raises:
        UsageError: `lifetime` is out of range.
    """

    def __init__(
        self, source: CredentialSource, region: str, lifetime: int = 3600, clock: Callable[[], float] = time.time
    ) -> None:
        if not 1 <= lifetime <= MAX_EXPIRES:
            raise UsageError(f"token_lifetime={lifetime} must lie between 1 and {MAX_EXPIRES} seconds")
        self._source = source
        self._region = region
        self._lifetime = lifetime
        self._clock = clock
        # One value, so that threads never see a token with another one's credentials.
        self._kept: tuple[str, Credentials, float] | None = None

    def __repr__(self) -> str:
        return f"BearerTokens({self._region!r})"

    def __call__(self) -> str:
        """Return a token; may wait for credentials to be refreshed."""
        return self._token(self._source.get())

    async def get_async(self) -> str:
        """Return a token without blocking the event loop."""
        return self._token(await self._source.get_async())

    def _token(self, credentials: Credentials) -> str:
        now, kept = self._clock(), self._kept
        if kept is not None and kept[1] == credentials and now < kept[2]:
            return kept[0]
        token = bearer_token(
            credentials, self._region, expires=self._lifetime, now=datetime.fromtimestamp(int(now), UTC)
        )
        self._kept = token, credentials, now + 0.8 * self._lifetime
        return token
