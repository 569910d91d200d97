"""API keys: what they allow, and how they are made and detected. Only their hashes are kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from sagewire.gateway.config import KeyConfig
from sagewire.gateway.quota import Quota

__all__ = ["MASTER", "OPEN", "Key", "digest_of", "from_config", "new_secret", "same"]


@dataclass(frozen=True, slots=True)
class Key:
    """The permissions of a key.

    Args:
        name: Its name in logs, metrics and accounts.
        digest: The SHA-256 of the key itself, in hexadecimal. Keys are long and random, so that a fast hash is
            enough: they cannot be guessed.
        models: The models it may use, `None` for all.
        expires: When it ends, `None` for never.
        requests_per_minute: Maximum requests per minute.
        tokens_per_minute: Maximum tokens per minute, of prompts and answers.
        max_budget: Maximum cost in dollars.
        budget_duration: After how long the budget is whole again, such as `30d`; `None` for never.
    """

    name: str
    digest: str = ""
    models: tuple[str, ...] | None = None
    expires: datetime | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_budget: float | None = None
    budget_duration: str | None = None

    def may_use(self, model: str) -> bool:
        """Return whether it is good for a model."""
        return self.models is None or model in self.models

    @property
    def limited(self) -> bool:
        """Whether it has limits per minute."""
        return self.requests_per_minute is not None or self.tokens_per_minute is not None

    @property
    def quota(self) -> Quota:
        """Its limits per minute."""
        return Quota(f"key {self.name}", self.requests_per_minute, self.tokens_per_minute)

    def expired(self, now: datetime | None = None) -> bool:
        """Return whether its time is over."""
        return self.expires is not None and self.expires <= (now or datetime.now(UTC))


MASTER = Key("master")
OPEN = Key("open")
"""The caller if no key is configured."""


def digest_of(secret: str) -> str:
    """Return the digest that is stored of a key."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def same(one: str, other: str) -> bool:
    """Compare digests in a time that does not depend on where they differ."""
    return hmac.compare_digest(one.encode("ascii"), other.encode("ascii"))


def new_secret() -> str:
    """Return a fresh key: 256 random bits behind a prefix that secret scanners can look for."""
    return f"sk-sagewire-{secrets.token_urlsafe(32)}"


def from_config(config: KeyConfig) -> Key:
    """Return the key in a configuration file."""
    digest = config.sha256 or digest_of(config.key.get_secret_value() if config.key else "")
    return Key(
        config.name,
        digest,
        None if config.models is None else tuple(config.models),
        config.expires,
        config.requests_per_minute,
        config.tokens_per_minute,
        config.max_budget,
        config.budget_duration,
    )
