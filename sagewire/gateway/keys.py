"""API keys: what they allow, and how they are made and detected. Only their hashes are kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sagewire.errors import UsageError
from sagewire.gateway.config import KeyConfig
from sagewire.gateway.quota import Quota

__all__ = ["MASTER", "OPEN", "Key", "check_name", "digest_of", "from_config", "new_key", "new_secret", "same"]

NAME_CHARACTERS = 200


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
        max_parallel_requests: Maximum requests at a time.
        model_limits: Maximum requests and tokens per minute of single models.
        blocked: It may use nothing until it is unblocked.
        owned: What its spending and its minutes are counted under, if not its name: another key may get that.
        notes: What those who manage keys have written to it; empty where it is only looked up.
        created: When it was made; `None` for one of a configuration file.
        renamed: When it got its name, if not when it was made.
    """

    name: str
    digest: str = ""
    models: tuple[str, ...] | None = None
    expires: datetime | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_budget: float | None = None
    budget_duration: str | None = None
    max_parallel_requests: int | None = None
    model_limits: Mapping[str, tuple[int | None, int | None]] = field(default_factory=dict, hash=False)
    blocked: bool = False
    owned: str | None = None
    notes: Mapping[str, Any] = field(default_factory=dict, hash=False)
    created: datetime | None = field(default=None, compare=False)
    renamed: datetime | None = field(default=None, compare=False)

    @property
    def account(self) -> str:
        """What its spending and its minutes are counted under."""
        return self.owned or self.name

    def may_use(self, model: str) -> bool:
        """Return whether it is good for a model."""
        return self.models is None or model in self.models

    @property
    def limited(self) -> bool:
        """Whether it has limits per minute, for all models or for some."""
        return self.requests_per_minute is not None or self.tokens_per_minute is not None or bool(self.model_limits)

    @property
    def unlimited(self) -> bool:
        """Whether nothing of what it does need be counted before a request is served."""
        return not self.limited and self.max_budget is None and self.max_parallel_requests is None

    @property
    def quota(self) -> Quota:
        """Its limits per minute."""
        return Quota(f"key {self.account}", self.requests_per_minute, self.tokens_per_minute)

    def quota_of(self, model: str) -> Quota:
        """Its limits per minute for one of the models in `model_limits`."""
        # Names of keys and of models may have slashes, and no two pairs may share a count.
        return Quota(f"model of key {len(self.account)} {self.account}/{model}", *self.model_limits[model])

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


def check_name(name: str) -> None:
    """Raise `UsageError` for a name that not every database, log and page can hold."""
    if not name.strip() or len(name) > NAME_CHARACTERS or not name.isprintable():
        raise UsageError(f"a key's name has 1 to {NAME_CHARACTERS} characters, none of them a control character")


def new_key(name: str, secret: str) -> Key:
    """Return a key that may do everything, and owes nothing whatever key had its name before.

    Raises:
        UsageError: The name cannot be used.
    """
    check_name(name)
    return Key(name, digest_of(secret), owned=uuid4().hex, created=datetime.now(UTC))


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
        config.max_parallel_requests,
        {name: (one.requests_per_minute, one.tokens_per_minute) for name, one in config.model_limits.items()},
        config.blocked,
        # The database has room for so many characters.
        owned=digest_of(config.name) if len(config.name) > NAME_CHARACTERS else None,
        notes={"metadata": config.metadata} if config.metadata else {},
    )
